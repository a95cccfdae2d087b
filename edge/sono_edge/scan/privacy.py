"""What may be stored of a frame: its ultrasound region without anything that looks written. Pure.

Everything outside the region is black. At the region's border, where names and dates stand, every thin bright
mark is black too; further in, whatever lies in a row as letters do. Where no region is known, nothing may be
stored at all.
"""

from __future__ import annotations

import cv2
import numpy as np

from sono_edge.scan.region import Region
from sono_models.inputs import Grey

STROKE_SHARE = 0.014
"""Of the picture's longer side: the widest stroke of a letter."""
BORDER_GREY, SOFT_GREY, LETTER_GREY = 55, 12, 70
"""How much brighter than its surroundings a mark is: at the border, beside another mark there, and further in."""
GLYPH_HEIGHTS = (0.8, 7.0)
"""Of a stroke's greatest width: how high a letter is."""
GLYPHS_LEAST = 3
"""So many letters in a row are text."""
LABELS_16 = 65_535
"""So many parts can be told apart by 16 bits, in a third of the time; there are no more parts than points."""
AROUND_SHARE = 0.25
"""Of a stroke's greatest width: what is blanked around a mark, for its soft edge."""


def cleaned(picture: Grey, region: Region) -> Grey:
    """A copy with only what may be stored; the region's mask is of the picture's size."""
    marks = _marks(picture, region)
    return np.asarray(cv2.bitwise_and(picture, cv2.subtract(region.mask, marks)), np.uint8)


def _marks(picture: Grey, region: Region) -> Grey:
    """255 where something is written at the region's border or in it."""
    stroke = max(3, round(STROKE_SHARE * max(picture.shape)))
    thin = cv2.morphologyEx(picture, cv2.MORPH_TOPHAT, np.ones((stroke, stroke), np.uint8))
    at_border = cv2.bitwise_and(_over(thin, BORDER_GREY), region.border)
    if cv2.countNonZero(at_border):
        near = cv2.dilate(at_border, np.ones((2 * stroke + 1, 2 * stroke + 1), np.uint8))
        soft = cv2.bitwise_and(_over(thin, SOFT_GREY), cv2.bitwise_and(near, region.border))
        at_border = cv2.bitwise_or(at_border, soft)
    written = _written(np.asarray(cv2.bitwise_and(_over(thin, LETTER_GREY), region.mask), np.uint8), stroke)
    around = 2 * max(1, round(AROUND_SHARE * stroke)) + 1
    both = cv2.bitwise_or(at_border, written)
    return np.asarray(cv2.dilate(both, np.ones((around, around), np.uint8)), np.uint8)


def _over(thin: cv2.typing.MatLike, grey: int) -> Grey:
    return np.asarray(cv2.threshold(thin, grey, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _written(marks: Grey, stroke: int) -> Grey:
    """Those marks that have the size of letters and stand in a row of at least GLYPHS_LEAST, with the row's gaps."""
    lit = cv2.countNonZero(marks)
    if not lit:
        return marks
    low, high = GLYPH_HEIGHTS[0] * stroke, GLYPH_HEIGHTS[1] * stroke
    width = cv2.CV_16U if lit < LABELS_16 else cv2.CV_32S
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks, connectivity=8, ltype=width)
    heights, widths = stats[:, cv2.CC_STAT_HEIGHT], stats[:, cv2.CC_STAT_WIDTH]
    areas = stats[:, cv2.CC_STAT_AREA]
    upright = (heights >= low) & (heights <= high) & (widths <= 1.3 * heights) & (areas < 0.85 * heights * widths)
    upright[0] = False
    letters = [int(one) for one in np.flatnonzero(upright)]
    chosen = np.zeros(count, np.uint8)
    for row in rows_of([(int(x), int(y), int(w), int(h)) for x, y, w, h in stats[letters, :4]]):
        if len(row) >= GLYPHS_LEAST:
            chosen[[letters[place] for place in row]] = 255
    return np.asarray(chosen[labels], np.uint8) if chosen.any() else np.zeros_like(marks)


def rows_of(boxes: list[tuple[int, int, int, int]]) -> list[list[int]]:
    """Places of boxes (x, y, width, height) that follow one another on a line: of one height, and near."""
    order = sorted(range(len(boxes)), key=lambda place: boxes[place][0])
    rows: list[list[int]] = []
    for place in order:
        x, y, _, height = boxes[place]
        for row in rows:
            last_x, last_y, last_width, last_height = boxes[row[-1]]
            same = abs(height - last_height) <= 0.35 * max(height, last_height)
            level = abs(y + height - last_y - last_height) <= 0.25 * max(height, last_height)
            if same and level and x - last_x - last_width <= 1.2 * height:
                row.append(place)
                break
        else:
            rows.append([place])
    return rows
