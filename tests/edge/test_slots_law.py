"""The law of an update, over every order of news that hypothesis can think of."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_edge.slots import law
from sono_edge.slots.law import (
    ENDS,
    Admitted,
    Compared,
    Course,
    Finding,
    Limits,
    Lived,
    Moment,
    News,
    Served,
    Stage,
    Tried,
    advance,
    with_bounds,
)
from sono_models.manifest import Bound

LIMITS = Limits(shadow_frames=10, probation_s=60.0, probation_frames=100, slow_s=10.0)
GOOD_TEST = Tried(0.001, 0.02, 10.0, 10.0)
AGREES = Compared(10, 10, 0.01, 5.0)
QUIET = Moment(scanning=False)
CRASH = Finding("crash", "it did")

share = st.floats(0, 1) | st.just(math.nan)
ms = st.floats(0, 1e4) | st.just(math.nan)
seconds = st.floats(0, 1e6)
count = st.integers(0, 10_000)
news: st.SearchStrategy[News] = st.one_of(
    st.builds(Admitted),
    st.builds(Tried, share, share, ms, ms, st.sampled_from([(), ("auroc",)])),
    st.builds(Compared, count, count, share, seconds),
    st.builds(Moment, st.booleans()),
    st.builds(Served, seconds, count, seconds, ms, ms),
    st.builds(Lived, st.integers(0, 20), st.integers(0, 20)),
    st.builds(Finding, st.just("crash"), st.just("why"), st.booleans()),
)
ORDER = [Stage.STAGED, Stage.SELF_TEST, Stage.SHADOW, Stage.READY, Stage.ACTIVE, Stage.GOOD]


def after(*items: News, limits: Limits = LIMITS) -> Course:
    course = Course()
    for one in items:
        course = advance(limits, course, one)
    return course


def test_the_whole_way() -> None:
    way: list[News] = [Admitted(), GOOD_TEST, AGREES, QUIET, Served(61.0, 100, 0.1)]
    stages = [after(*way[:number]).stage for number in range(len(way) + 1)]
    assert stages == ORDER


@given(st.lists(news, max_size=30))
def test_it_goes_one_stage_at_a_time_and_ends_are_final(items: list[News]) -> None:
    course = Course()
    for one in items:
        then = advance(LIMITS, course, one)
        if course.stage in ENDS:
            assert then == course
        elif then.stage is Stage.REFUSED:
            assert course.stage not in {Stage.ACTIVE, Stage.GOOD}
            assert then.finding is not None
        elif then.stage is Stage.ROLLED_BACK:
            assert course.stage in {Stage.ACTIVE, Stage.GOOD}
            assert then.finding is not None
        else:
            assert 0 <= ORDER.index(then.stage) - ORDER.index(course.stage) <= 1
        course = then


@given(st.lists(news, max_size=30))
def test_no_frame_is_judged_before_every_test_was_passed(items: list[News]) -> None:
    if after(*items).stage not in {Stage.ACTIVE, Stage.GOOD, Stage.ROLLED_BACK}:
        return
    assert any(isinstance(one, Tried) and law.self_test(LIMITS, one) is None for one in items)
    assert any(isinstance(one, Compared) and law.shadow(LIMITS, one) is None and one.frames >= 10 for one in items)
    assert Moment(scanning=False) in items


@given(st.lists(news, max_size=20))
def test_it_never_changes_during_a_scan(items: list[News]) -> None:
    scanning = [Moment(scanning=True) if isinstance(one, Moment) else one for one in items]
    assert after(*scanning).stage not in {Stage.ACTIVE, Stage.GOOD}


@given(st.lists(news, max_size=12), st.lists(news, max_size=12))
def test_repeated_news_changes_nothing_more(before: list[News], later: list[News]) -> None:
    """But for latency, which is a matter of time, and the next stage's own news."""
    course = after(*before)
    for one in later:
        once = advance(LIMITS, course, one)
        if once.stage is course.stage:
            assert advance(LIMITS, once, one).stage in {once.stage, Stage.ROLLED_BACK}
        course = once


