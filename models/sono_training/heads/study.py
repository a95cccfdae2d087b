"""The heads of one run: what they are shown, what they become, what that is worth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sono_models.heads import Domain, Linear, SweepAttention
from sono_models.table import Row, read_grey
from sono_training.augment import disturb, warp
from sono_training.heads.clips import Foreign, read_foreign, read_frames, under
from sono_training.heads.contest import INNER, OUTER, by_group, by_name, choose, contest
from sono_training.heads.domain import PARTS, Crowd, domain_figures, fit_domain
from sono_training.heads.frames import CONSTRUCTED, DEGRADATIONS, construct, degrade
from sono_training.heads.network import Network, patient_bags, sweep_bags, sweep_of
from sono_training.heads.quality import fit_quality, quality_figures, worsened
from sono_training.heads.sweep import Bag, fit_attention

if TYPE_CHECKING:
    from sono_models.inputs import Grey, InputSpec

CLIP_FRAMES = 16
MILD = 2.0
"""Organ pictures made worse by up to this severity still are of the organ."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is shown to the heads."""

    stills: int = 600
    constructed: int = 80
    """Of each kind, for training; as many others are kept to measure on."""


def learn_quality(network: Network, sizes: Sizes, rng: np.random.Generator) -> tuple[Linear, dict[str, Any]]:
    head = _quality(network, sizes, rng)
    return head, quality_figures(head, worsened(network.dev, network.seer, rng, each=6))


def _quality(network: Network, sizes: Sizes, rng: np.random.Generator) -> Linear:
    return fit_quality(worsened(_drawn(network.real(), sizes.stills, rng), network.seer, rng, each=3))


