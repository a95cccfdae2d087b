"""What part of a still a view shows: all of it, a window around the lesion, or the tissue beside the lesion alone.

Public sets hold few stills without a lesion, and a probe on its way shows little else. Tissue beside a lesion is such
a picture too. Were it always a narrow strip, or a mirrored one, the strip would tell the label; so windows around the
lesion are cut and mirrored the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sono_models.tissue import across, outspread

if TYPE_CHECKING:
    from numpy.random import Generator

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
    lesion = across(mask)
    if lesion is not None and drawn >= shares.beside:
        return _around(picture, mask, lesion, rng)
    return _beside(picture, mask, lesion, rng)


def _beside(picture: Grey, mask: Grey, lesion: tuple[int, int] | None, rng: Generator) -> tuple[Grey, Grey]:
    width = picture.shape[1]
    narrowest, away = round(NARROWEST * width), round(MARGIN * width)
    strips = [(0, lesion[0] - away), (lesion[1] + away, width)] if lesion is not None else [(0, width)]
    strips = [(first, last) for first, last in strips if last - first >= narrowest]
    if not strips:
        return picture, mask
    first, last = strips[rng.integers(len(strips))]
    wide = int(rng.integers(narrowest, last - first + 1))
    left = int(rng.integers(first, last - wide + 1))
    inside = slice(left, left + wide)
    by = _outwards(width - wide, (True, True), rng)
    return outspread(picture[:, inside], (wide, wide), by), outspread(mask[:, inside], (wide, wide), by)


def _around(picture: Grey, mask: Grey, lesion: tuple[int, int], rng: Generator) -> tuple[Grey, Grey]:
    width = picture.shape[1]
    first, last = lesion
    least = round(MARGIN * width)
    left = int(rng.integers(min(least, first), first + 1))
    right = int(rng.integers(min(least, width - last), width - last + 1))
    believable = left >= TISSUE * width, right >= TISSUE * width
    inside = slice(first - left, last + right)
    by = _outwards(width - (left + last - first + right), believable, rng)
    return outspread(picture[:, inside], (left, right), by), outspread(mask[:, inside], (left, right), by)


def _outwards(room: int, believable: tuple[bool, bool], rng: Generator) -> tuple[int, int]:
    """By how much to mirror to the left and to the right: none, or `room` together at most."""
    missing = int(rng.integers(0, room + 1)) if rng.random() < MIRRORED else 0
    on_left = int(rng.integers(0, missing + 1))
    return on_left if believable[0] else 0, missing - on_left if believable[1] else 0
