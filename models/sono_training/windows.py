"""What part of a still a view shows: all of it, a window around the lesion, or the tissue beside the lesion alone.

Public sets hold few stills without a lesion, and a probe on its way shows little else. Tissue beside a lesion is such
a picture too. Were it always a narrow strip, or a mirrored one, the strip would tell the label; so windows around the
lesion are cut and mirrored the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

NARROWEST = 0.25
"""The narrowest lesion-free window, as a share of the still's width."""
MARGIN = 0.03
"""How far a lesion-free window keeps from the lesion, and the least that a window around it shows beside it."""
MIRRORED = 0.5
"""The share of the windows whose tissue is mirrored outwards, as a simulated sweep's is."""
TISSUE = 0.08
"""A strip beside the lesion that is narrower gives no believable tissue when it is mirrored."""


class Windows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shares of the views that show tissue beside the lesion, and a window around it."""

    beside: float
    around: float


def cut(picture: Grey, mask: Grey, shares: Windows, rng: Generator) -> tuple[Grey, Grey]:
    """The part to show and its mask, of the still's height; the mask is empty where the lesion is not in it.

    A still whose mask is empty is cut like the tissue beside a lesion. Where there is too little of that, all is shown.
    """
    drawn = float(rng.random())
    if drawn >= shares.beside + shares.around:
        return picture, mask
    lesion = np.flatnonzero(mask.any(axis=0))
    if lesion.size and drawn >= shares.beside:
        return _around(picture, mask, (int(lesion[0]), int(lesion[-1]) + 1), rng)
    return _beside(picture, mask, lesion, rng)


def _beside(picture: Grey, mask: Grey, lesion: NDArray[np.intp], rng: Generator) -> tuple[Grey, Grey]:
    width = picture.shape[1]
    narrowest, away = round(NARROWEST * width), round(MARGIN * width)
    strips = [(0, int(lesion[0]) - away), (int(lesion[-1]) + 1 + away, width)] if lesion.size else [(0, width)]
    strips = [(first, last) for first, last in strips if last - first >= narrowest]
    if not strips:
        return picture, mask
    first, last = strips[rng.integers(len(strips))]
    wide = int(rng.integers(narrowest, last - first + 1))
    left = int(rng.integers(first, last - wide + 1))
    inside = slice(left, left + wide)
    by = _outwards(width - wide, (wide, wide), rng)
    return _spread(picture[:, inside], (wide, wide), by), _spread(mask[:, inside], (wide, wide), by)


def _around(picture: Grey, mask: Grey, lesion: tuple[int, int], rng: Generator) -> tuple[Grey, Grey]:
    width = picture.shape[1]
    first, last = lesion
    least = round(MARGIN * width)
    left = int(rng.integers(min(least, first), first + 1))
    right = int(rng.integers(min(least, width - last), width - last + 1))
    believable = [side if side >= TISSUE * width else 0 for side in (left, right)]
    inside = slice(first - left, last + right)
    by = _outwards(width - (left + last - first + right), (believable[0], believable[1]), rng)
    return _spread(picture[:, inside], (left, right), by), _spread(mask[:, inside], (left, right), by)


def _outwards(room: int, tissue: tuple[int, int], rng: Generator) -> tuple[int, int]:
    """By how much to mirror to the left and to the right: none, or up to the still's width."""
    missing = int(rng.integers(0, room + 1)) if rng.random() < MIRRORED else 0
    on_left = int(rng.integers(0, missing + 1))
    return on_left if tissue[0] else 0, missing - on_left if tissue[1] else 0


def _spread(part: Grey, tissue: tuple[int, int], by: tuple[int, int]) -> Grey:
    """Its outermost columns (`tissue` of them at each side) mirrored outwards."""
    sides = [part[:, : tissue[0]], part[:, part.shape[1] - tissue[1] :]]
    left = np.pad(sides[0], ((0, 0), (by[0], 0)), mode="reflect")[:, : by[0]] if by[0] else part[:, :0]
    right = np.pad(sides[1], ((0, 0), (0, by[1])), mode="reflect")[:, tissue[1] :] if by[1] else part[:, :0]
    return np.ascontiguousarray(np.hstack((left, part, right)))
