"""What an alert says of its score."""

from __future__ import annotations

from sono_edge.alerts import Provenance, alert, score_interval
from sono_edge.decide import Event, Track
from sono_edge.gates import Gate, Quality
from sono_models.inputs import Box
from sono_models.messages import Interval, ModelUsed
from sono_models.saliency import Calibration
from sono_models.uncertainty import Band, Uncertainty

MODEL = ModelUsed("breast", "0.1.0", "0" * 64, "int8", "onnx")
TRACK = Track(1, Box(0.1, 0.2, 0.3, 0.4), 1.0, 1.2, 1.3, Interval(0.6, 0.55, 0.72), 6)
EVENT = Event("raised", TRACK, 1.3, 9)
CLEAR = Quality(Gate.PASS, "", 1.0)
BAND = Band((0.1, 0.5, 0.9), (0.05, 0.4, 0.8), (0.2, 0.65, 0.95))
KNOWN = Uncertainty(BAND, 0.2, 0.25, 0.4, Calibration(), 0.1, "dev split")


def test_the_interval_is_the_bundles() -> None:
    told = Provenance("run", "video", MODEL, interval=score_interval(KNOWN, Calibration()))
    score = alert(EVENT, CLEAR, told).score
    low, high = KNOWN.interval(0.6)
    assert (score.value, score.lo, score.hi) == (0.6, round(low, 6), round(high, 6))
    assert score != TRACK.score


def test_a_bundle_without_one_gives_the_frames_own_range() -> None:
    told = Provenance("run", "video", MODEL, interval=score_interval(None, Calibration()))
    assert alert(EVENT, CLEAR, told).score == TRACK.score
