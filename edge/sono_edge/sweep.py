"""Simulated sweeps: from one still, a clip that looks like a probe passing over it, with the truth of every frame.

No public breast ultrasound video could be had. A window slides over the still, whose strips beside the lesion are
mirrored outwards, so that the lesion enters and leaves; the hand shakes, the gain drifts, the speckle changes, and the
probe may be lifted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from sono_models.errors import BadConfig
from sono_models.inputs import Box, Grey
from sono_models.tissue import across, outspread

WINDOW = (0.65, 0.8)
"""The window's width, narrowest and widest, as a share of the still's."""
STRIP = 0.08
"""A lesion-free strip narrower than this gives no believable tissue: the probe comes from the other side."""
CENTRE = (0.4, 0.6)
"""Where a lesion without a mask is taken to be: what is shown of this part of the width decides the label."""
SHOWN = 0.25
"""The share of the lesion in view from which on a frame carries its label."""
AWAY_S, TRAVEL_S, OVER_S = (0.7, 1.2), (0.8, 1.4), (1.4, 2.4)
"""How long the probe is beside the lesion, on its way, and over it."""
LIFT_S, PEEL_S = 1.0, 0.2
"""How long the probe is off the skin, and how long the contact takes to tear off across its face."""
LIFT_SHARE = 0.4
"""The share of the sweeps that end with the probe lifted."""
NO_CONTACT = 0.15
"""Less contact than this is a lift-off."""
SHAKE = 0.008
"""The hand's shaking, as a share of the picture."""
GAIN = 0.06
RINGING, RINGING_NOISE = 40, 0.3
"""How bright the near field is without contact, and how strongly it flickers."""
NOISE, NOISE_KEPT = 0.06, 0.7
"""Strength of the changing speckle, and how much of it one frame keeps of the last."""
NORMAL = "normal"
CRF = "18"


@dataclass(frozen=True, slots=True)
class Still:
    """A picture with its label and, where known, its lesion's mask (same shape, true inside)."""

    picture: Grey
    label: str
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class SweepFrame:
    """A frame and its truth: `label` is "normal" while the lesion is out of view; `box` is of its part in view."""

    index: int
    captured_s: float
    picture: Grey
    label: str
    box: Box | None
    lift_off: bool


@dataclass(frozen=True, slots=True)
class Path1D:
    """Where the window's left edge is, in shares of the still's width: two waits beside the lesion, one over it."""

    begin: float
    over: float
    end: float
    away_s: float
    travel_s: float
    over_s: float
    lifts: bool
    from_left: bool

    def seconds(self) -> float:
        return 2 * (self.away_s + self.travel_s) + self.over_s + (LIFT_S if self.lifts else 0.0)

    def at(self, at_s: float) -> float:
        left_s = self.away_s + self.travel_s + self.over_s
        there = _smooth((at_s - self.away_s) / self.travel_s)
        gone = _smooth((at_s - left_s) / self.travel_s)
        return self.begin + (self.over - self.begin) * there + (self.end - self.over) * gone

    def contact(self, at_s: float, columns: int) -> NDArray[np.float32]:
        """The contact of every column, 0 to 1."""
        if not self.lifts:
            return np.ones(columns, np.float32)
        lifted = min(max((at_s - (self.seconds() - LIFT_S)) / PEEL_S, 0.0), 1.0) * 1.2
        across = np.linspace(0, 1, columns, dtype=np.float32)
        across = across if self.from_left else across[::-1]
        return np.asarray(np.clip((across - (lifted - 0.1)) / 0.1, 0, 1) if lifted else np.ones(columns), np.float32)


