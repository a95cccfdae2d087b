"""Which frames are kept by themselves: the best of each window, apart in time, a few a track and a scan."""

from __future__ import annotations

from collections.abc import Iterable

from sono_edge.scan.selection import PER_SCAN, PER_TRACK, WINDOW_S, Choice, Selection, close, consider
from sono_edge.scan.sight import Sight
from sono_edge.scene import State
from tests.support.scans import screen, sight

PICTURE = screen()


def chosen(sights: Iterable[Sight]) -> list[Choice]:
    memory, choices = Selection(), []
    for one in sights:
        memory, choice = consider(memory, one)
        choices.append(choice)
    choices.append(close(memory)[1])
    return [choice for choice in choices if choice is not None]


def alert(at: float, attention: float, track: int = 1, quality: float = 1.0) -> Sight:
    return sight(at, State.ALERT, attention=attention, track=track, quality=quality, picture=PICTURE)


def test_nothing_is_kept_while_nothing_stands() -> None:
    assert chosen(sight(at / 30, attention=0.9, picture=PICTURE) for at in range(300)) == []


def test_the_best_frame_of_a_window_is_kept_by_attention_times_quality() -> None:
    kept = chosen([alert(0.0, 0.7), alert(0.5, 0.9, quality=0.5), alert(1.0, 0.8), alert(1.5, 0.6)])
    assert [choice.sight.captured_s for choice in kept] == [1.0]


def test_a_window_closes_when_the_alert_goes() -> None:
    kept = chosen([alert(0.0, 0.7), sight(0.1, picture=PICTURE), alert(0.2, 0.8, 2)])
    assert [choice.sight.track for choice in kept] == [1, 2]


def test_a_long_alert_keeps_a_few_frames_and_the_better_replace_the_least() -> None:
    kept = chosen(alert(step * WINDOW_S, 0.5 + step / 100) for step in range(8))
    assert len(kept) == 8
    assert [choice.instead_of for choice in kept[:PER_TRACK]] == [None] * PER_TRACK
    assert [choice.instead_of for choice in kept[PER_TRACK:]] == [1, 2, 3, 4, 5]
    assert len(chosen(alert(step * WINDOW_S, 0.9 - step / 100) for step in range(8))) == PER_TRACK


def test_a_scan_keeps_so_many_and_no_more() -> None:
    kept = chosen(alert(step * WINDOW_S, 0.9 - step / 1000, track=step) for step in range(1, PER_SCAN + 10))
    assert len([choice for choice in kept if choice.instead_of is None]) == PER_SCAN
    assert len(kept) == PER_SCAN


def test_frames_without_a_picture_and_a_clock_that_goes_back_do_no_harm() -> None:
    lost = Sight(0.5, State.ALERT, "", 1.0, 0.99, 1, None, None, None)
    kept = chosen([alert(100.0, 0.7), lost, alert(0.0, 0.8)])
    assert [choice.sight.attention for choice in kept] == [0.7, 0.8]
