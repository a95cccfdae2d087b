"""`sono model quantize | compare | pack`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer

from sono_models.errors import BadConfig
from sono_models.options import pairs, read_groups, roots

RunOption = Annotated[Path, typer.Option("--run", help="The --out folder of `sono model train`.")]
RootOption = Annotated[list[str] | None, typer.Option("--root", help="NAME=DIR, for each root of the recipe.")]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", help="The recipe, to check that the run was trained with it.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]


def quantize(
    run: RunOption,
    out: Annotated[Path, typer.Option("--out", help="Folder for model.tflite, model.onnx and quantize.json.")],
    root: RootOption = None,
    recipe: RecipeOption = None,
    images: Annotated[int, typer.Option("--images", min=8, help="Training images for calibration.")] = 128,
    finetune: Annotated[
        int, typer.Option("--finetune", min=0, help="Training images for quantization-aware fine-tuning; 0: none.")
    ] = 0,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Of the fine-tuning.")] = 2,
    *,
    plain: Annotated[bool, typer.Option(help="Measure int8 without bias correction too.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Make int8 files for both runtimes, with one set of integers, and say what that cost."""
    from sono_quantize.quantization import Plan, quantize_run

    _check_recipe(recipe, run)
    plan = Plan(calibration=images, finetune=finetune, epochs=epochs, plain=plain)
    report = quantize_run(run, roots(root), out, plan)
    if as_json:
        print(json.dumps(report))
        return
    int8 = report["int8"]
    for name in ("plain", "corrected", "finetuned"):
        if name in int8:
            figures = int8[name]
            kept = f"{100 * figures['decisions_kept']:.1f} % of {report['dev_images']} decisions kept"
            print(
                f"int8 {name}: SNR {figures['snr_db']} dB, {kept}, a score moved by up to {figures['score_moved_max']}"
            )
    print(f"runtimes differ by at most {int8['runtimes_max_diff']:.4f} in a score")
    print(
        f"wrote {out}. Next: sono model pack --run {run} --quantized {out} --version 0.1.0 --out models/bundles/breast"
    )


def compare(
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV with image,label[,patient|group].")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    where: Annotated[list[str] | None, typer.Option("--where", help="COLUMN=VALUE; repeat for more values.")] = None,
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")] = None,
    float_run: Annotated[
        Path | None, typer.Option("--float", help="The run the bundle was made from: its float network.")
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare int8 with the float network, and the two runtimes with each other, image by image."""
    from sono_models.bundle import default_path, read
    from sono_models.table import read_table
    from sono_models.table import where as chosen
    from sono_quantize.comparison import compare_bundle

    rows = chosen(read_table(manifest), pairs(where, "--where"))
    if groups is not None:
        wanted = read_groups(groups)
        rows = [row for row in rows if row.group in wanted]
    if not rows:
        raise BadConfig(str(manifest), "no row is left after --where and --groups", "Loosen them")
    found = compare_bundle(read(bundle or default_path()), rows, float_run)
    if as_json:
        print(json.dumps(found))
        return
    print(f"{found['n']} images in {found['groups']} groups")
    print(f"  runtimes differ by at most {found['runtimes_max_diff']:.4f} in a score")
    print(f"  {100 * found['decision_agreement']:.1f} % of the decisions are the same")
    if found["delta_auroc"] is not None:
        delta, auroc = found["delta_auroc"], found["int8_auroc"]["onnx"]
        print(f"  AUROC float {found['float_auroc']:.4f}, int8 {auroc:.4f}")
        print(f"  difference {delta['value']:+.4f} ({delta['lo']:+.4f} to {delta['hi']:+.4f}, paired group bootstrap)")


def pack(
    run: RunOption,
    quantized: Annotated[Path, typer.Option("--quantized", help="The --out folder of `sono model quantize`.")],
    version: Annotated[str, typer.Option("--version", help="Semantic version of the bundle, such as 0.1.0.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for NAME-VERSION.tar.")],
    root: RootOption = None,
    recipe: RecipeOption = None,
    card: Annotated[
        Path | None, typer.Option("--card", help="The model card; without one a short one is made.")
    ] = None,
    licenses: Annotated[Path | None, typer.Option("--licenses", help="Licences and citations of the data.")] = None,
    evidence: Annotated[
        list[Path] | None, typer.Option("--evidence", help="The --json output of a command, as a file.")
    ] = None,
    bound: Annotated[
        list[str] | None,
        typer.Option("--bound", help="FILE.KEY>=LIMIT or <=: a figure of the evidence this release must meet."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Freeze calibration and threshold on the dev split and write the bundle."""
    from sono_quantize.packing import LICENSES, Order, pack_bundle

    _check_recipe(recipe, run)
    order = Order(
        run,
        quantized,
        roots(root),
        version,
        out,
        card,
        licenses or LICENSES,
        tuple(evidence or ()),
        tuple(bound or ()),
    )
    made = pack_bundle(order)
    (point,) = made.manifest.operating_points
    if as_json:
        figures = {"bundle": str(made.path), "sha256": made.sha256, "threshold": point.threshold}
        print(json.dumps({**figures, "bytes": made.path.stat().st_size}))
        return
    print(f"{made.path}: {made.path.stat().st_size} bytes, sha256 {made.sha256}")
    print(f"  {point.label} from {point.threshold:.4f}, frozen on the {point.frozen_on}")


def _check_recipe(recipe: Path | None, run: Path) -> None:
    from sono_models.handover import read_handover

    if recipe is None:
        return
    if not recipe.is_file():
        raise BadConfig(str(recipe), "there is no such recipe", "Leave --recipe out, or name the file")
    if hashlib.sha256(recipe.read_bytes()).hexdigest() != read_handover(run).recipe_sha256:
        raise BadConfig(str(recipe), f"is not the recipe that {run} was trained with", "Train again, or name the other")
