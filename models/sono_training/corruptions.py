"""What happens to an ultrasound picture on its way to the model: twelve corruptions, severity 1 to 5.

Every one takes a uint8 picture, grey (height, width) or blue-green-red (height, width, 3), and gives one of the
same shape. Lengths are in units of the longest side / 256, about a pixel of the model's input, so that a severity
means the same at every resolution. The qualities of JPEG are those of ImageNet-C (Hendrycks and Dietterich, ICLR
2019), the strength of speckle is reasoned at its function; the other steps are ours, with severity 3 the plain case:
gain by 6 dB, BT.709's limited range.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sono_models.inputs import Box

Picture = NDArray[np.uint8]
"""(height, width), grey, or (height, width, 3), blue, green, red."""

SEVERITIES = (1, 2, 3, 4, 5)
DYNAMIC_RANGE_DB = 60.0
"""What 255 grey levels show after log compression: a usual preset of breast scanners, 50 to 70 dB."""


@dataclass(frozen=True, slots=True)
class Case:
    """How much, drawn from what, and where the lesion is (fractions of the picture) if anybody knows."""

    severity: int
    rng: Generator
    lesion: Box | None = None

    def of(self, *steps: float) -> float:
        """The step of this severity."""
        return steps[self.severity - 1]


Corruption = Callable[[Picture, Case], Picture]


def corrupt(picture: Picture, name: str, *, severity: int, image: str, lesion: Box | None = None) -> Picture:
    """One picture under the corruption of that name (a key of CORRUPTIONS), the same for the same image name."""
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity}: 1 to 5")
    digest = hashlib.sha256(f"{name}:{severity}:{image}".encode()).digest()
    case = Case(severity, np.random.default_rng(int.from_bytes(digest[:8], "little")), lesion)
    return CORRUPTIONS[name](picture, case)


def gain_down(picture: Picture, case: Case) -> Picture:
    """Receive gain lowered by 2, 4, 6, 9, 12 dB: a shift of the log-compressed grey, 25.5 levels at 6 dB."""
    return _curve(picture, _gain(-case.of(2, 4, 6, 9, 12)))


def gain_up(picture: Picture, case: Case) -> Picture:
    """Receive gain raised by 2, 4, 6, 9, 12 dB."""
    return _curve(picture, _gain(case.of(2, 4, 6, 9, 12)))


def _gain(decibel: float) -> NDArray[np.float64]:
    levels = np.arange(256.0)
    return levels + _levels(decibel) * _signal(levels)


def depth_shallower(picture: Picture, case: Case) -> Picture:
    """Depth set shallower by 1.1, 1.2, 1.3, 1.5, 1.75: larger from the skin line down, the far field leaves."""
    zoom = case.of(1.1, 1.2, 1.3, 1.5, 1.75)
    return _zoomed(picture, zoom)


def depth_deeper(picture: Picture, case: Case) -> Picture:
    """Depth set deeper by the same factors: smaller, what was not in view below and beside is black."""
    zoom = case.of(1.1, 1.2, 1.3, 1.5, 1.75)
    return _zoomed(picture, 1.0 / zoom)


def _zoomed(picture: Picture, zoom: float) -> Picture:
    height, width = picture.shape[:2]
    middle = width / 2
    matrix = np.array([[zoom, 0.0, middle - zoom * middle], [0.0, zoom, 0.0]])
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


def blur(picture: Picture, case: Case) -> Picture:
    """Gaussian, sigma 0.5, 1, 1.5, 2, 3 units: an analogue cable, a scaler, a defocused camera."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), case.of(0.5, 1, 1.5, 2, 3) * _unit(picture)), np.uint8)


def speckle(picture: Picture, case: Case) -> Picture:
    """Grain of 0.8 units added in the log domain, standard deviation 1.6, 3.2, 4.8, 6.4, 8 dB.

    Fully developed speckle has 5.6 dB after log compression (Wagner et al., IEEE Trans. Sonics Ultrasonics 30
    (1983) 156), a compound of four looks 2.8 dB: 4.8 dB is what is added when compounding is switched off.
    """
    grain = case.rng.standard_normal(picture.shape[:2], np.float32)
    grain = np.asarray(cv2.GaussianBlur(grain, (0, 0), 0.8 * _unit(picture)), np.float32)
    grain *= _levels(case.of(1.6, 3.2, 4.8, 6.4, 8)) / max(float(grain.std()), 1e-6)
    return _clipped(picture + _over(grain, picture) * _signal(picture))


def jpeg(picture: Picture, case: Case) -> Picture:
    """JPEG of quality 25, 18, 15, 10, 7."""
    quality = int(case.of(25, 18, 15, 10, 7))
    _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    how = cv2.IMREAD_GRAYSCALE if picture.ndim == 2 else cv2.IMREAD_COLOR
    return np.asarray(cv2.imdecode(code, how), np.uint8)


