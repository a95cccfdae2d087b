"""Drift, judged: nothing between equals, nothing of few scans, and no flapping at a limit."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_fleet.drift.judgement import LEAST_STAY, RANK, Standing, Sums, Verdict, judged, summed
from sono_fleet.drift.measure import (
    DRIFT_PSI,
    apart_of,
    chi_squared,
    distance,
    effect_of,
    pooled,
    psi,
)
from sono_fleet.drift.references import made_of
from sono_models.drift import MEASURES, SIZE, Measure, Reference
from tests.support.drift_reports import Place, Shift, a_report

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SCORES = st.lists(st.floats(0, 500), min_size=SIZE["score"], max_size=SIZE["score"]).filter(lambda one: sum(one) > 1)


@pytest.fixture(scope="module")
def reference() -> Reference:
    rng = np.random.default_rng(3)
    return made_of([(f"s{n % 4}", a_report(rng, AT)) for n in range(120)], "made up")


@settings(deadline=None)
@given(SCORES, st.floats(0.1, 50))
def test_equal_shares_are_no_distance_apart(scans: list[float], more: float) -> None:
    for measure in ("score", "gates"):
        wide = [*scans, 0.0, 0.0][: SIZE[measure]]
        found = distance(measure, [one * more for one in wide], wide)
        assert found is None or abs(found.psi) < 1e-9


@settings(deadline=None)
@given(SCORES, SCORES)
def test_it_is_never_negative_and_the_same_both_ways(one: list[float], other: list[float]) -> None:
    found = distance("score", one, other)
    if found is None:
        return
    assert found.psi >= 0
    assert found.drifting >= max(DRIFT_PSI, found.watch)
    p, q = [value / sum(one) for value in one], [value / sum(other) for value in other]
    assert psi(p, q, 0.01) == pytest.approx(psi(q, p, 0.01))


@settings(deadline=None)
@given(SCORES, st.floats(0.001, 0.6))
def test_every_bin_is_in_one_group_and_groups_are_large_enough(scans: list[float], least: float) -> None:
    groups = pooled("score", scans, least)
    assert list(itertools.chain(*groups)) == list(range(SIZE["score"]))
    if len(groups) > 1:
        assert all(sum(scans[place] for place in group) >= least * sum(scans) * (1 - 1e-9) for group in groups)


def test_chi_squared_is_that_of_the_tables() -> None:
    for free, chance, value in ((1, 0.05, 3.841), (8, 0.001, 26.12), (4, 0.05, 9.488), (10, 0.001, 29.59)):
        assert chi_squared(free, chance) == pytest.approx(value, rel=0.03)


def test_few_scans_have_to_be_further_off() -> None:
    usual = [100.0] * SIZE["score"]
    few, many = distance("score", [3.0] * SIZE["score"], usual), distance("score", usual, usual)
    assert few is not None
    assert many is not None
    assert few.drifting > many.drifting >= DRIFT_PSI


def test_how_alike_frames_are_and_how_far_sites_are_apart_is_known() -> None:
    rng = np.random.default_rng(1)
    whole = [[float(x) for x in rng.multinomial(5, [1 / 11] * 11)] for _ in range(400)]
    assert effect_of("score", whole) == pytest.approx(1.0, abs=0.15)  # each scan in one bin: the multinomial
    spread = [[5 / 11.0] * 11 for _ in range(400)]
    assert effect_of("score", spread) == 0.05
    alike = [[float(x) for x in rng.multinomial(300, [1 / 11] * 11)] for _ in range(30)]
    assert apart_of("score", alike, 1.0) < 0.02
    shares = [rng.dirichlet([4.0] * 11) for _ in range(30)]
    differ = [[float(x) for x in rng.multinomial(300, share)] for share in shares]
    assert apart_of("score", differ, 1.0) > 0.1
    assert apart_of("score", differ[:2], 1.0) == 0.0


def test_too_few_scans_are_not_judged(reference: Reference) -> None:
    rng = np.random.default_rng(4)
    sums = summed([a_report(rng, AT, shift=Shift(grey=-40)) for _ in range(3)])
    assert judged(None, sums, reference, AT).standing is Standing.TOO_FEW
    assert judged(None, summed([]), None, AT).standing is Standing.TOO_FEW


def test_without_a_reference_nothing_is_judged() -> None:
    rng = np.random.default_rng(4)
    assert judged(None, summed([a_report(rng, AT) for _ in range(20)]), None, AT).standing is Standing.TOO_FEW


@pytest.mark.parametrize(
    ("shift", "measure"),
    [(Shift(grey=-25.5), "brightness"), (Shift(score=2.5), "score"), (Shift(calipers=0.4), "gates")],
)
def test_a_shift_is_found_and_named(reference: Reference, shift: Shift, measure: Measure) -> None:
    rng = np.random.default_rng(5)
    usual = judged(None, summed([a_report(rng, AT) for _ in range(28)]), reference, AT)
    assert usual.standing is Standing.STEADY
    found = judged(usual, summed([a_report(rng, AT, shift=shift) for _ in range(28)]), reference, AT)
    assert (found.standing, found.measure) == (Standing.DRIFTING, measure)
    assert f"{measure} PSI" in found.words


def test_simulated_scans_count_only_where_there_are_no_others() -> None:
    rng = np.random.default_rng(6)
    real = [a_report(rng, AT) for _ in range(2)]
    made = [a_report(rng, AT, shift=Shift(grey=-40), source="phantom") for _ in range(9)]
    assert summed([*made, *real]) == summed(real)
    assert summed(made).scans == 45


def test_the_bundle_of_most_scans_is_judged() -> None:
    rng = np.random.default_rng(6)
    old, new = [a_report(rng, AT) for _ in range(3)], [a_report(rng, AT, sha256="2" * 64) for _ in range(4)]
    assert summed([*old, *new]).bundle_sha256 == "2" * 64
    assert summed([*old, *new]).scans == 20


def test_another_bundle_ends_a_drift_and_silence_does_not(reference: Reference) -> None:
    rng = np.random.default_rng(7)
    drifts = judged(None, summed([a_report(rng, AT, shift=Shift(grey=-40)) for _ in range(20)]), reference, AT)
    assert drifts.standing is Standing.DRIFTING
    later = AT + timedelta(days=30)
    assert judged(drifts, summed([]), reference, later) is drifts
    few = summed([a_report(rng, AT) for _ in range(2)])
    assert judged(drifts, few, reference, later) is drifts
    other = summed([a_report(rng, AT, sha256="2" * 64)])
    assert judged(drifts, other, None, later).standing is Standing.TOO_FEW


def test_sites_that_differ_are_not_said_to_drift() -> None:
    rng = np.random.default_rng(8)
    places = [Place(grey=float(rng.normal(0, 5))) for _ in range(12)]
    told = [(f"s{n}", a_report(rng, AT, place=place)) for n, place in enumerate(places) for _ in range(20)]
    known = made_of(told, "sites that differ")
    assert known.apart["brightness"] > 0.05
    for number in range(12):
        mine = summed(report for site, report in told if site == f"s{number}")
        assert judged(None, mine, known, AT).standing is not Standing.DRIFTING


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 40)), min_size=2, max_size=60))
def test_no_flapping(steps: list[tuple[float, int]]) -> None:
    """Whatever the figures do, it falls at most once a day, and never on a figure that is near its limit."""
    usual = tuple([20.0] * SIZE["brightness"])
    known = Reference({"brightness": usual})
    verdict: Verdict | None = None
    at, fell_at = AT, None
    sums = summed([a_report(np.random.default_rng(1), AT)])
    for tilt, hours in steps:
        at += timedelta(hours=hours)
        scans = tuple(20.0 * (1 + tilt * place / 14) for place in range(SIZE["brightness"]))
        empty: dict[Measure, tuple[float, ...]] = {name: (0.0,) * SIZE[name] for name in MEASURES}
        before = verdict
        verdict = judged(before, _with(sums, {**empty, "brightness": scans}), known, at)
        assert verdict.figures
        if before is not None and RANK[verdict.standing] < RANK[before.standing]:
            assert at - before.since >= LEAST_STAY
            figure = verdict.figures["brightness"]
            limit = figure.drifting if before.standing is Standing.DRIFTING else figure.watch
            assert figure.psi < 0.7 * limit
            assert fell_at is None or at - fell_at >= LEAST_STAY
            fell_at = at


def _with(sums: Sums, histograms: dict[Measure, tuple[float, ...]]) -> Sums:
    return replace(sums, histograms=histograms)
