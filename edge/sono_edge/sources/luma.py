"""The grey picture of a decoded frame: its Y plane, as bright as training saw it, and how coloured it is.

Measured, 640x480: copying a full-range plane 0.01 ms, expanding a limited one 0.07 ms, colour 0.01 ms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    import av
    from numpy.typing import NDArray

    from sono_models.inputs import Grey

PLANAR = frozenset(
    {
        *("yuv410p", "yuv411p", "yuv420p", "yuv422p", "yuv440p", "yuv444p"),
        *("yuvj411p", "yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p"),
    }
)
INTERLEAVED = frozenset({"nv12", "nv21", "nv16", "nv24", "nv42"})
"""One plane of luma, one of alternating chroma."""
PACKED = {"yuyv422": (0, 1, 3), "yvyu422": (0, 3, 1), "uyvy422": (1, 0, 2)}
"""What grabbers give: where in two pixels' four bytes the first luma and the two chromas stand."""
FULL_RANGE = 2
"""AVCOL_RANGE_JPEG."""
LIMITED_RANGE = 1
"""AVCOL_RANGE_MPEG."""
BLACK, WHITE = 16, 235
"""Luma of black and of white in the limited range (ITU-R BT.601)."""
COLOURED = 24
"""A chroma this far from 128 is clearly a colour: codec noise on a grey picture stays below 10."""
THUMBNAIL_PX = (64, 48)
"""Colour is looked at in at least so many points across and down, where the picture has them."""


def look(frame: av.VideoFrame) -> tuple[Grey, float]:
    """The frame as grey (height, width), full range, a copy; and the share of clearly coloured points, 0 to 1."""
    name = frame.format.name
    if name in ("gray", "gray8"):
        picture = _expanded(plane(frame, 0)[:, : frame.width], limited=frame.color_range == LIMITED_RANGE)
        return _upright(picture, frame.rotation), 0.0
    if name in PACKED:
        luma, chroma = _packed(frame, PACKED[name])
    elif name in PLANAR:
        luma, chroma = plane(frame, 0)[:, : frame.width], _planar_chroma(frame)
    elif name in INTERLEAVED:
        luma, chroma = plane(frame, 0)[:, : frame.width], _interleaved_chroma(frame)
    else:
        # RGB, palettes and deep colour are rare: libswscale makes them full-range 8 bit, by BT.601 as OpenCV does.
        frame, rotation = frame.reformat(format="yuvj420p"), frame.rotation
        luma, chroma = plane(frame, 0)[:, : frame.width], _planar_chroma(frame)
        return _upright(luma.copy(), rotation), coloured_share(*chroma)
    picture = _expanded(luma, limited=not (name.startswith("yuvj") or frame.color_range == FULL_RANGE))
    return _upright(picture, frame.rotation), coloured_share(*chroma)


def coloured_share(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Of two chroma planes of one shape, the share of points that are clearly coloured, seen in a thumbnail."""
    step = max(1, min(first.shape[1] // THUMBNAIL_PX[0], first.shape[0] // THUMBNAIL_PX[1]))
    # One wrapping subtraction and one comparison say |chroma - 128| > COLOURED without leaving uint8.
    floor, width = np.uint8(128 - COLOURED), np.uint8(2 * COLOURED)
    coloured = (first[::step, ::step] - floor > width) | (second[::step, ::step] - floor > width)
    return float(np.count_nonzero(coloured)) / coloured.size if coloured.size else 0.0


def expand(luma: Grey) -> Grey:
    """Limited-range luma (16 is black, 235 white) as full-range grey, rounded and clipped."""
    # Subtracting first saturates at black; convertScaleAbs alone would turn what lies under it bright again.
    return np.asarray(cv2.convertScaleAbs(cv2.subtract(luma, BLACK), alpha=255 / (WHITE - BLACK)), np.uint8)  # type: ignore[call-overload]


def plane(frame: av.VideoFrame, number: int) -> NDArray[np.uint8]:
    """One plane as the decoder holds it, (rows, bytes a row), padding included; not a copy."""
    held = frame.planes[number]
    return np.frombuffer(memoryview(held), np.uint8, held.height * held.line_size).reshape(held.height, held.line_size)


def _expanded(luma: NDArray[np.uint8], *, limited: bool) -> Grey:
    return expand(luma) if limited else luma.copy()


def _planar_chroma(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    width = frame.planes[1].width
    return plane(frame, 1)[:, :width], plane(frame, 2)[:, :width]


def _interleaved_chroma(frame: av.VideoFrame) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    both, width = plane(frame, 1), frame.planes[1].width
    return both[:, 0 : 2 * width : 2], both[:, 1 : 2 * width : 2]


def _packed(
    frame: av.VideoFrame, order: tuple[int, int, int]
) -> tuple[NDArray[np.uint8], tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    rows, (luma, first, second) = plane(frame, 0)[:, : 2 * frame.width], order
    return rows[:, luma::2], (rows[:, first::4], rows[:, second::4])


def _upright(picture: Grey, rotation: int) -> Grey:
    """Turn by the degrees (anticlockwise) that a phone's file asks for."""
    turns = round(rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture
