"""What a finished training run hands on to quantization: one folder, read without the network's source.

run.json      what was trained, on what (this module)
folded.pt2    the network with batch norm folded away, a saved torch.export program:
              (n, 1, height, width) in (pixel - 127) / 128 → run.json's `outputs`, each (n, channels, rows, columns)
fit.csv       the rows it was fitted on, images as ROOT:PATH
dev.csv       the rows kept for calibration and the threshold
dev_views.npy their pictures as training would have disturbed them, uint8 (views, rows, height, width)
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from sono_models.errors import BadConfig
from sono_models.inputs import InputSpec
from sono_models.saliency import Pooling
from sono_models.table import Row, read_table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

RUN, NETWORK, FIT, DEV, DEV_VIEWS = "run.json", "folded.pt2", "fit.csv", "dev.csv", "dev_views.npy"
COLUMNS = ("image", "mask", "label", "group")


class Handover(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`run.json`. `tables` is the sha256 of every table by its name in the recipe."""

    name: str
    recipe_sha256: str
    seed: int
    labels: tuple[str, ...]
    input: InputSpec
    outputs: tuple[str, ...]
    """The network's, in its order: see sono_models.runtime.Raw."""
    pooling: Pooling
    tables: dict[str, str]
    weights_sha256: str
    """Of the folded network's float32 tensors, in its order."""
    made_with: dict[str, str]


def read_handover(run: Path) -> Handover:
    """Raises BadConfig when the folder is not a finished run."""
    path = run / RUN
    try:
        return msgspec.json.decode(path.read_bytes(), type=Handover)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(
            str(path), f"not a finished training run ({error})", "Name the --out of `sono model train`"
        ) from error


def read_rows(table: Path, roots: Mapping[str, Path]) -> list[Row]:
    """The rows of `fit.csv` or `dev.csv`, their files found under the roots given."""
    return [
        replace(
            row,
            image=resolve(row.columns["image"], roots),
            mask=resolve(row.columns["mask"], roots) if row.columns.get("mask") else None,
        )
        for row in read_table(table)
    ]


def read_dev_views(run: Path, rows: int, spec: InputSpec) -> NDArray[np.uint8]:
    """(views, rows, height, width), left on disk. Raises BadConfig when they are not of this run's dev split."""
    path = run / DEV_VIEWS
    again = "Run `sono model train` once more: it goes on where it ended and writes them"
    try:
        views: NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise BadConfig(str(path), f"no views of the dev split ({error})", again) from error
    if views.dtype != np.uint8 or views.shape[1:] != (rows, spec.height, spec.width):
        raise BadConfig(str(path), f"holds {views.dtype} {views.shape}, not views of {rows} dev pictures", again)
    return views


def resolve(name: str, roots: Mapping[str, Path]) -> Path:
    """The file that ROOT:PATH names. Raises BadConfig for a root that is not given."""
    root, _, rest = name.partition(":")
    if root not in roots:
        raise BadConfig(name, f"the root '{root}' is not given", f"Add --root {root}=DIR")
    return roots[root] / rest
