"""The tissue beside a still's lesion: from where to where the lesion goes, and strips mirrored outwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.inputs import Grey


def across(mask: NDArray[np.bool_] | Grey) -> tuple[int, int] | None:
    """The lesion's first column and the one after its last; None where the mask (h, w) is empty."""
    columns = np.flatnonzero(mask.any(axis=0))
    return (int(columns[0]), int(columns[-1]) + 1) if columns.size else None


def outspread(picture: Grey, tissue: tuple[int, int], by: tuple[int, int]) -> Grey:
    """`picture` (h, w), wider by `by` columns at each side: its outermost `tissue` ones, mirrored as often as needed.

    Returns (h, by[0] + w + by[1]). Where `by` is not 0, `tissue` must not be.
    """
    width = picture.shape[1]
    left = np.pad(picture[:, : tissue[0]], ((0, 0), (by[0], 0)), mode="reflect")[:, : by[0]]
    right = np.pad(picture[:, width - tissue[1] :], ((0, 0), (0, by[1])), mode="reflect")[:, tissue[1] :]
    return np.hstack((left, picture, right))