def sweep_over(still: Still, *, seed: tuple[int, ...], fps: float = 30.0) -> Iterator[SweepFrame]:
    """The frames of a simulated sweep, a function of the still and the seed alone. Sizes are even."""
    rng = np.random.default_rng(seed)
    height, width = still.picture.shape
    extent = _extent(still)
    window = float(rng.uniform(*WINDOW))
    path = draw_path(rng, extent, window)
    size = (round(window * width) & ~1, height & ~1)
    tissue, mask = _outspread(still, extent, width)
    whole = max(1, int(mask.sum()) // 255)
    phases = rng.uniform(0, 2 * np.pi, 8)
    noise = np.zeros((size[1] // 2, size[0] // 2), np.float32)
    for index in range(round(path.seconds() * fps)):
        at_s = index / fps
        view = _view((1 + path.at(at_s)) * width, at_s, phases, size)
        noise = _changed(noise, rng)
        contact = path.contact(at_s, size[0])
        picture = _disturb(_seen(tissue, view, size, cv2.INTER_LINEAR), noise, contact, at_s, phases)
        lift_off = float(contact.mean()) < NO_CONTACT
        inside = _seen(mask, view, size, cv2.INTER_NEAREST)
        shown = not lift_off and int(inside.sum()) // 255 >= SHOWN * whole and still.label != NORMAL
        box = _box(inside) if shown and still.mask is not None else None
        yield SweepFrame(index, at_s, burn(picture), still.label if shown else NORMAL, box, lift_off)


def draw_path(rng: np.random.Generator, extent: tuple[float, float], window: float) -> Path1D:
    """Draw the way past a lesion of this extent, from and to a side with tissue; without any, it stays on it."""
    over = min(max(sum(extent) / 2 - window * rng.uniform(0.35, 0.65), 0.0), 1 - window)
    margin = 3 * SHAKE
    beside = [extent[0] - window - margin] if extent[0] >= STRIP else []
    beside += [extent[1] + margin] if 1 - extent[1] >= STRIP else []
    beside = beside or [over]
    return Path1D(
        begin=beside[rng.integers(len(beside))],
        over=over,
        end=beside[rng.integers(len(beside))],
        away_s=float(rng.uniform(*AWAY_S)),
        travel_s=float(rng.uniform(*TRAVEL_S)),
        over_s=float(rng.uniform(*OVER_S)),
        lifts=bool(rng.random() < LIFT_SHARE),
        from_left=bool(rng.random() < 0.5),
    )


def burn(picture: Grey) -> Grey:
    """Write SIMULATED SWEEP into the bottom edge, in place."""
    place = (6, picture.shape[0] - 4)
    cv2.putText(picture, "SIMULATED SWEEP", place, cv2.FONT_HERSHEY_SIMPLEX, 0.32, (110,), 1, cv2.LINE_AA)
    return picture


def write_clip(path: Path, pictures: Iterable[Grey], fps: float = 30.0) -> int:
    """Write grey pictures of one even size as MP4 (H.264, or MPEG-4 where there is no x264); how many there were.

    H.264 carries full-range luma and says so; MPEG-4 cannot, so its luma is limited. One thread, so that
    the number of cores changes nothing. Raises BadConfig for no pictures or an odd size.
    """
    waiting = iter(pictures)
    first = next(waiting, None)
    if first is None or first.shape[0] % 2 or first.shape[1] % 2:
        reason = "there are no pictures" if first is None else "its pictures have an odd width or height"
        raise BadConfig(str(path), reason, "Give pictures of an even size")
    codec: Literal["libx264", "mpeg4"] = "libx264" if "libx264" in av.codecs_available else "mpeg4"
    count = 0
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=round(fps))
        stream.height, stream.width = first.shape
        stream.pix_fmt, stream.codec_context.thread_count = "yuv420p", 1
        full = codec == "libx264"
        if full:
            stream.codec_context.color_range = 2
            # x264's macroblock tree reads memory that nobody set: among 60 encodings of one clip, in a heap full of
            # noise, eight different files with it and one without (measured).
            stream.options = {"crf": CRF, "preset": "veryfast", "x264-params": "mbtree=0"}
        for picture in chain((first,), waiting):
            frame = _as_frame(picture, full=full)
            frame.pts, frame.time_base = count, 1 / Fraction(round(fps))
            container.mux(stream.encode(frame))
            count += 1
        container.mux(stream.encode(None))
    return count


def _as_frame(picture: Grey, *, full: bool) -> av.VideoFrame:
    height, width = picture.shape
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = picture if full else cv2.convertScaleAbs(picture, alpha=219 / 255, beta=16)
    frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
    frame.color_range = 2 if full else 1
    return frame


def _smooth(share: float) -> float:
    """From 0 to 1 without a jerk."""
    share = min(max(share, 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _mask(still: Still) -> Grey:
    if still.mask is not None:
        return np.asarray(still.mask, np.uint8) * np.uint8(255)
    mask = np.zeros_like(still.picture)
    width = mask.shape[1]
    mask[:, round(CENTRE[0] * width) : round(CENTRE[1] * width)] = 255
    return mask


def _extent(still: Still) -> tuple[float, float]:
    """From where to where the lesion goes across, in shares of the width."""
    found = across(_mask(still))
    if found is None:
        return CENTRE
    width = still.picture.shape[1]
    return found[0] / width, found[1] / width


def _outspread(still: Still, extent: tuple[float, float], by: int) -> tuple[Grey, Grey]:
    """The still and its mask, wider by `by` on each side: what is beside the lesion, mirrored as often as needed."""
    first, last = round(extent[0] * by), round(extent[1] * by)
    tissue = max(first, 1), max(by - last, 1)
    return outspread(still.picture, tissue, (by, by)), np.pad(_mask(still), ((0, 0), (by, by)))


def _view(left_px: float, at_s: float, phases: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    """The map from the window to the still: translation, shaking and a little zoom about the window's middle."""
    wobble = np.sin(2 * np.pi * at_s * np.array([0.9, 2.3, 0.7, 1.9, 0.3]) + phases[:5])
    zoom = 1 + 0.01 * wobble[4]
    across = left_px + SHAKE * size[0] * (wobble[0] + 0.4 * wobble[1]) + (1 - zoom) * size[0] / 2
    down = SHAKE * size[1] * (wobble[2] + 0.4 * wobble[3]) + (1 - zoom) * size[1] / 2
    return np.array([[zoom, 0, across], [0, zoom, down]], np.float32)


def _seen(picture: Grey, view: NDArray[np.float32], size: tuple[int, int], interpolation: int) -> Grey:
    flags = interpolation | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, view, size, flags=flags, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def _changed(noise: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    fresh = rng.standard_normal(noise.shape, np.float32)
    return np.asarray(NOISE_KEPT * noise + np.float32(np.sqrt(1 - NOISE_KEPT**2)) * fresh, np.float32)


def _disturb(
    picture: Grey, noise: NDArray[np.float32], contact: NDArray[np.float32], at_s: float, phases: NDArray[np.float64]
) -> Grey:
    """Changing speckle, drifting gain, and the dark where the probe does not touch; the near field rings on."""
    height, width = picture.shape
    gain = 1 + GAIN * np.sin(2 * np.pi * at_s * 0.23 + phases[5])
    speckle = cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)
    bright = picture * (gain * (1 + NOISE * speckle))
    depth = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ringing = RINGING * np.exp(-depth / 0.04) * (1 + RINGING_NOISE * speckle)
    return np.asarray(np.clip(bright * contact + ringing * (1 - contact), 0, 255), np.uint8)


def _box(inside: Grey) -> Box | None:
    left, top, width, height = cv2.boundingRect(inside)
    if width == 0 or height == 0:
        return None
    rows, columns = inside.shape
    return Box(left / columns, top / rows, (left + width) / columns, (top + height) / rows)
