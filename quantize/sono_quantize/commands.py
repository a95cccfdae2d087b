"""`sono model quantize | compare | pack`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sono_models.errors import BadConfig
from sono_models.options import pairs, read_groups, roots

if TYPE_CHECKING:
    from sono_models.bundle import Bundle

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
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", help="How, such as quantize/recipes/qat.toml; without one as in ptq.toml."),
    ] = None,
    images: Annotated[int | None, typer.Option("--images", min=8, help="Training images for calibration.")] = None,
    finetune: Annotated[
        int | None,
        typer.Option("--finetune", min=0, help="Training images for quantization-aware fine-tuning; 0: none."),
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="Of the fine-tuning.")] = None,
    *,
    plain: Annotated[bool | None, typer.Option(help="Measure the lesser ways to int8 too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make int8 files for both runtimes, with one set of integers, and say what that cost. Options beat the recipe."""
    from sono_quantize.quantization import quantize_run
    from sono_quantize.recipe import read_plan

    plan = read_plan(recipe, calibration=images, finetune=finetune, epochs=epochs, plain=plain)
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
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV with image,label[,patient|group][,mask].")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    where: Annotated[list[str] | None, typer.Option("--where", help="COLUMN=VALUE; repeat for more values.")] = None,
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")] = None,
    float_run: Annotated[
        Path | None, typer.Option("--float", help="The run the bundle was made from: its float network.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", help="Write every image's scores here, and the figures to its .json.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Folder for the parity report, parity.md with its plots.")
    ] = None,
    negative: Annotated[
        list[str] | None,
        typer.Option("--negative", help="A label that counts as no finding, as `normal` does; repeat for more."),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Compare int8 with the float network, and the two runtimes with each other, image by image."""
    from sono_models.bundle import default_path, read
    from sono_models.saliency import MALIGNANT
    from sono_models.table import select
    from sono_models.table_check import check_rows
    from sono_quantize.comparison import figures, read_all
    from sono_quantize.parity import write_report
    from sono_quantize.score_table import check_path, write_scores

    if report is not None and float_run is None:
        raise BadConfig("--report", "parity is with the float network", "Add --float RUN")
    if scores is not None:
        check_path(scores)
    rows = select(manifest, pairs(where, "--where"), read_groups(groups) if groups else None)
    opened = read(bundle or default_path())
    labels = opened.manifest.labels
    check_rows(rows, labels=labels, negatives=negative or (), target=labels[MALIGNANT])
    compared = read_all(opened, rows, float_run)
    found = figures(opened, compared)
    if scores is not None:
        write_scores(scores, compared, found)
    if report is not None:
        write_report(report, opened, compared, found)
    if as_json:
        print(json.dumps(found))
        return
    _tell(found)
    for written in (scores, report):
        if written is not None:
            print(f"wrote {written}")


def _tell(found: dict[str, Any]) -> None:
    print(f"{found['n']} images in {found['groups']} groups")
    print(f"  both int8 files carry {'the same' if found['same_parameters'] else 'DIFFERENT'} integers")
    print(f"  runtimes differ by at most {found['runtimes_max_diff']:.4f} in a score")
    print(f"  {100 * found['decision_agreement']:.1f} % of the decisions are the same")
    if found["delta_auroc"] is not None:
        delta, auroc = found["delta_auroc"], found["int8_auroc"]["onnx"]
        print(f"  AUROC float {found['float_auroc']:.4f}, int8 {auroc:.4f}")
        print(f"  difference {delta['value']:+.4f} ({delta['lo']:+.4f} to {delta['hi']:+.4f}, paired group bootstrap)")


def pack(
    version: Annotated[str, typer.Option("--version", help="Semantic version of the bundle, such as 0.1.0.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for NAME-VERSION.tar.")],
    run: Annotated[Path | None, typer.Option("--run", help="The --out folder of `sono model train`.")] = None,
    quantized: Annotated[
        Path | None, typer.Option("--quantized", help="The --out folder of `sono model quantize`.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", help="Instead of --run: a bundle to pack again, with --law, --card or --evidence."),
    ] = None,
    root: RootOption = None,
    recipe: RecipeOption = None,
    heads: Annotated[Path | None, typer.Option("--heads", help="What `sono model heads` wrote.")] = None,
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
    law: Annotated[
        Path | None, typer.Option("--law", help="The alert law that `sono bench alerts --choose` wrote.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Freeze calibration and threshold on the dev split and write the bundle; or pack one again under --version."""
    from sono_quantize.packing import LICENSES, Order, pack_bundle
    from sono_quantize.repacking import Order as Again
    from sono_quantize.repacking import repack_bundle

    if source is not None:
        given = {"--run": run, "--quantized": quantized, "--root": root, "--recipe": recipe, "--heads": heads}
        _refuse_beside_from({**given, "--licenses": licenses})
        made = repack_bundle(Again(source, version, out, law, card, tuple(evidence or ()), tuple(bound or ())))
    else:
        if run is None or quantized is None:
            raise BadConfig("--run and --quantized", "are missing", "Name both, or a bundle to pack again with --from")
        _check_recipe(recipe, run)
        order = Order(
            run,
            quantized,
            roots(root),
            version,
            out,
            heads,
            card,
            licenses or LICENSES,
            tuple(evidence or ()),
            tuple(bound or ()),
            law,
        )
        made = pack_bundle(order)
    _tell_packed(made, as_json=as_json)


def _refuse_beside_from(given: dict[str, object]) -> None:
    for option, value in given.items():
        if value:
            raise BadConfig(option, "says nothing where a bundle is packed again", "Leave it out, or leave --from out")


def _tell_packed(made: Bundle, *, as_json: bool) -> None:
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
