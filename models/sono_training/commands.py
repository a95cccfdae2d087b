"""`sono model train | evaluate | robustness`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sono_models.options import pairs, read_groups, roots
from sono_models.runtime import RuntimeName

WhereOption = Annotated[list[str] | None, typer.Option("--where", help="COLUMN=VALUE; repeat for more values.")]
ManifestOption = Annotated[Path, typer.Option("--manifest", help="CSV with image,label[,patient|group][,mask].")]
BundleOption = Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")]
GroupsOption = Annotated[Path | None, typer.Option("--groups", help="Only these groups or patients, one a line.")]
NegativeOption = Annotated[
    list[str] | None,
    typer.Option(
        "--negative", help="A label of the table that counts as no finding, as `normal` does; repeat for more."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]
RootOption = Annotated[list[str] | None, typer.Option("--root", help="NAME=DIR, for each root of the recipe.")]


def train(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as models/recipes/breast.toml.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for checkpoints, log and network; resumes there.")],
    cache: Annotated[Path, typer.Option("--cache", help="Folder of the front's views, shared by all fits.")],
    root: RootOption = None,
    fold: Annotated[
        str | None, typer.Option("--fold", help="The fold to leave out, of the recipe's fold_column.")
    ] = None,
    threads: Annotated[
        int, typer.Option("--threads", help="Two fits side by side with 1 each are faster than one with 2.")
    ] = 2,
) -> None:
    """Train a recipe, resumable, a checkpoint an epoch; ends with what quantization needs."""
    import torch

    from sono_models.table_check import check_apart, check_rows
    from sono_training.fit import fit
    from sono_training.handover import hand_over
    from sono_training.recipe import gather, read_recipe

    torch.set_num_threads(threads)
    plan = read_recipe(recipe)
    folders = roots(root)
    split = gather(plan, recipe, folders, fold)
    check_rows(split.fit + split.dev, labels=plan.labels, target=plan.labels[1])
    check_apart({"fit": split.fit, "dev": split.dev})
    print(f"{plan.name}: {len(split.fit)} images to fit on, {len(split.dev)} kept for calibration")
    net = fit(plan, split, cache, out)
    hand_over(net, plan, recipe, split, folders, out)
    print(f"trained: {out / 'net.pt'}. Next: sono model quantize --run {out} --out {out / 'int8'}")


def stills(
    clips: Annotated[Path, typer.Argument(help="CSV of clips: clip,label,patient.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for images/ and manifest.csv.")],
    count: Annotated[int, typer.Option("--count", min=1, help="Stills a clip, at even distances.")] = 24,
    rename: Annotated[list[str] | None, typer.Option("--rename", help="LABEL=OTHER, to merge labels.")] = None,
) -> None:
    """Take stills from labelled clips, so that clips train and test a network as any table of images does."""
    from sono_training.stills import read_clips, write_stills

    names = {label: other[0] for label, other in pairs(rename, "--rename").items()}
    print(f"wrote {write_stills(read_clips(clips), names, count=count, out=out)}")


def evaluate(
    manifest: ManifestOption,
    bundle: BundleOption = None,
    where: WhereOption = None,
    groups: GroupsOption = None,
    negative: NegativeOption = None,
    target: Annotated[str, typer.Option("--target", help="The label that counts as positive.")] = "malignant",
    runtime: Annotated[RuntimeName | None, typer.Option("--runtime", help="Default: every runtime.")] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Measure a bundle on labelled images, on the device's own path."""
    from sono_models.bundle import default_path, read
    from sono_models.runtime import RUNTIMES
    from sono_models.table import select
    from sono_models.table_check import check_rows
    from sono_training.evaluate import check_target, open_readers, read_rows, report

    found = read(bundle or default_path())
    check_target(found, target)
    rows = select(manifest, pairs(where, "--where"), read_groups(groups) if groups else None)
    check_rows(rows, labels=found.manifest.labels, negatives=negative or (), target=target)
    reads = read_rows(open_readers(found, (runtime,) if runtime else RUNTIMES), rows)
    reports = {name: report(found, read, target) for name, read in reads.items()}
    if as_json:
        first = next(iter(reports.values()))
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


def robustness(
    manifest: ManifestOption,
    bundle: BundleOption = None,
    where: WhereOption = None,
    groups: GroupsOption = None,
    negative: NegativeOption = None,
    severity: Annotated[int, typer.Option("--severity", min=1, max=5, help="How much, 1 to 5.")] = 3,
    runtime: Annotated[
        RuntimeName, typer.Option("--runtime", help="One is enough: both run the same integers.")
    ] = "onnx",
    *,
    as_json: JsonOption = False,
) -> None:
    """Measure what twelve corruptions of the picture cost: gain, zoom, blur, speckle, text, calipers and more."""
    from sono_models.bundle import default_path, read
    from sono_models.saliency import MALIGNANT
    from sono_models.table import select
    from sono_models.table_check import check_rows
    from sono_training.robustness import read_corrupted, report

    found = read(bundle or default_path())
    rows = select(manifest, pairs(where, "--where"), read_groups(groups) if groups else None)
    positive = found.manifest.labels[MALIGNANT]
    check_rows(rows, labels=found.manifest.labels, negatives=negative or (), target=positive)
    measured = report(found, read_corrupted(found, runtime, rows, severity), severity)
    if as_json:
        print(json.dumps({"bundle": found.sha256, "runtime": runtime, **measured}))
        return
    print(f"{runtime}: n {measured['n']} in {measured['groups']} groups, {measured['positives']} {positive}")
    print(f"  AUROC {measured['auroc']:.4f} clean; severity {severity}:")
    for name, each in measured["corruptions"].items():
        drop = each["drop"]
        words = f"drop {drop['value']:+.4f} ({drop['lo']:+.4f} to {drop['hi']:+.4f})"
        print(f"  {name:17} AUROC {each['auroc']:.4f}, {words}, {100 * each['decisions_kept']:.1f} % decisions kept")
    print(f"worst: {measured['worst']}, drop {measured['worst_drop']['value']:+.4f} (95 % paired group bootstrap)")
    print(f"a pasted caliper moves 95 % of the scores by at most {measured['caliper_p95_change']:.3f}")
