"""Where on the scanner's screen the ultrasound picture lies. Pure; grey (height, width).

Tissue is textured all over; a screen's ground and its panels are flat, and its text is mostly ground. So the
region is the largest connected area that is dense in texture, after whatever is narrower than a text line's
neighbourhood was taken off. What is in doubt lies outside.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sono_models.inputs import Box, Grey

WORK_PX = 480
"""The region is found in a picture of at most so many points a side: 2 ms, and text is still text."""
DARK_GREY = 5
"""So far from the ground's grey a point is lit: codec noise on black stays below."""
FLAT_GREY = 2
"""A neighbourhood that varies by no more is a panel's; speckle, dark or bright, varies more."""
DENSE = 0.62
"""The share of lit points around a point of tissue; around one of bold text it is below 0.55."""
AROUND_PX, OPEN_PX, MARGIN_PX = 13, 41, 3
"""In the work picture: the neighbourhood, the narrowest part that is tissue, and what is taken off the edge."""
PLAIN_SHARE = 0.4
"""Of the region's lesser side: what sticks out of it and is narrower is not tissue."""
LEAST_SHARE = 0.06
"""Of the screen: a smaller region is not taken for one."""
LEAST_SIDE = 0.15
SAME_IOU = 0.97
"""Two regions that share so much are one: a clip's edge does not jitter."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """`mask` (height, width) is 255 inside, 0 outside; `box` is the smallest around it, in shares."""

    mask: Grey
    box: Box


def find(picture: Grey) -> Region | None:
    """The region of one frame; None when there is none to be sure of."""
    height, width = picture.shape
    scale = min(1.0, WORK_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    if min(small.shape) < OPEN_PX:
        return None
    body = _largest(_opened(_dense(small), OPEN_PX))
    if body is None:
        return None
    inside = _eroded(_plain(_filled(body)), MARGIN_PX)
    left, top, across, down = cv2.boundingRect(inside)
    if cv2.countNonZero(inside) < LEAST_SHARE * inside.size:
        return None
    if across < LEAST_SIDE * inside.shape[1] or down < LEAST_SIDE * inside.shape[0]:
        return None
    box = Box(left / size[0], top / size[1], (left + across) / size[0], (top + down) / size[1])
    return Region(np.asarray(cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8), box)


def follow(before: Region | None, picture: Grey) -> Region | None:
    """The next frame's region: the one before while nothing moved, the new one after a change of depth or zoom.

    None as soon as the new frame has none, whatever was there before.
    """
    found = find(picture)
    if found is None or before is None or before.mask.shape != found.mask.shape:
        return found
    shared = cv2.countNonZero(cv2.bitwise_and(before.mask, found.mask))
    either = cv2.countNonZero(cv2.bitwise_or(before.mask, found.mask))
    return before if shared >= SAME_IOU * either else found


def _dense(small: Grey) -> Grey:
    lit = cv2.threshold(cv2.absdiff(small, np.full_like(small, _ground(small))), DARK_GREY, 1, cv2.THRESH_BINARY)[1]
    near = np.ones((7, 7), np.uint8)
    varies = cv2.subtract(cv2.dilate(small, near), cv2.erode(small, near))
    textured = cv2.threshold(varies, FLAT_GREY, 1, cv2.THRESH_BINARY)[1]
    both = cv2.threshold(cv2.min(lit, textured), 0, 255, cv2.THRESH_BINARY)[1]
    share = cv2.blur(both, (AROUND_PX, AROUND_PX), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.threshold(share, 255 * DENSE, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _ground(small: Grey) -> int:
    """The grey that the screen's flat parts have: the commonest of the darker half, black where nothing is flat."""
    counts = np.bincount(small.ravel(), minlength=256)[:128]
    grey = int(counts.argmax())
    return grey if counts[grey] > 0.15 * small.size else 0


def _opened(mask: Grey, by: int) -> Grey:
    """Without what is narrower than `by`; the screen's own edge does not count as one."""
    wide = cv2.copyMakeBorder(mask, by, by, by, by, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(wide, cv2.MORPH_OPEN, np.ones((by, by), np.uint8))
    return np.ascontiguousarray(opened[by:-by, by:-by])


def _plain(mask: Grey) -> Grey:
    """Without bumps: a line of text that touches the region sticks out of it. Sectors are round, others square."""
    _, _, across, down = cv2.boundingRect(mask)
    by = max(3, round(PLAIN_SHARE * min(across, down)))
    return np.asarray(cv2.bitwise_or(_opened(mask, by), _rounded(mask, by / 2)), np.uint8)


def _rounded(mask: Grey, radius: float) -> Grey:
    """Opened by a disc: the points within `radius` of one that lies as deep (two distances, not a big kernel)."""
    pad = round(2 * radius) + 1
    wide = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    shallow = np.asarray(cv2.distanceTransform(wide, cv2.DIST_L2, 5) < radius, np.uint8)
    near = np.asarray(cv2.distanceTransform(shallow, cv2.DIST_L2, 5) < radius, np.uint8) * np.uint8(255)
    if not shallow.all():
        return np.ascontiguousarray(near[pad:-pad, pad:-pad])
    return np.zeros_like(mask)


def _largest(mask: Grey) -> Grey | None:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4)
    if count < 2:
        return None
    biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(labels == biggest, np.uint8) * np.uint8(255)


def _filled(mask: Grey) -> Grey:
    """Holes closed: a cyst is dark and belongs to the tissue around it."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), outlines, -1, 255, cv2.FILLED), np.uint8)


def _eroded(mask: Grey, by: int) -> Grey:
    """Smaller by `by` points, but for the screen's own edge."""
    wide = cv2.copyMakeBorder(mask, by, by, by, by, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(cv2.erode(wide, np.ones((2 * by + 1, 2 * by + 1), np.uint8))[by:-by, by:-by])