def border(picture: Picture, case: Case) -> Picture:
    """The picture in a frame of one shade, up to 4, 8, 12, 18, 25 % a side: a grabber that does not crop."""
    height, width = picture.shape[:2]
    most = case.of(0.04, 0.08, 0.12, 0.18, 0.25)
    left, right = (case.rng.uniform(most / 2, most, 2) * width).astype(int)
    top, bottom = (case.rng.uniform(most / 2, most, 2) * height).astype(int)
    inner = (max(1, width - int(left) - int(right)), max(1, height - int(top) - int(bottom)))
    shade = int(case.rng.choice([0, 20, 60, 128, 255]))
    out = np.full_like(picture, shade)
    small = cv2.resize(picture, inner, interpolation=cv2.INTER_AREA)
    out[top : top + inner[1], left : left + inner[0]] = small
    return out


def text(picture: Picture, case: Case) -> Picture:
    """1, 2, 4, 6, 8 words burned in anywhere, in letters of 8 to 14 units."""
    out = picture.copy()
    height, width = picture.shape[:2]
    for _ in range(int(case.of(1, 2, 4, 6, 8))):
        at = (case.rng.uniform(0.02, 0.7) * width, case.rng.uniform(0.08, 0.97) * height)
        _write(out, at, case.rng.uniform(8, 14), case.rng)
    return out


def side_text(picture: Picture, case: Case) -> Picture:
    """A scanner's column: 2, 4, 7, 10, 13 settings down one side, and a depth ruler down the other."""
    out = picture.copy()
    height, width = picture.shape[:2]
    unit, right = _unit(picture), bool(case.rng.random() < 0.5)
    lines = int(case.of(2, 4, 7, 10, 13))
    across = (0.78 if right else 0.02) * width
    for line in range(lines):
        _write(out, (across, (0.08 + 0.88 * line / lines) * height), 9, case.rng)
    edge = 1 if right else width - 2
    inward = 1 if right else -1
    for tick, down in enumerate(np.linspace(0.03, 0.97, 5 * case.severity)):
        reach = round((6 if tick % 5 == 0 else 3) * unit)
        y = round(down * (height - 1))
        cv2.line(out, (edge, y), (edge + inward * reach, y), _shade(200), _thickness(unit))
    return out


def caliper(picture: Picture, case: Case) -> Picture:
    """1, 1, 2, 3, 4 measurements: a cross at each end and dots between. The first two span a known lesion's box."""
    out = picture.copy()
    height, width = picture.shape[:2]
    unit = _unit(picture)
    for number in range(int(case.of(1, 1, 2, 3, 4))):
        start, end = _ends(case, number)
        ends = np.array([start, end]) * [width, height]
        for x, y in ends:
            _cross(out, (float(x), float(y)), arm=case.rng.uniform(2.5, 4.5) * unit, thickness=_thickness(unit))
        steps = max(2, int(np.hypot(*(ends[1] - ends[0])) / (5 * unit)))
        for share in np.linspace(0, 1, steps):
            x, y = ends[0] + share * (ends[1] - ends[0])
            cv2.circle(out, (round(x), round(y)), max(0, round(0.5 * unit) - 1), _shade(230), -1)
    return out


def _ends(case: Case, number: int) -> tuple[tuple[float, float], tuple[float, float]]:
    box = case.lesion
    if box is None or number > 1:
        (x0, y0), (x1, y1) = case.rng.uniform([0.1, 0.1], [0.9, 0.9], (2, 2))
        return (float(x0), float(y0)), (float(x1), float(y1))
    x, y = box.centre()
    return ((box.x0, y), (box.x1, y)) if number == 0 else ((x, box.y0), (x, box.y1))


def moire(picture: Picture, case: Case) -> Picture:
    """A screen photographed: two gratings of 2.5 to 7 units across each other, together 6, 12, 20, 30, 40 % deep."""
    height, width = picture.shape[:2]
    unit, turned = _unit(picture), case.rng.uniform(0, math.pi)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / unit
    pattern = np.zeros((height, width), np.float32)
    for angle in (turned, turned + math.pi / 2 + case.rng.uniform(-0.15, 0.15)):
        period, phase = case.rng.uniform(2.5, 7.0), case.rng.uniform(0, 2 * math.pi)
        bend = 0.4 * np.sin((x - y) / 60.0 + phase)
        pattern += np.cos(2 * math.pi * (x * math.cos(angle) + y * math.sin(angle)) / period + phase + bend)
    depth = case.of(0.06, 0.12, 0.2, 0.3, 0.4)
    return _clipped(picture * (1.0 + _over(0.5 * depth * pattern, picture)))


