"""Cheap pixel rules: is there a picture, does the probe touch, is it worth scoring, is it one plain picture? Pure.

A frame is judged on the model's input and on a thumbnail of it. The first rule that holds gives the gate and the
reason, in the order of `Gate`; whether the organ is the right one only the network can say, after its pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cache

import cv2
import numpy as np

from sono_edge.marks import seams, strokes
from sono_models.inputs import Grey, Placement
from sono_models.law import Gates

THUMB_PX = 64
TEXTURE_FROM, TEXTURE_TO = 0.05, 0.8
"""Rows, as shares of the height, whose texture tells tissue from air."""
TISSUE_TEXTURE = 0.14
"""Texture that the best third of a dark picture has when there is tissue in it and only the gain is low."""
WHITE = 245
GOOD_SHARPNESS, GOOD_DETAIL = 0.5, 8.0
"""What nineteen of twenty real stills exceed (BUSI, BUS-BRA): from here on quality is not limited by them."""
_THIRDS = ("left", "middle", "right")


class Gate(Enum):
    """What keeps a frame from being judged; PASS lets it through. The values travel in messages: add, never change."""

    PASS = "pass"  # noqa: S105  (not a password)
    NO_SIGNAL = "no-signal"
    DOPPLER = "doppler"
    NO_CONTACT = "no-contact"
    LOW_QUALITY = "low-quality"
    DUAL = "dual"
    CALIPERS = "calipers"
    NOT_BREAST = "not-breast"


@dataclass(frozen=True, slots=True)
class Quality:
    """A gate, one line of why, and a score of the picture, 0 to 1: contact times sharpness or detail, the lesser."""

    gate: Gate
    reason: str
    value: float


def thumbnail(boxed: Grey) -> Grey:
    """The model's input averaged down to THUMB_PX square: speckle noise goes, the picture stays."""
    return np.asarray(cv2.resize(boxed, (THUMB_PX, THUMB_PX), interpolation=cv2.INTER_AREA), np.uint8)


def mean_grey(thumb: Grey, placement: Placement) -> float:
    """The picture's mean grey, 0 to 255, by its thumbnail."""
    return float(cv2.mean(_inside(thumb, placement))[0])


def same_picture(one: Grey, other: Grey, gates: Gates) -> bool:
    """Two thumbnails of one frozen picture."""
    return int(np.asarray(cv2.absdiff(one, other)).max()) <= gates.frozen_diff


def look(boxed: Grey, thumb: Grey, placement: Placement, coloured_share: float, gates: Gates) -> Quality:
    """Judge one frame by the model's input and its thumbnail; `placement` says where in both the picture lies."""
    small = _inside(thumb, placement)
    textures = _textures(small)
    off = _thirds_off(small, textures, gates)
    unseen = _unseen(small, textures, off, coloured_share, gates)
    if unseen is not None:
        return unseen
    inside = _inside(boxed, placement)
    sharp, detail = _sharpness(inside), cv2.norm(small[1:], small[:-1], cv2.NORM_L1) / small[1:].size
    if detail < gates.detail or sharp < gates.sharpness:
        poor = (
            "little detail: check gain and depth" if detail < gates.detail else "blurred: check focus and video cable"
        )
        return Quality(Gate.LOW_QUALITY, poor, 0.0)
    touching = 1.0 - len(off) / len(_THIRDS)
    value = touching * min(1.0, sharp / GOOD_SHARPNESS, detail / GOOD_DETAIL)
    drawn, reason = _drawn(inside, gates, one_picture=bool(off))
    if drawn is not Gate.PASS:
        return Quality(drawn, reason, value)
    return Quality(Gate.PASS, f"no contact: {' and '.join(off)} third" if off else "", value)


def recognise(quality: Quality, not_breast: float | None, gates: Gates) -> Quality:
    """The judgement once the network has seen the picture: the probability that it is not the bundle's organ.

    None, from a bundle without such a head, changes nothing.
    """
    if quality.gate is not Gate.PASS or not_breast is None or not_breast <= gates.not_breast:
        return quality
    return Quality(Gate.NOT_BREAST, "this does not look like breast", quality.value)


