"""The card at the end: time by cause, what could not be judged, and which figure stands for the scan."""

from __future__ import annotations

import numpy as np
import pytest

from sono_edge.scan.records import AlertRecord, CaptureRecord, ScanRecord
from sono_edge.scan.summary import FIGURES_MOST, READER, System, Tally, summarise, with_impression
from sono_edge.scene import State
from sono_models.heads import SweepAttention
from tests.support.scans import screen, sight

PICTURE = screen()
HEAD = SweepAttention(
    figures=("malignant",),
    mean=(0.0,),
    scale=(1.0,),
    tanh=((1.0,),),
    gate=((1.0,),),
    attend=(4.0,),
    weights=(1.0,),
    bias=0.0,
)


def captures(*worths: float) -> tuple[CaptureRecord, ...]:
    return tuple(
        CaptureRecord(f"m{number:03}", "manual", float(number), "SCANNING", 0.1, 1.0, worth)
        for number, worth in enumerate(worths)
    )


def record(*worths: float) -> ScanRecord:
    alerts = (AlertRecord("r-1", 1.0, 0.8, seen=True), AlertRecord("r-2", 2.0, 0.6))
    return ScanRecord("id", "2026-03-01T09:30:00.000Z", captures=captures(*worths), alerts=alerts)


def tallied(spans: list[tuple[State, float, str]], attention: float = 0.2) -> Tally:
    tally, at = Tally(), 10.0
    tally.add(sight(at, State.SCANNING, picture=PICTURE))
    for state, seconds, reason in spans:
        for _ in range(round(seconds * 10)):
            at += 0.1
            tally.add(sight(at, state, attention=attention, reason=reason, picture=PICTURE))
    return tally


def test_time_by_cause() -> None:
    tally = tallied(
        [
            (State.SCANNING, 6.0, ""),
            (State.GATED_DOPPLER, 2.0, "colour in the picture"),
            (State.CANT_SAY, 1.0, "shadow"),
            (State.FROZEN, 1.0, ""),
        ]
    )
    card = summarise(record(), tally, System("breast"), began_s=10.0, dropped=3)
    assert (card.scanned_s, card.usable_s, card.usable_share) == (10.0, 6.0, 0.6)
    assert [(span.cause, span.seconds) for span in card.paused] == [("GATED_DOPPLER", 2.0), ("FROZEN", 1.0)]
    assert [(span.words, span.seconds) for span in card.cant_say] == [("shadow", 1.0)]
    assert (card.alerts_seen, card.alerts_unseen, card.frames_dropped) == (1, 1, 3)


def test_a_gap_is_no_scanning_time_and_going_back_counts_nothing() -> None:
    tally = Tally()
    for at in (0.0, 100.0, 50.0, 50.1):
        tally.add(sight(at, picture=PICTURE))
    assert sum(tally.seconds.values()) == pytest.approx(0.6)


def test_without_a_sweep_head_the_greatest_score_stands_and_says_so() -> None:
    tally = tallied([(State.SCANNING, 1.0, ""), (State.ALERT, 1.0, "")], 0.7)
    system = System("breast", interval=lambda score: (score - 0.1, score + 0.1))
    card = summarise(record(0.1, 0.9, 0.5), tally, system, began_s=10.0, dropped=0)
    assert card.score is not None
    assert (card.score.kind, card.score.value, card.score.lo, card.score.hi) == ("greatest-frame", 0.7, 0.6, 0.8)
    assert "no score for a whole sweep" in card.score.words
    assert card.ranked == ("m001", "m002", "m000")


def test_with_a_sweep_head_its_score_and_attention_stand() -> None:
    tally, at = Tally(), 10.0
    for step in range(100):
        at = 10.0 + step / 10
        tally.add(sight(at, attention=0.95 if 35 <= step <= 45 else 0.05, picture=PICTURE))
    card = summarise(record(0.9, 0.1, 0.1, 0.1, 0.2), tally, System("breast", HEAD), began_s=10.0, dropped=0)
    assert card.score is not None
    assert card.score.kind == "sweep"
    assert card.score.lo is not None
    assert card.score.hi is not None
    assert card.score.lo <= card.score.value <= card.score.hi
    assert card.ranked[0] == "m004"  # 4 s in: where the head looks, not where the worth is greatest
    assert card == summarise(record(0.9, 0.1, 0.1, 0.1, 0.2), tally, System("breast", HEAD), began_s=10.0, dropped=0)


def test_a_scan_without_a_scored_frame_has_no_score() -> None:
    card = summarise(record(0.1), Tally(), System("breast"), began_s=0.0, dropped=0)
    assert card.score is None
    assert card.usable_share == 0.0
    read = with_impression(card, 4)
    assert (read.impression, read.combined) == (4, None), "what the reader said is kept all the same"


def test_reader_and_system_are_averaged() -> None:
    card = summarise(record(), tallied([(State.SCANNING, 1.0, "")], 0.6), System("breast"), began_s=10.0, dropped=0)
    for category, reader in READER.items():
        both = with_impression(card, category).combined
        assert both is not None
        assert both.value == pytest.approx((reader + 0.6) / 2, abs=1e-4)
        assert "research" in both.words


def test_a_long_scan_keeps_so_many_figures() -> None:
    tally = Tally()
    one = sight(0.0, picture=PICTURE)
    for _ in range(3 * FIGURES_MOST):
        tally.add(one)
    assert FIGURES_MOST / 2 <= len(tally.scored) <= FIGURES_MOST
    assert tally.judged == 3 * FIGURES_MOST
    assert np.isfinite(np.stack([figures for _, figures in tally.scored])).all()
