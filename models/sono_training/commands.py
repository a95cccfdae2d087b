"""`sono model train | evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sono_models.errors import BadConfig
from sono_models.options import pairs, read_groups, roots
from sono_models.runtime import RuntimeName

WhereOption = Annotated[list[str] | None, typer.Option("--where", help="COLUMN=VALUE; repeat for more values.")]
RootOption = Annotated[list[str] | None, typer.Option("--root", help="NAME=DIR, for each root of the recipe.")]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as models/recipes/breast-first.toml.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, log and network; resumes there.")],
    root: RootOption = None,
) -> None:
    """Train a recipe, resumable, a checkpoint an epoch; ends with what quantization needs."""
    from sono_training.fit import fit
    from sono_training.handover import hand_over
    from sono_training.recipe import gather, read_recipe

    plan = read_recipe(recipe)
    folders = roots(root)
    split = gather(plan, recipe, folders)
    print(f"{plan.name}: {len(split.fit)} images to fit on, {len(split.dev)} kept for calibration")
    net = fit(plan, split, out)
    hand_over(net, plan, recipe, split, folders, out)
    print(f"trained: {out / 'net.pt'}. Next: sono model quantize --run {out} --out {out / 'int8'}")


def evaluate(
    manifest: Annotated[Path, typer.Option("--manifest", help="CSV with image,label[,patient|group][,mask].")],
    bundle: Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")] = None,
    where: WhereOption = None,
    groups: Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")] = None,
    target: Annotated[str, typer.Option("--target", help="The label that counts as positive.")] = "malignant",
    runtime: Annotated[RuntimeName | None, typer.Option("--runtime", help="Default: every runtime.")] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Measure a bundle on labelled images, on the device's own path."""
    from sono_models.bundle import default_path, read
    from sono_models.runtime import RUNTIMES
    from sono_models.table import read_table
    from sono_models.table import where as chosen
    from sono_training.evaluate import check_target, read_rows, report

    found = read(bundle or default_path())
    check_target(found, target)
    rows = chosen(read_table(manifest), pairs(where, "--where"))
    if groups is not None:
        wanted = read_groups(groups)
        rows = [row for row in rows if row.group in wanted]
    if not rows:
        raise BadConfig(str(manifest), "no row is left after --where and --groups", "Loosen them")
    runtimes = (runtime,) if runtime else RUNTIMES
    reports = {name: report(found, read_rows(found, name, rows), target) for name in runtimes}
    if as_json:
        first = reports[runtimes[0]]
        print(json.dumps({"bundle": found.sha256, "target": target, **first, "runtimes": reports}))
        return
    for name, figures in reports.items():
        auroc, point = figures["auroc"], figures["operating_point"]
        print(f"{name}: n {figures['n']} in {figures['groups']} groups, {figures['positives']} {target}")
        print(f"  AUROC {auroc['value']:.4f} ({auroc['lo']:.4f} to {auroc['hi']:.4f}, 95 % group bootstrap)")
        print(f"  ECE {figures['ece']:.3f}, specificity at sensitivity 0.90: {figures['spec_at_sens90']:.3f}")
        if point:
            print(f"  frozen threshold {point['threshold']:.3f}: sens {point['sens']:.3f}, spec {point['spec']:.3f}")
        if figures["localisation"]:
            print(f"  lesion pointing {figures['localisation']['pointing_hit']:.3f}")
