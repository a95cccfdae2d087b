"""What a device counts of itself, so that a drift of its pictures or its model's scores can be seen. No pictures.

The unit is the scan: frames of one scan are one patient's and much alike. Every scan adds 1 to a measure, shared out
over the bins by its frames. Bins are the same for every device and every bundle (`BINS`, and a number for them).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

BINS = 1
"""The number of this set of bins: histograms of two sets are never compared."""
SCORE_EDGES = (0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95)
"""Of the calibrated malignant score: about even steps of its log-odds."""
QUALITY_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""The last bin holds a quality of exactly 1, which most good pictures have."""
BRIGHTNESS_EDGES = (10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0, 120.0, 140.0, 170.0, 200.0)
"""Mean grey of the picture, 0 to 255."""
GATES = ("pass", "no-signal", "doppler", "no-contact", "low-quality", "dual", "calipers", "not-breast", "other")
"""In the place of edges: the gate of each frame. `other`: what is too rare to be told apart. Add at the end."""
OTHER = len(GATES) - 1
SCANS_LEAST = 5
"""A report covers at least so many scans; until it does, the next hours are added to it."""
CELL_FRAMES, CELL_SCANS = 20, 3
"""A bin that holds less than this leaves a device only as part of another."""
HOURS_MOST = 7 * 24
"""A report that has not come together after so long is given up: it would say nothing of now."""

Measure: TypeAlias = Literal["score", "quality", "gates", "brightness"]
MEASURES: tuple[Measure, ...] = ("score", "quality", "gates", "brightness")
EDGES: dict[Measure, Sequence[float]] = {
    "score": SCORE_EDGES,
    "quality": QUALITY_EDGES,
    "brightness": BRIGHTNESS_EDGES,
}
SIZE: dict[Measure, int] = {**{name: len(edges) + 1 for name, edges in EDGES.items()}, "gates": len(GATES)}
"""Bins a measure."""

Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
Hour = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:00:00Z$")]
Name = Annotated[str, msgspec.Meta(max_length=160)]


class Histogram(msgspec.Struct, frozen=True):
    """`frames` by bin, and `scans`: every scan adds 1, shared out by its frames. A bin is empty, or holds at least
    CELL_FRAMES frames of CELL_SCANS scans.
    """

    frames: tuple[Count, ...]
    scans: tuple[Share, ...]


class AlertMix(msgspec.Struct, frozen=True):
    """What became of alerts. `seen`: acknowledged without a reason; `unseen`: ended before anybody had seen it."""

    raised: Count = 0
    seen: Count = 0
    looked_again: Count = 0
    known_finding: Count = 0
    artefact: Count = 0
    other: Count = 0
    unseen: Count = 0


class DriftData(msgspec.Struct, frozen=True):
    """One report: `hours` from `hour` on, of one bundle, over at least SCANS_LEAST scans."""

    hour: Hour
    """When it begins: a full hour, UTC."""
    hours: Annotated[int, msgspec.Meta(ge=1, le=HOURS_MOST)]
    bundle: Name
    """NAME-VERSION."""
    bundle_sha256: Sha256
    profile: Name
    """The site profile in force at its end, as `state` names it."""
    source: Name
    """The kind of the source, as in `alert`."""
    scans: Annotated[int, msgspec.Meta(ge=SCANS_LEAST, le=2**31)]
    minutes: Annotated[float, msgspec.Meta(ge=0, le=HOURS_MOST * 60)]
    """With the probe in contact."""
    score: Histogram
    """Of frames that were judged."""
    quality: Histogram
    """Of frames with the probe in contact."""
    gates: Histogram
    """Of the same, and of short losses of contact or signal between them."""
    brightness: Histogram
    alerts: AlertMix
    bins: int = BINS

    def of(self, measure: Measure) -> Histogram:
        found: Histogram = getattr(self, measure)
        return found


class Reference(msgspec.Struct, frozen=True):
    """What a bundle's scans look like when all is well: `evidence/drift.json` of a bundle, or the fleet's own."""

    scans: dict[Measure, tuple[Share, ...]]
    """By measure and bin; their sum is how many scans it rests on. A measure may be missing."""
    effect: dict[Measure, float] = {}
    """By measure: the variance between scans over what it were if each lay in one bin whole. Missing: 1."""
    apart: dict[Measure, float] = {}
    """By measure: the index by which sites differ from each other although all is well. Missing: 0."""
    bins: int = BINS
    said: str = ""
    """Where it comes from, in words."""


def bin_of(value: float, edges: Sequence[float]) -> int:
    """The bin's number: an edge belongs to the bin above it."""
    return bisect_right(edges, value)


def trouble(data: DriftData) -> str:
    """What is wrong with a report beyond its types, in a few words; empty: nothing is."""
    if data.bins != BINS:
        return "other bins"
    for measure in MEASURES:
        histogram = data.of(measure)
        if not len(histogram.frames) == len(histogram.scans) == SIZE[measure]:
            return "a histogram of another size"
        if any(0 < count < CELL_FRAMES for count in histogram.frames):
            return "a cell that is too small"
        if any((count == 0) != (share == 0) for count, share in zip(histogram.frames, histogram.scans, strict=True)):
            return "a histogram that does not fit itself"
        if sum(histogram.scans) > data.scans + 0.1:
            return "a histogram that does not fit itself"
    return ""
