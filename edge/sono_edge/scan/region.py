"""Where on the scanner's screen the ultrasound picture lies. Pure; grey (height, width).

Tissue is textured all over; a screen's ground and its panels are flat, and its text is mostly ground. So the
region is the largest connected area that is dense in texture, after whatever is narrower than a text line's
neighbourhood was taken off. What is in doubt lies outside.

Finding it takes as long as half an inference, so a clip's region is followed instead: each frame is looked at in
coarse cells, 0.3 ms. What is no longer tissue leaves the region at once; what has become tissue waits until the
region is found anew, which a change of more than MOVED_SHARE brings about.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
CELL_PX, LOOK_PX = 8, 480
"""A cell's side, in a picture of which every n-th point is taken so that no side is longer than LOOK_PX."""
CELL_DENSE = 0.8
"""The share of lit points in a cell of tissue; more than DENSE, since text on a lit panel reaches that."""
MOVED_SHARE = 0.03
"""Of the region's cells: more that came or went, and the region is found anew."""
BORDER_SHARE = 0.035
"""Of the region's lesser side: how far in its border reaches."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """`mask` (height, width) is 255 inside, 0 outside; `box` is the smallest around it, in shares."""

    mask: Grey
    box: Box
    border: Grey
    """255 in the band inside the region's edge, where names and dates stand."""
    cells: Grey
    """1 where there was tissue when it was found, a value a cell."""


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
    mask = np.asarray(cv2.resize(inside, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    return Region(mask, box, _border(mask), _cells(picture))


def follow(before: Region | None, picture: Grey) -> Region | None:
    """The next frame's region: the one before without what is no longer tissue, a new one after a change of depth.

    None as soon as the new frame has none, whatever was there before.
    """
    if before is None or before.mask.shape != picture.shape:
        return find(picture)
    cells = _cells(picture)
    if cv2.countNonZero(cv2.absdiff(cells, before.cells)) > MOVED_SHARE * cv2.countNonZero(before.cells):
        return find(picture)
    gone = cv2.subtract(before.cells, cells)
    if not cv2.countNonZero(gone):
        return before
    # With the cells at the region's edge beside it, which were never tissue as a whole.
    gone = cv2.bitwise_and(cv2.dilate(gone, np.ones((3, 3), np.uint8)), cv2.absdiff(cells, np.ones_like(cells)))
    height, width = picture.shape
    away = cv2.resize(gone * np.uint8(255), (width, height), interpolation=cv2.INTER_NEAREST)
    return replace(before, mask=np.asarray(cv2.subtract(before.mask, away), np.uint8))


def _border(mask: Grey) -> Grey:
    """The band inside the region's edge; where the region ends with the screen that is an edge as well."""
    _, _, across, down = cv2.boundingRect(mask)
    reach = max(2, round(BORDER_SHARE * min(across, down)))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    deep = cv2.erode(mask, square, borderType=cv2.BORDER_CONSTANT, borderValue=(0,))
    return np.asarray(cv2.subtract(mask, deep), np.uint8)


def _cells(picture: Grey) -> Grey:
    """1 where a cell holds tissue: dense in texture or surrounded by it, and not as narrow as text."""
    step = -(-max(picture.shape) // LOOK_PX)
    small = np.ascontiguousarray(picture[:: max(2, step), :: max(2, step)])
    rows, columns = (max(1, side // CELL_PX) for side in small.shape)
    share = cv2.resize(_textured(small), (columns, rows), interpolation=cv2.INTER_AREA)
    dense = cv2.threshold(share, 255 * CELL_DENSE, 1, cv2.THRESH_BINARY)[1]
    ringed = cv2.copyMakeBorder(dense, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(ringed, np.zeros((rows + 4, columns + 4), np.uint8), (0, 0), (2,))
    body = np.asarray(cv2.threshold(cv2.absdiff(ringed, np.full_like(ringed, 2)), 0, 1, cv2.THRESH_BINARY)[1], np.uint8)
    return _opened(np.ascontiguousarray(body[1:-1, 1:-1]), 3)


def _dense(small: Grey) -> Grey:
    share = cv2.blur(_textured(small), (AROUND_PX, AROUND_PX), borderType=cv2.BORDER_REFLECT)
    return np.asarray(cv2.threshold(share, 255 * DENSE, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _textured(small: Grey) -> Grey:
    """255 at points that are lit and whose neighbourhood varies."""
    lit = cv2.threshold(cv2.absdiff(small, np.full_like(small, _ground(small))), DARK_GREY, 255, cv2.THRESH_BINARY)[1]
    near = np.ones((7, 7), np.uint8)
    varies = cv2.subtract(cv2.dilate(small, near), cv2.erode(small, near))
    return np.asarray(cv2.bitwise_and(lit, cv2.threshold(varies, FLAT_GREY, 255, cv2.THRESH_BINARY)[1]), np.uint8)


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
    """Without bumps: a line of text that touches the region sticks out of it. Sectors are round, others square.

    Reckoned on every second point, in a quarter of the time; what that rounds up stays inside the mask.
    """
    small = np.ascontiguousarray(mask[::2, ::2])
    _, _, across, down = cv2.boundingRect(small)
    by = max(3, round(PLAIN_SHARE * min(across, down)))
    both = cv2.bitwise_or(_opened(small, by), _rounded(small, by / 2))
    return np.asarray(
        cv2.bitwise_and(cv2.resize(both, mask.shape[::-1], interpolation=cv2.INTER_NEAREST), mask), np.uint8
    )


def _rounded(mask: Grey, radius: float) -> Grey:
    """Opened by a disc: the points within `radius` of one that lies as deep (two distances, not a big kernel)."""
    pad = round(2 * radius) + 1
    wide = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    shallow = np.asarray(cv2.distanceTransform(wide, cv2.DIST_L2, 5) < radius, np.uint8)
    if shallow.all():
        return np.zeros_like(mask)
    near = np.asarray(cv2.distanceTransform(shallow, cv2.DIST_L2, 5) < radius, np.uint8) * np.uint8(255)
    return np.ascontiguousarray(near[pad:-pad, pad:-pad])


def _largest(mask: Grey) -> Grey | None:
    # Sixteen bits number all parts: it was opened, so each is as wide as OPEN_PX.
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_16U)
    if count < 2:
        return None
    biggest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(cv2.inRange(labels, (biggest,), (biggest,)), np.uint8)


def _filled(mask: Grey) -> Grey:
    """Holes closed: a cyst is dark and belongs to the tissue around it."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(cv2.drawContours(np.zeros_like(mask), outlines, -1, 255, cv2.FILLED), np.uint8)


def _eroded(mask: Grey, by: int) -> Grey:
    """Smaller by `by` points, but for the screen's own edge."""
    wide = cv2.copyMakeBorder(mask, by, by, by, by, cv2.BORDER_REPLICATE)
    return np.ascontiguousarray(cv2.erode(wide, np.ones((2 * by + 1, 2 * by + 1), np.uint8))[by:-by, by:-by])
