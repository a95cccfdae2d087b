"""What scanners draw and tissue does not: thin upright strokes and straight seams. Pure; grey (height, width)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sono_models.inputs import Grey

MARGIN = 0.05
"""Strokes nearer to an edge than this share of the width or height are beside the tissue: depth marks, logos."""
UPRIGHT_GREY, CROSSING_GREY = 40, 12
"""How much brighter than what is 2 points away on both sides a stroke is, and one that crosses or adjoins it."""
STROKE_PX = 3
"""How long a stroke is at least, in points of the model's input."""
STEP_GREY = 20
"""A difference over 2 points that an edge has: speckle has it too, but not all along a line."""
BESIDE_PX = (3, 10)
"""A seam stands out against the lines that are so many points away."""
MIDDLE = (0.25, 0.75)
"""Where the seam between two pictures is looked for, as shares of the width or height."""

_ASIDE = np.array([[1, 0, 0, 0, 1]], np.uint8)
_ABOVE = np.ascontiguousarray(_ASIDE.T)
_UPRIGHT = np.ones((STROKE_PX, 1), np.uint8)
_LEVEL = np.ones((1, STROKE_PX), np.uint8)
_NEAR = np.ones((7, 7), np.uint8)


def strokes(inside: Grey) -> int:
    """How many points of an upright stroke, with a level one at it, lie over the picture's inner part.

    Letters and calipers have both; ligaments, fasciae and cyst walls lie level or bend, and speckle is too short.
    """
    upright = cv2.erode(cv2.subtract(inside, cv2.dilate(inside, _ASIDE)), _UPRIGHT)
    found = cv2.threshold(upright, UPRIGHT_GREY, 1, cv2.THRESH_BINARY)[1]
    rows, columns = inside.shape
    top, left = round(MARGIN * rows), round(MARGIN * columns)
    found = found[top : rows - top, left : columns - left]
    if not cv2.countNonZero(found):
        return 0
    level = cv2.erode(cv2.subtract(inside, cv2.dilate(inside, _ABOVE)), _LEVEL)
    crossed = cv2.threshold(cv2.dilate(level, _NEAR), CROSSING_GREY, 1, cv2.THRESH_BINARY)[1]
    return cv2.countNonZero(cv2.min(found, crossed[top : rows - top, left : columns - left]))


def seams(inside: Grey) -> tuple[float, float]:
    """How much the straightest line stands out in the middle: from top to bottom, and from side to side; 0 to 1.

    The share of a line's points that are an edge, times how much greater that is than beside the line. Where two
    pictures meet, or a picture and the gap between, the line is an edge all along; what is in tissue bends or ends.
    """
    across, down = cv2.absdiff(inside[:, 2:], inside[:, :-2]), cv2.absdiff(inside[2:], inside[:-2])
    return _seam(np.asarray(across, np.uint8), 0), _seam(np.asarray(down, np.uint8), 1)


def _seam(steps: NDArray[np.uint8], along: int) -> float:
    edges = cv2.threshold(np.ascontiguousarray(steps), STEP_GREY, 1, cv2.THRESH_BINARY)[1]
    share = np.asarray(cv2.reduce(edges, along, cv2.REDUCE_AVG, dtype=cv2.CV_32F)).reshape(1, -1)
    near, far = 2 * BESIDE_PX[0] + 1, 2 * BESIDE_PX[1] + 1
    if share.size < far:
        return 0.0
    beside = (far * cv2.blur(share, (far, 1)) - near * cv2.blur(share, (near, 1))) / (far - near)
    begin, end = (round(part * share.size) for part in MIDDLE)
    return float((share * (share - beside))[0, begin:end].max())