@pytest.mark.parametrize(
    ("tested", "code"),
    [
        (Tried(0.03, 0.02, 10, 10), "golden"),
        (Tried(math.nan, 0.02, 10, 10), "golden"),
        (Tried(0.0, 0.02, 16, 10), "latency"),
        (Tried(0.0, 0.02, math.nan, 10), "latency"),
        (Tried(0.0, 0.02, 10, 0), "latency"),
        (Tried(0.0, 0.02, 10, 10, ("auroc",)), "envelope"),
    ],
)
def test_what_a_self_test_refuses(tested: Tried, code: str) -> None:
    course = after(Admitted(), tested)
    assert course.stage is Stage.REFUSED
    assert course.finding is not None
    assert course.finding.code == code


@pytest.mark.parametrize(
    ("seen", "code"),
    [
        (Compared(10, 8, 0.0, 1), "shadow-agreement"),
        (Compared(10, 10, 0.2, 1), "shadow-shift"),
        (Compared(10, 10, -0.2, 1), "shadow-shift"),
        (Compared(10, 10, math.nan, 1), "shadow-shift"),
        (Compared(9, 9, 0.0, 1e9), "no-frames"),
    ],
)
def test_what_a_shadow_refuses(seen: Compared, code: str) -> None:
    course = after(Admitted(), GOOD_TEST, seen)
    assert course.finding is not None
    assert (course.stage, course.finding.code) == (Stage.REFUSED, code)
    assert course.finding.lasting == (code != "no-frames")


ACTIVE = (Admitted(), GOOD_TEST, AGREES, QUIET)


def test_a_hang_a_crash_and_a_crash_loop_take_it_back() -> None:
    for bad, code in (
        (Served(1, 1, 6.0), "hang"),
        (CRASH, "crash"),
        (Lived(3, 3), "crash-loop"),
        (Lived(1, 11), "crash-loop"),
    ):
        course = after(*ACTIVE, bad)
        assert course.finding is not None
        assert (course.stage, course.finding.code) == (Stage.ROLLED_BACK, code)
    assert after(*ACTIVE, Lived(2, 10)).stage is Stage.ACTIVE


def test_slowness_takes_it_back_when_it_lasts_and_only_then() -> None:
    def slow(served_s: float) -> Served:
        return Served(served_s, 1, 0.0, 25.0, 10.0)

    fast = Served(5.0, 1, 0.0, 12.0, 10.0)
    assert after(*ACTIVE, slow(1), slow(10)).stage is Stage.ACTIVE
    assert after(*ACTIVE, slow(1), fast, slow(6), slow(12)).stage is Stage.ACTIVE
    course = after(*ACTIVE, slow(1), slow(12))
    assert course.finding is not None
    assert (course.stage, course.finding.code) == (Stage.ROLLED_BACK, "latency")


def test_it_is_not_good_while_it_is_slow() -> None:
    done = Served(61.0, 200, 0.0, 25.0, 10.0)
    assert after(*ACTIVE, done).stage is Stage.ACTIVE


def test_time_alone_and_frames_alone_make_nothing_good() -> None:
    assert after(*ACTIVE, Served(1e6, 99, 0.0)).stage is Stage.ACTIVE
    assert after(*ACTIVE, Served(59.0, 10**6, 0.0)).stage is Stage.ACTIVE


def test_a_good_one_is_given_up_only_by_word() -> None:
    good = (*ACTIVE, Served(61.0, 100, 0.0))
    assert after(*good, Served(62.0, 100, 99.0)).stage is Stage.GOOD
    assert after(*good, Finding("operator", "by hand")).stage is Stage.ROLLED_BACK


def test_a_release_says_what_it_changes_within_bounds() -> None:
    bounds = (
        Bound("shadow.agreement", 0.7, at_least=0.6),
        Bound("shadow.shift", 0.2, at_most=0.25),
        Bound("latency.ratio", 1.8, at_most=2.0),
    )
    loose = with_bounds(LIMITS, bounds)
    assert (loose.agreement, loose.shift, loose.latency_ratio) == (0.6, 0.25, 2.0)
    wild = with_bounds(LIMITS, [Bound("shadow.agreement", 0, at_least=0.0), Bound("shadow.shift", 9, at_most=9.0)])
    assert (wild.agreement, wild.shift) == (law.AGREEMENT_FLOOR, law.SHIFT_CEILING)
    assert with_bounds(LIMITS, [Bound("auroc", 0.9, at_least=0.8)]) == LIMITS
