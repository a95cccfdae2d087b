"""`sono model heads`: the small heads of a bundle, from a run and its int8 model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from sono_models.options import pairs, roots

REPORT = "heads-report.json"


def heads(
    run: Annotated[Path, typer.Option("--run", help="The --out folder of `sono model train`.")],
    quantized: Annotated[Path, typer.Option("--quantized", help="The --out folder of `sono model quantize`.")],
    out: Annotated[Path, typer.Option("--out", help=f"Where to write the heads; {REPORT} goes beside it.")],
    root: Annotated[list[str] | None, typer.Option("--root", help="NAME=DIR, for each root of the recipe.")] = None,
    negatives: Annotated[
        list[Path] | None,
        typer.Option("--negatives", help="CSV with clip or image, and patient: not the organ; half is trained on."),
    ] = None,
    held_out: Annotated[
        list[Path] | None, typer.Option("--held-out", help="A clip, a still or a folder: not the organ, only measured.")
    ] = None,
    fold: Annotated[
        list[str] | None,
        typer.Option("--fold", help="RUN=QUANTIZED of a network that left out a fold of what --run was fitted on."),
    ] = None,
    stills: Annotated[
        int, typer.Option("--stills", min=16, help="Training stills to learn quality and domain on.")
    ] = 600,
    constructed: Annotated[int, typer.Option("--constructed", min=4, help="Made negatives of each kind.")] = 80,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 20261122,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Learn quality, domain and sweep heads on what the device sees; write them as plain numbers, and their figures."""
    import msgspec
    import numpy as np
    import torch

    from sono_models.heads import Heads, LearntHeads
    from sono_training.heads.network import open_network
    from sono_training.heads.study import Sizes, learn_domain, learn_quality, learn_sweep

    torch.set_num_threads(1)
    folders, sizes = roots(root), Sizes(stills, constructed)
    network = open_network(run, quantized, folders)
    others = [open_network(Path(one), Path(q[-1]), folders) for one, q in pairs(fold, "--fold").items()]
    quality, on_quality = learn_quality(network, sizes, np.random.default_rng([seed, 1]))
    domain, on_domain = learn_domain(network, negatives or [], held_out or [], sizes, np.random.default_rng([seed, 2]))
    sweep, on_sweep = learn_sweep(network, others, quality, sizes, seed=seed)
    found = LearntHeads(network.weights_sha256, Heads(quality, domain, sweep))
    report = {
        "weights_sha256": network.weights_sha256,
        "seed": seed,
        "quality": on_quality,
        "domain": on_domain,
        "sweep": on_sweep,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    (out.parent / REPORT).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(json.dumps(report) if as_json else _told(report, out))


def _told(report: dict[str, Any], out: Path) -> str:
    quality, domain = report["quality"], report["domain"]
    sweep = report["sweep"].get("simulated_sweeps", {})
    clear = quality["auroc_clean_vs_poor"]["value"]
    lines = [
        f"quality: clean from poor AUROC {clear:.3f}, Spearman {quality['spearman']:.3f}",
        f"domain: kept {domain['kept']}",
        f"  refused { ({kind: one['refused'] for kind, one in domain['unseen'].items()}) }",
        f"sweep: attention minus maximum and mean {sweep.get('attention_minus', 'too few sweeps')}",
        f"wrote {out} and {out.parent / REPORT}. Next: sono model pack … --heads {out}",
    ]
    return "\n".join(lines)
