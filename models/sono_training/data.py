"""Labelled rows and the batches of an epoch, from the views of their tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sono_training.net import Front

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sono_models.inputs import Grey
    from sono_models.table import Row
    from sono_training.views import View


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture to fit on: where its views are, and what it shows. `targets`: each finding present, 0 or 1."""

    table: str
    row: int
    targets: tuple[float, ...]
    outlined: bool
    """Its lesion's place is known: by a mask, or because it shows no finding."""


@dataclass(frozen=True, slots=True)
class Batch:
    """targets (n, findings); outlined (n,); cover (n, findings, h/16, w/16) and fine (n, h/8, w/8): lesion shares."""

    front: Front
    targets: torch.Tensor
    outlined: torch.Tensor
    cover: torch.Tensor
    fine: torch.Tensor


def samples(tables: Mapping[str, Sequence[Row]], fit: Sequence[Row], labels: Sequence[str]) -> list[Sample]:
    """The rows to fit on, found in their tables."""
    wanted = {row.image for row in fit}
    return [
        _sample(table, number, row, labels)
        for table, rows in tables.items()
        for number, row in enumerate(rows)
        if row.image in wanted
    ]


def _sample(table: str, number: int, row: Row, labels: Sequence[str]) -> Sample:
    targets = tuple(float(row.label == label) for label in labels)
    return Sample(table, number, targets, outlined=row.mask is not None or not any(targets))


def as_input(pictures: Sequence[Grey]) -> torch.Tensor:
    """Model inputs (h, w) uint8 as the float network takes them."""
    stacked = torch.from_numpy(np.stack(pictures)).unsqueeze(1).float()
    return ((stacked - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)


def batches(every: Sequence[Sample], views: Mapping[str, View], size: int, rng: np.random.Generator) -> Iterator[Batch]:
    """One epoch, shuffled by `rng` when the first batch is asked for; made one batch ahead."""
    order = rng.permutation(len(every))
    chunks = [order[start : start + size] for start in range(0, len(order), size)]
    if len(chunks) > 1 and len(chunks[-1]) < size // 2:
        chunks.pop()
    with ThreadPoolExecutor(1, thread_name_prefix="batch") as pool:
        ahead = pool.submit(_batch, [every[i] for i in chunks[0]], views)
        for number in range(len(chunks)):
            batch = ahead.result()
            if number + 1 < len(chunks):
                ahead = pool.submit(_batch, [every[i] for i in chunks[number + 1]], views)
            yield batch


def _batch(chosen: Sequence[Sample], views: Mapping[str, View]) -> Batch:
    by_table = sorted(chosen, key=lambda sample: sample.table)
    parts = [
        (views[table], [sample.row for sample in by_table if sample.table == table])
        for table in sorted({sample.table for sample in by_table})
    ]
    fronts = [view.front(rows) for view, rows in parts]
    cover, fine = (
        torch.from_numpy(np.concatenate([getattr(view, name)[rows] for view, rows in parts])).float() / 255.0
        for name in ("coarse", "fine")
    )
    shows = torch.from_numpy(np.concatenate([view.shows[rows] for view, rows in parts]))
    targets = torch.tensor([sample.targets for sample in by_table]) * shows[:, None]
    return Batch(
        front=Front(*(torch.cat(each) for each in zip(*fronts, strict=True))),
        targets=targets,
        outlined=torch.tensor([sample.outlined for sample in by_table]),
        cover=cover.unsqueeze(1) * targets[:, :, None, None],
        fine=fine,
    )


def mixed(batch: Batch, alpha: float, rng: np.random.Generator) -> Batch:
    """Every picture with a share of another, behind the front (manifold mixup: Verma et al., ICML 2019).

    One share for the batch, at least half, from a beta distribution (alpha, alpha).
    """
    share = float(rng.beta(alpha, alpha))
    share = max(share, 1.0 - share)
    other = torch.from_numpy(rng.permutation(len(batch.targets)))

    def mix(values: torch.Tensor) -> torch.Tensor:
        return share * values + (1.0 - share) * values[other]

    return Batch(
        front=Front(*(mix(part).contiguous(memory_format=torch.channels_last) for part in batch.front)),
        targets=mix(batch.targets),
        outlined=batch.outlined & batch.outlined[other],
        cover=mix(batch.cover),
        fine=mix(batch.fine),
    )
