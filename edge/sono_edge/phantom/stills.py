"""Single pictures for training: another breast and another scanner for every seed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from sono_edge.phantom.anatomy import Anatomy, draw_anatomy
from sono_edge.phantom.lesion import Kind, Lesion, draw_lesion
from sono_edge.phantom.render import Hold, build_scanner, draw_look, render

if TYPE_CHECKING:
    from numpy.typing import NDArray

StillKind = Literal["normal", "benign", "malignant"]

EDGE_SHARE = 1 / 6
"""The share of lesion stills cut near the lesion's end, where the cross-section is small."""
AIR_SHARE = 1 / 8
"""The share of normal stills without contact."""


def still(
    *, seed: int, kind: StillKind, size: tuple[int, int] = (640, 480)
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a picture of `size` (width, height), uint8, and its mask, 0 or 255, of the same shape."""
    rng = np.random.default_rng((seed, 1))
    scanner = build_scanner(rng, draw_look(rng), size)
    anatomy = draw_anatomy(rng)
    lesions: tuple[Lesion, ...] = ()
    contact = None
    if kind != "normal":
        lesions = (settle(rng, kind, anatomy, size[0] / size[1]),)
        near_end = rng.random() < EDGE_SHARE
        off = rng.uniform(0.85, 0.96) if near_end else rng.uniform(0, 0.6)
        lesions = (replace(lesions[0], z_s=float(off * lesions[0].radius_z_s)),)
    elif rng.random() < AIR_SHARE:
        contact = np.full((1, size[0] // 2), rng.uniform(0, 0.02), np.float32)
    picture, masks = render(scanner, anatomy, lesions, Hold(contact=contact))
    mask = masks[0] if masks else np.zeros_like(picture)
    return picture, mask


def settle(rng: np.random.Generator, kind: Kind, anatomy: Anatomy, aspect: float, identity: int = 0) -> Lesion:
    """Draw a lesion in the fibroglandular layer, within a picture of this aspect (width over height)."""
    depth = rng.uniform(anatomy.fat + 0.06, max(anatomy.fat + 0.14, anatomy.gland - 0.1))
    place = (float(aspect * rng.uniform(0.25, 0.75)), float(min(max(depth, 0.22), 0.62)))
    return draw_lesion(rng, kind, place=place, surround_db=anatomy.gland_db, identity=identity)