def _unseen(small: Grey, textures: list[float], off: list[str], coloured_share: float, gates: Gates) -> Quality | None:
    """What the thumbnail alone rules out: no picture, colour, a gain far off, no contact."""
    if float(cv2.meanStdDev(small)[1][0, 0]) < gates.signal_spread:
        return Quality(Gate.NO_SIGNAL, "the picture is empty", 0.0)
    if coloured_share > gates.doppler_share:
        return Quality(Gate.DOPPLER, "colour in the picture", 0.0)
    exposed = _exposed(small, max(textures), gates)
    if exposed:
        return Quality(Gate.LOW_QUALITY, exposed, 0.0)
    return Quality(Gate.NO_CONTACT, "no contact: whole probe", 0.0) if len(off) == len(_THIRDS) else None


def _inside(picture: Grey, placement: Placement) -> Grey:
    rows, columns = picture.shape
    top, left = round(placement.y0 * rows), round(placement.x0 * columns)
    bottom = max(top + 2, round((placement.y0 + placement.height) * rows))
    right = max(left + 3, round((placement.x0 + placement.width) * columns))
    return picture[top:bottom, left:right]


def _textures(small: Grey) -> list[float]:
    """Of each third: how far grey departs from its row's mean, as a share of all grey. Air has next to none."""
    rows = small.shape[0]
    band = small[int(TEXTURE_FROM * rows) : max(int(TEXTURE_TO * rows), 1)].astype(np.float32)
    starts, widths = _thirds(band.shape[1])
    sums = np.add.reduceat(band, starts, axis=1)
    departures = np.asarray(cv2.absdiff(band, np.repeat(sums / np.asarray(widths, np.float32), widths, axis=1)))
    shares = np.add.reduceat(departures.sum(axis=0), starts) / np.maximum(sums.sum(axis=0), 1.0)
    return [float(share) for share in shares]


@cache
def _thirds(columns: int) -> tuple[list[int], list[int]]:
    """(starts, widths) of three parts of so many columns, as equal as can be, the wider ones first."""
    widths = [columns // len(_THIRDS) + (third < columns % len(_THIRDS)) for third in range(len(_THIRDS))]
    return [sum(widths[:third]) for third in range(len(_THIRDS))], widths


def _thirds_off(small: Grey, textures: list[float], gates: Gates) -> list[str]:
    rows = small.shape[0]
    band = small[int(gates.contact_from * rows) : max(int(gates.contact_to * rows), 1)]
    band = band if band.size else small
    starts, widths = _thirds(band.shape[1])
    greys = np.add.reduceat(band.sum(axis=0, dtype=np.int64), starts) / (np.asarray(widths) * band.shape[0])
    return [
        name
        for name, grey, texture in zip(_THIRDS, greys, textures, strict=True)
        if grey < gates.contact_grey or (grey < gates.air_grey and texture < gates.contact_texture)
    ]


def _sharpness(inside: Grey) -> float:
    """Structure finer than 3 points over structure from there to 9, both as mean absolute grey."""
    fine = cv2.blur(inside, (3, 3))
    return cv2.norm(inside, fine, cv2.NORM_L1) / (cv2.norm(fine, cv2.blur(inside, (9, 9)), cv2.NORM_L1) + 1.0)


def _exposed(small: Grey, texture: float, gates: Gates) -> str:
    """What is wrong with the gain, and what to do; empty when nothing is. A dark picture of air wants contact."""
    if float(np.count_nonzero(small >= WHITE)) > gates.glare_share * small.size:
        return "too bright: turn the gain down"
    dark = texture >= TISSUE_TEXTURE and np.count_nonzero(small < gates.dark_grey) > int(0.95 * (small.size - 1))
    return "too dark: turn the gain up" if dark else ""


def _drawn(inside: Grey, gates: Gates, *, one_picture: bool) -> tuple[Gate, str]:
    """Seams and strokes. Where contact is lost on one side the edge of the contact is no seam."""
    across, down = (0.0, 0.0) if one_picture else seams(inside)
    if across > gates.seam_across:
        return Gate.DUAL, "two pictures side by side: show one"
    if down > gates.seam_down:
        return Gate.DUAL, "two pictures, one above the other: show one"
    if gates.strokes and strokes(inside) >= gates.strokes:
        return Gate.CALIPERS, "calipers or text over the tissue: clear them"
    return Gate.PASS, ""