def learn_domain(
    network: Network, negatives: Sequence[Path], held_out: Sequence[Path], sizes: Sizes, rng: np.random.Generator
) -> tuple[Domain, dict[str, Any]]:
    """`negatives`: tables of clips, half of whose patients are kept to measure on; `held_out`: only measured."""
    foreign = [one for table in negatives for one in read_foreign(table)]
    unseen = [one for one in foreign if not one.trained()] + [one for path in held_out for one in under(path)]
    organ = _organ(network, _drawn(network.real(), sizes.stills, rng), rng)
    simulated = _drawn(network.simulated(), sizes.stills // 4, rng)
    if simulated:
        organ.append(_crowd(network, "simulated", "organ", [read_grey(row.image) for row in simulated]))
    dev = _organ(network, network.dev, rng)
    shown = np.concatenate([crowd.embeddings for crowd in dev])
    shown_clips = [one for one in foreign if one.trained()]
    others = [*_clips(network, shown_clips, rng), *_constructed(network, sizes, rng)]
    unknown = [*_clips(network, unseen), *_constructed(network, sizes, rng)]
    fitted = {parts: fit_domain(organ, others, shown, parts) for parts in PARTS}
    figures = {parts: domain_figures(domain, dev, unknown) for parts, domain in fitted.items()}
    return fitted["both"], {
        "sources": {"organ": len(organ), "others": len(others)},
        "frames": {
            side: sum(len(crowd.embeddings) for crowd in crowds)
            for side, crowds in (("organ", organ), ("others", others))
        },
        **figures["both"],
        # what each part alone would refuse: a line knows what it was shown, a distance what the organ is not
        "alone": {parts: _shares(figures[parts]) for parts in PARTS[:-1]},
    }


def _shares(figures: dict[str, Any]) -> dict[str, float]:
    return {kind: one["refused"] for kind, one in figures["unseen"].items()}


def learn_sweep(
    network: Network, folds: Sequence[Network], quality: Linear, sizes: Sizes, *, seed: int
) -> tuple[SweepAttention | None, dict[str, Any]]:
    """The head, or None where it was not shown to beat the maximum and the mean on simulated sweeps.

    With `folds`, networks that each left out a part of what `network` was fitted on, every frame is read by the
    network that has not seen its patient; without, only the dev split of `network` is used.
    """
    patients, sweeps = [], []
    for one, rows in _unseen(network, folds):
        # embeddings of two networks share no axes: each has its own quality head, and says the same with it
        judge = quality if one is network else _quality(one, sizes, np.random.default_rng([seed, 3]))
        patients.append(patient_bags(one, rows, judge))
        sweeps.append(sweep_bags(one, rows, judge, seed=seed))
    on_sweeps = _contest(sweeps)
    read_by = "networks that left the patient out" if folds else "the network, its dev split"
    figures = {"read_by": read_by, "patients": _contest(patients), "simulated_sweeps": on_sweeps}
    bags = [bag for part in sweeps for bag in part]
    if not on_sweeps.get("beats_maximum_and_mean"):
        return None, figures
    return fit_attention(bags, choose(bags)), figures


def _unseen(network: Network, folds: Sequence[Network]) -> list[tuple[Network, list[Row]]]:
    if not folds:
        return [(network, network.dev)]
    rows = [*network.fit, *network.dev]
    return [(fold, fold.left_out(rows)) for fold in folds]


def _contest(parts: Sequence[Sequence[Bag]]) -> dict[str, Any]:
    bags = [bag for part in parts for bag in part]
    least = min(sum(bag.positive for bag in bags), sum(not bag.positive for bag in bags))
    if least < OUTER * INNER:
        return {"sweeps": len(bags), "too_few": True}
    names = [str(number) for number, part in enumerate(parts) for _ in part]
    return contest(bags, by_name(names) if len(parts) > 1 else by_group(bags, OUTER))


def _drawn(rows: Sequence[Row], count: int, rng: np.random.Generator) -> list[Row]:
    return [rows[index] for index in rng.permutation(len(rows))[:count]]


def _organ(network: Network, rows: Sequence[Row], rng: np.random.Generator) -> list[Crowd]:
    """The organ's stills as they are, augmented as in training, a little worse, and in sweeps: four crowds."""
    ways = list(DEGRADATIONS)

    def worse() -> Iterator[Grey]:
        for number, row in enumerate(rows):
            yield degrade(read_grey(row.image), ways[number % len(ways)], float(rng.uniform(0.2, MILD)), rng)

    spec = network.seer.spec
    return [
        _crowd(network, "stills", "organ", (read_grey(row.image) for row in rows)),
        _crowd(network, "augmented", "organ", (_augmented(row, spec, rng) for row in rows)),
        _crowd(network, "worsened", "organ", worse()),
        _crowd(network, "sweeps", "organ", (sweep_of(row, int(rng.integers(2**31)), 3)[1] for row in rows)),
    ]


def _augmented(row: Row, spec: InputSpec, rng: np.random.Generator) -> Grey:
    return disturb(warp(read_grey(row.image), None, spec, rng)[0], rng)


def _clips(network: Network, foreign: Sequence[Foreign], rng: np.random.Generator | None = None) -> list[Crowd]:
    """A crowd a patient and kind; with `rng` every frame once more, augmented as the organ is."""
    together: dict[tuple[str, str], list[Path]] = {}
    for one in foreign:
        together.setdefault((one.patient, one.kind), []).append(one.path)

    def shown(paths: Sequence[Path]) -> Iterator[Grey]:
        for frame in (frame for path in paths for frame in read_frames(path, CLIP_FRAMES)):
            yield frame
            if rng is not None:
                yield disturb(warp(frame, None, network.seer.spec, rng)[0], rng)

    return [_crowd(network, f"{kind} {patient}", kind, shown(paths)) for (patient, kind), paths in together.items()]


def _constructed(network: Network, sizes: Sizes, rng: np.random.Generator) -> list[Crowd]:
    return [
        _crowd(network, kind, kind, (construct(kind, rng) for _ in range(sizes.constructed))) for kind in CONSTRUCTED
    ]


def _crowd(network: Network, name: str, kind: str, pictures: Iterator[Grey] | list[Grey]) -> Crowd:
    return Crowd(name, kind, network.seer.see(pictures, title=name).embeddings)
