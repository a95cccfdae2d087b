"""Cheap pixel rules on a thumbnail: is there a picture, does the probe touch, is it worth scoring? Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np

from sono_models.inputs import Grey, Placement
from sono_models.law import Gates

THUMB_PX = 64
_THIRDS = ("left", "middle", "right")


class Gate(Enum):
    """What keeps a frame from being judged; PASS lets it through."""

    PASS = "pass"  # noqa: S105  (not a password)
    NO_SIGNAL = "no-signal"
    NO_CONTACT = "no-contact"
    LOW_QUALITY = "low-quality"
    DOPPLER = "doppler"


@dataclass(frozen=True, slots=True)
class Quality:
    """A gate, one line of why, and a figure: the share of the picture that touches, 0 to 1."""

    gate: Gate
    reason: str
    value: float


def thumbnail(boxed: Grey) -> Grey:
    """The model's input averaged down to THUMB_PX square: speckle noise goes, the picture stays."""
    return np.asarray(cv2.resize(boxed, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), np.uint8)


def same_picture(one: Grey, other: Grey, gates: Gates) -> bool:
    """Two thumbnails of one frozen picture."""
    return int(np.asarray(cv2.absdiff(one, other)).max()) <= gates.frozen_diff


def look(thumb: Grey, placement: Placement, coloured_share: float, gates: Gates) -> Quality:
    """Judge one frame's thumbnail; `placement` says where in it the picture lies."""
    inside = _inside(thumb, placement)
    if float(inside.std()) < gates.signal_spread:
        return Quality(Gate.NO_SIGNAL, "the picture is empty", 0.0)
    if coloured_share > gates.doppler_share:
        return Quality(Gate.DOPPLER, "colour in the picture", 1.0)
    off = _thirds_off(inside, gates)
    touching = 1.0 - len(off) / len(_THIRDS)
    if len(off) == len(_THIRDS):
        return Quality(Gate.NO_CONTACT, "no contact: whole probe", 0.0)
    detail = float(np.abs(np.diff(inside.astype(np.int16), axis=0)).mean())
    if detail < gates.detail:
        return Quality(Gate.LOW_QUALITY, "little detail: check gain and depth", touching)
    return Quality(Gate.PASS, f"no contact: {' and '.join(off)} third" if off else "", touching)


def _inside(thumb: Grey, placement: Placement) -> Grey:
    rows, columns = thumb.shape
    top, left = round(placement.y0 * rows), round(placement.x0 * columns)
    bottom = max(top + 2, round((placement.y0 + placement.height) * rows))
    right = max(left + 3, round((placement.x0 + placement.width) * columns))
    return thumb[top:bottom, left:right]


def _thirds_off(inside: Grey, gates: Gates) -> list[str]:
    rows = inside.shape[0]
    band = inside[int(gates.contact_from * rows) : max(int(gates.contact_to * rows), 1)]
    if band.size == 0:
        band = inside
    thirds = np.array_split(band, 3, axis=1)
    return [name for name, third in zip(_THIRDS, thirds, strict=True) if float(third.mean()) < gates.contact_grey]
