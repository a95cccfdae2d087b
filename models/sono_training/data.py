"""Pictures in memory, and shuffled, augmented batches of them made one batch ahead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from sono_models.inputs import InputSpec, letterbox
from sono_models.table import Row, read_grey, read_mask
from sono_training.augment import disturb, warp
from sono_training.net import CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sono_models.inputs import Grey
    from sono_training.recipe import Recipe

STRIDE = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture. `targets` is (benign present, malignant present)."""

    picture: Grey
    mask: Grey | None
    targets: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Batch:
    """x (n, 1, h, w) in (pixel - 127) / 128; targets (n, 2); cover (n, 2, h/16, w/16), NaN where no mask."""

    x: torch.Tensor
    targets: torch.Tensor
    cover: torch.Tensor


def load(rows: Sequence[Row]) -> list[Sample]:
    """Every picture of the rows, read once."""
    return [_sample(row) for row in rows]


def _sample(row: Row) -> Sample:
    mask = read_mask(row.mask).astype(np.uint8) * 255 if row.mask and row.mask.is_file() else None
    targets = (float(row.label == CLASSES[0]), float(row.label == CLASSES[1]))
    return Sample(read_grey(row.image), mask, targets)


def as_input(pictures: Sequence[Grey]) -> torch.Tensor:
    """Model inputs (h, w) uint8 as the float network takes them."""
    stacked = torch.from_numpy(np.stack(pictures)).unsqueeze(1).float()
    return ((stacked - 127.0) / 128.0).contiguous(memory_format=torch.channels_last)


def letterboxed(rows: Sequence[Row], spec: InputSpec) -> list[Grey]:
    """The rows as the device would see them."""
    return [letterbox(read_grey(row.image), spec)[0] for row in rows]


def batches(samples: Sequence[Sample], recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """One epoch, shuffled and augmented by (seed, epoch) alone, so that a resumed run sees the same."""
    order = np.random.default_rng([recipe.seed, epoch]).permutation(len(samples))
    chunks = [order[start : start + recipe.batch] for start in range(0, len(order), recipe.batch)]
    if len(chunks) > 1 and len(chunks[-1]) < recipe.batch // 2:
        chunks.pop()

    def make(number: int) -> Batch:
        rng = np.random.default_rng([recipe.seed, epoch, number])
        return _batch([samples[i] for i in chunks[number]], recipe.input, rng)

    with ThreadPoolExecutor(1, thread_name_prefix="augment") as pool:
        ahead = pool.submit(make, 0)
        for number in range(len(chunks)):
            batch = ahead.result()
            if number + 1 < len(chunks):
                ahead = pool.submit(make, number + 1)
            yield batch


def _batch(samples: Sequence[Sample], spec: InputSpec, rng: np.random.Generator) -> Batch:
    grid = (spec.width // STRIDE, spec.height // STRIDE)
    pictures: list[Grey] = []
    cover = np.full((len(samples), 2, grid[1], grid[0]), np.nan, np.float32)
    for index, sample in enumerate(samples):
        picture, mask = warp(sample.picture, sample.mask, spec, rng)
        pictures.append(disturb(picture, rng))
        if not any(sample.targets):
            cover[index] = 0.0
        elif mask is not None:
            share = cv2.resize(mask, grid, interpolation=cv2.INTER_AREA).astype(np.float32) / 255.0
            cover[index] = share[None] * np.array(sample.targets, np.float32)[:, None, None]
    targets = torch.tensor([sample.targets for sample in samples])
    return Batch(as_input(pictures), targets, torch.from_numpy(cover))
