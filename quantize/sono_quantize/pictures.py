"""The pictures that calibration sees: letterboxed as on the device, chosen by seed, named by a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from sono_models.inputs import Grey, InputSpec, letterbox
from sono_models.table import Row, read_grey


def letterboxed(rows: Sequence[Row], spec: InputSpec, *, title: str) -> list[Grey]:
    """The rows' pictures as the device would see them."""
    return [letterbox(read_grey(row.image), spec)[0] for row in tqdm(rows, desc=title, unit="image", disable=None)]


def choose(rows: Sequence[Row], count: int, *, seed: int) -> list[Row]:
    """`count` rows (or all, when there are fewer), drawn without replacement, in the order drawn."""
    order = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[index] for index in order]


def names_digest(rows: Sequence[Row]) -> str:
    """sha256 of the list of images as the run names them (ROOT:PATH, one a line)."""
    return hashlib.sha256("".join(row.columns["image"] + "\n" for row in rows).encode()).hexdigest()