def range_washed(picture: Picture, case: Case) -> Picture:
    """Full range shown in less, black at 6, 11, 16, 24, 32: at 3 BT.709's 16 to 235 that nobody expanded."""
    low, span = _limits(case)
    return _curve(picture, low + np.arange(256.0) * span / 255.0)


def range_crushed(picture: Picture, case: Case) -> Picture:
    """The opposite: full range taken for limited, so that both ends are cut off."""
    low, span = _limits(case)
    return _curve(picture, (np.arange(256.0) - low) * 255.0 / span)


def _limits(case: Case) -> tuple[float, float]:
    low = case.of(6, 11, 16, 24, 32)
    return low, 255.0 - low - low * 20.0 / 16.0


def channels_swapped(picture: Picture, case: Case) -> Picture:
    """Red and blue swapped by a decoder. A grey picture is first tinted by 10, 20, 35, 50, 70 %, sepia or blue,
    as scanners do, and comes back as the grey that the usual conversion makes of it.
    """
    if picture.ndim == 3:
        return np.ascontiguousarray(picture[:, :, ::-1])
    tint = case.of(0.1, 0.2, 0.35, 0.5, 0.7)
    shares = np.array([1.0 - tint, 1.0 - tint / 2, 1.0])
    if case.rng.random() < 0.5:
        shares = shares[::-1]
    tinted = _clipped(picture[:, :, None] * shares)
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(tinted[:, :, ::-1]), cv2.COLOR_BGR2GRAY), np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    "gain_down": gain_down,
    "gain_up": gain_up,
    "depth_shallower": depth_shallower,
    "depth_deeper": depth_deeper,
    "blur": blur,
    "speckle": speckle,
    "jpeg": jpeg,
    "border": border,
    "text": text,
    "moire": moire,
    "range_washed": range_washed,
    "range_crushed": range_crushed,
    "channels_swapped": channels_swapped,
    "side_text": side_text,
    "caliper": caliper,
}
"""What is run. Gain, depth and range go both ways."""

TWELVE: dict[str, tuple[str, ...]] = {
    "gain": ("gain_down", "gain_up"),
    "depth_zoom": ("depth_shallower", "depth_deeper"),
    "limited_range": ("range_washed", "range_crushed"),
    **{name: (name,) for name in CORRUPTIONS if not name.startswith(("gain_", "depth_", "range_"))},
}
"""What is reported: of a corruption that goes both ways the worse one counts."""

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


def _unit(picture: Picture) -> float:
    """Pixels of a 256th of the longest side."""
    return float(max(picture.shape[:2])) / 256.0


def _levels(decibel: float) -> float:
    """Grey levels of so many decibel."""
    return decibel / DYNAMIC_RANGE_DB * 255.0


def _signal(levels: NDArray[Any]) -> NDArray[np.float64]:
    """0 at black, 1 from level 16: outside the sector there is nothing to amplify, and black stays black."""
    return np.minimum(np.asarray(levels, np.float64) / 16.0, 1.0)


def _curve(picture: Picture, levels: NDArray[np.float64]) -> Picture:
    return np.asarray(cv2.LUT(picture, _clipped(levels)), np.uint8)


def _clipped(values: NDArray[np.floating]) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _over(field: NDArray[np.floating], picture: Picture) -> NDArray[np.floating]:
    """A field (height, width) that multiplies every channel alike."""
    return field if picture.ndim == 2 else field[:, :, None]


def _shade(level: int) -> tuple[int, int, int]:
    return (level, level, level)


def _thickness(unit: float) -> int:
    return max(1, round(unit * 0.7))


def _write(out: Picture, at: tuple[float, float], height_units: float, rng: Generator) -> None:
    """A word of 4 to 10 capitals and digits with its baseline at `at`, brightness 140 to 255."""
    letters = "".join(rng.choice(list(_LETTERS), int(rng.integers(4, 11))))
    unit = _unit(out)
    size = height_units * unit / 22.0  # OpenCV's plain letters are 22 pixels high at size 1
    where = (round(at[0]), round(at[1]))
    cv2.putText(
        out, letters, where, cv2.FONT_HERSHEY_SIMPLEX, size, _shade(int(rng.integers(140, 256))), _thickness(unit)
    )


def _cross(out: Picture, at: tuple[float, float], *, arm: float, thickness: int) -> None:
    x, y, reach = round(at[0]), round(at[1]), max(1, round(arm))
    cv2.line(out, (x - reach, y), (x + reach, y), _shade(230), thickness)
    cv2.line(out, (x, y - reach), (x, y + reach), _shade(230), thickness)
