"""What the frozen front makes of every picture, in a number of augmented views, computed once for every fit.

The front (stem and first blocks) never learns, so its output for one view of one picture is the same for all
folds and recipes. A view is decided by (seed, view number, image name) alone. One folder a table and view:

detail.npy  float16 (rows, 40, h / 8, w / 8)      middle.npy  float16 (rows, 80, h / 16, w / 16)
coarse.npy  uint8 (rows, h / 16, w / 16)          fine.npy    uint8 (rows, h / 8, w / 8)
shows.npy   bool (rows,)

coarse and fine are the share of each cell that the lesion covers, of 255; shows is false where the view is of the
tissue beside the lesion, and shows no finding whatever the still's label. About 130 kB a picture and view at 256².
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import torch
from tqdm import tqdm

from sono_models.table import Row, read_grey, read_mask
from sono_training.augment import disturb, disturb_hard, warp
from sono_training.data import as_input
from sono_training.net import Front, SaliencyNet, pretrained
from sono_training.windows import Windows, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sono_models.inputs import Grey, InputSpec

VERSION = 2  # raise it when the augmentation or the front changes
CYCLE, HARD_FROM = 8, 5
"""Of every eight views the last three have the hard disturbances: the last epochs of a recipe of eight."""
BATCH = 32


def is_hard(view: int) -> bool:
    """Whether the disturbances of the view of that number are the hard ones."""
    return view % CYCLE >= HARD_FROM


@dataclass(frozen=True, slots=True)
class View:
    """One augmented view of every row of a table; arrays as the module says, mapped from disk."""

    detail: NDArray[np.float16]
    middle: NDArray[np.float16]
    coarse: NDArray[np.uint8]
    fine: NDArray[np.uint8]
    shows: NDArray[np.bool_]

    def front(self, rows: Sequence[int]) -> Front:
        """The front's output of some rows, as `SaliencyNet.back` takes it."""
        return Front(_batch(self.detail, rows), _batch(self.middle, rows))


def _batch(stored: NDArray[np.float16], rows: Sequence[int]) -> torch.Tensor:
    picked = torch.from_numpy(np.stack([stored[row] for row in rows]))
    return picked.float().contiguous(memory_format=torch.channels_last)


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as the network is given it, its mask with it, and whether it shows what its still is labelled."""

    picture: Grey
    mask: Grey | None
    shows: bool = True


def shown(row: Row, view: int, spec: InputSpec, seed: int, windows: Windows | None = None) -> Shown:
    """One still in one view. Without a mask all of it is shown: nobody knows where its lesion is."""
    rng = np.random.default_rng([seed, view, zlib.crc32(row.columns["image"].encode())])
    picture, shows = read_grey(row.image), True
    mask = read_mask(row.mask).astype(np.uint8) * 255 if row.mask is not None else None
    if mask is not None and windows is not None:
        has_lesion = bool(mask.any())
        picture, mask = cut(picture, mask, windows, rng)
        shows = bool(mask.any()) or not has_lesion
    picture, mask = warp(picture, mask, spec, rng)
    return Shown(disturb_hard(picture, mask, rng) if is_hard(view) else disturb(picture, rng), mask, shows)


class Views:
    """The views of one table, made when first asked for. Several trainings may share the folder."""

    def __init__(
        self,
        rows: Sequence[Row],
        table_sha256: str,
        spec: InputSpec,
        seed: int,
        cache: Path,
        windows: Windows | None = None,
    ) -> None:
        self._rows = rows
        self._spec, self._seed, self._windows = spec, seed, windows
        key = msgspec.json.encode([VERSION, table_sha256, spec, seed, len(rows), windows])
        self._folder = cache / hashlib.sha256(key).hexdigest()[:16]

    def view(self, number: int) -> View:
        """Waits while another process makes the same view."""
        folder = self._folder / f"view-{number:03d}"
        if not folder.is_dir():
            with _alone(self._folder / f"view-{number:03d}.lock"):
                if not folder.is_dir():
                    self._make(number, folder)
        return View(*(np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(View)))

    def _make(self, number: int, folder: Path) -> None:
        fresh = folder.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        rows, width, height = len(self._rows), self._spec.width, self._spec.height
        net = pretrained().eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shapes = {"detail": (rows, 40, height // 8, width // 8), "middle": (rows, 80, height // 16, width // 16)}
        fronts = [_new(fresh / f"{name}.npy", shape, np.float16) for name, shape in shapes.items()]
        covers = [_new(fresh / f"{name}.npy", (rows, height // cell, width // cell), np.uint8) for name, cell in _CELLS]
        shows = _new(fresh / "shows.npy", (rows,), np.bool_)
        for start in tqdm(range(0, rows, BATCH), desc=f"view {number}", unit="batch", disable=None):
            made = [
                shown(row, number, self._spec, self._seed, self._windows) for row in self._rows[start : start + BATCH]
            ]
            here = slice(start, start + len(made))
            for stored, found in zip(fronts, _front(net, [one.picture for one in made]), strict=True):
                stored[here] = found.numpy()
            for stored, (_, cell) in zip(covers, _CELLS, strict=True):
                stored[here] = [_cover(one.mask, width // cell, height // cell) for one in made]
            shows[here] = [one.shows for one in made]
        for stored in (*fronts, *covers, shows):
            stored.flush()
        fresh.rename(folder)


_CELLS = (("coarse", 16), ("fine", 8))


@torch.no_grad()
def _front(net: SaliencyNet, pictures: Sequence[Grey]) -> Front:
    return net.front(as_input(pictures))


def _cover(mask: Grey | None, columns: int, rows: int) -> NDArray[np.uint8]:
    if mask is None:
        return np.zeros((rows, columns), np.uint8)
    return np.asarray(cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _new(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap[Any, Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
