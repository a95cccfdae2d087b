"""The law, by example and by property: a bad model stops in its first wave, whatever way it is bad."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_fleet.rollout import law
from sono_fleet.rollout.course import FINAL, RANK, Key, Member, State, heard
from sono_fleet.rollout.law import LOOKS, MOVES, Heard
from sono_fleet.rollout.plan import Limit, Plan, Scope, Wave, checked
from sono_fleet.rollout.waves import chance
from sono_models.errors import BadOrder
from tests.support.fleets import BAD, BEGIN, NEW, OLD, Behaviour, Fleet, a_plan, good, shifts, silent, stuck

SOME_BAD = st.sampled_from(BAD)


def approved(plan: Plan | None = None, **values: object) -> Fleet:
    fleet = Fleet(plan or a_plan(), **values)  # type: ignore[arg-type]
    fleet.say("approve")
    return fleet


def test_a_good_model_reaches_everyone_in_its_waves() -> None:
    fleet = approved(count=1000)
    sizes = []
    for _ in range(100):
        before = fleet.course.wave, fleet.course.state
        fleet.tick()
        if (fleet.course.wave, fleet.course.state) != before:
            sizes.append(len(fleet.course.members))
    assert sizes == [10, 100, 500, 1000]
    assert fleet.got == set(fleet.devices)
    assert fleet.actions().count("wave-passed") == 3
    assert fleet.actions()[-1] == "done"


@given(
    st.integers(1, 120),
    st.randoms(use_true_random=False),
    st.lists(SOME_BAD, min_size=1, max_size=5),
    st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_a_bad_model_never_passes_its_first_wave(
    count: int, mix: random.Random, ways: list[Behaviour], borne: int
) -> None:
    """However each device shows it: crash, refusal, silence, a download that hangs, or only in its figures."""
    chosen = {("demo", f"d{number}"): mix.choice(ways) for number in range(count)}
    fleet = approved(a_plan(5, 20, 100, max_failures=borne, sample=1), count=count, of=chosen.__getitem__)
    fleet.until("back", "paused", ticks=150)
    first = max(1, count * 5 // 100)
    assert fleet.course.wave == 0
    assert len(fleet.ordered()) <= first
    assert fleet.course.state is State.BACK
    assert all(fleet.devices[key].sha256 == OLD.sha256 for key in fleet.devices)
    assert fleet.ordered(OLD) == fleet.ordered()
    for member in fleet.course.members.values():
        assert member.returned_at is not None


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["join", "leave", "tick", "tag"])), max_size=25))
@settings(max_examples=40, deadline=None)
def test_no_device_is_in_two_waves_and_no_wave_exceeds_its_share(events: list[tuple[int, str]]) -> None:
    plan = checked(
        Plan("r1", NEW, (Wave("canary", tag="canary", soak_s=20, deadline_s=300), *a_plan(5, 25, 100, soak_s=20).waves))
    )
    fleet = approved(plan, count=60, tags=lambda key: frozenset({"canary"} if key[1].endswith("7") else ()))
    wave_of: dict[Key, int] = {}
    for step, (number, event) in enumerate(events):
        match event:
            case "join":
                fleet.join(number, f"late{step}-")
            case "leave":
                fleet.away.add(("demo", f"d{number}"))
            case "tag":
                key = ("demo", f"d{number % 60}")
                fleet.devices[key] = replace(fleet.devices[key], tags=frozenset({"canary"}))
            case _:
                pass
        before = set(fleet.course.members)
        fleet.tick(30)
        for key, member in fleet.course.members.items():
            assert wave_of.setdefault(key, member.wave) == member.wave
        share = plan.waves[fleet.course.wave].percent
        if share is not None and fleet.course.state is State.RUNNING and set(fleet.course.members) - before:
            assert len(fleet.course.members) <= max(1, len(before), share * len(fleet.devices) / 100)


def test_late_joiners_are_taken_in_during_and_after() -> None:
    fleet = approved(count=100)
    fleet.until("done")
    fleet.join(20, "late")
    for _ in range(20):
        fleet.tick()
    assert fleet.got == set(fleet.devices)
    assert "late-joiners" in fleet.actions()


def test_late_joiners_that_fail_pause_it() -> None:
    fleet = approved(count=50)
    fleet.until("done")
    fleet.of = lambda _key: BAD[2]
    fleet.join(3, "late")
    fleet.until("paused")
    assert "3 failed after the end" in fleet.course.reason


def test_a_device_that_is_away_gets_no_order_and_joins_when_it_is_back() -> None:
    fleet = Fleet(a_plan(100), count=10)
    fleet.away = {("demo", "d3")}
    fleet.tick(1000)
    fleet.say("approve")
    fleet.until("done")
    assert ("demo", "d3") not in fleet.course.members
    fleet.away.clear()
    fleet.tick()
    assert ("demo", "d3") in fleet.course.members


def test_silence_fails() -> None:
    fleet = approved(count=100, of=lambda _key: silent)
    fleet.until("back")
    assert "1 failed (1 silent)" in fleet.course.reason
    assert timedelta(seconds=300) < fleet.now - BEGIN < timedelta(seconds=400)


def test_a_device_that_falls_silent_while_its_wave_soaks_has_failed() -> None:
    plan = msgspec.structs.replace(a_plan(1, 100, soak_s=5000), quiet_s=1000)
    fleet = approved(plan, count=100)
    while fleet.course.settled_at is None:
        fleet.tick()
    (key,) = fleet.course.members
    fleet.away.add(key)
    fleet.until("going-back")
    assert "silent" in fleet.course.reason


def test_a_device_that_is_switched_off_for_the_night_has_not_failed() -> None:
    plan = msgspec.structs.replace(a_plan(1, 100, soak_s=5000), quiet_s=1000)
    fleet = approved(plan, count=100)
    while fleet.course.settled_at is None:
        fleet.tick()
    (key,) = fleet.course.members
    fleet.away.add(key)
    fleet.devices[key] = replace(fleet.devices[key], online=False, stopped=True)
    fleet.until("done", ticks=1500)
    fleet.away |= set(fleet.devices)
    for _ in range(100):
        fleet.tick(500)
    assert fleet.course.state is State.DONE


def test_the_figures_of_one_device_are_enough() -> None:
    fleet = approved(count=100, of=lambda _key: shifts)
    fleet.until("back")
    assert "clinical:shift" in fleet.course.reason
    (failed,) = [note for note in fleet.notes if note.action == "gate-failed"]
    assert failed.evidence["medians"]["shift"] == 0.4  # type: ignore[index]


def test_failures_that_are_borne_are_borne_and_one_more_ends_it() -> None:
    bad = {("demo", f"d{number}") for number in range(4)}
    fleet = approved(a_plan(100, max_failures=4), count=40, of=lambda key: stuck if key in bad else good)
    fleet.until("done")
    bad.add(("demo", "d4"))
    fleet = approved(a_plan(100, max_failures=4), count=40, of=lambda key: stuck if key in bad else good)
    fleet.until("back")


def test_no_more_than_so_many_are_under_way() -> None:
    fleet = approved(a_plan(100, at_once=3), count=20)
    while fleet.course.state is State.RUNNING:
        fleet.tick()
        assert sum(member.pending for member in fleet.course.members.values()) <= 3
    assert fleet.course.state is State.DONE
    bad = approved(a_plan(100, at_once=3, max_failures=1), count=200, of=lambda _key: BAD[2])
    bad.until("back")
    assert len(bad.course.members) <= 1 + 3


def test_a_needed_figure_that_nobody_reports_is_waited_for_then_paused() -> None:
    plan = msgspec.structs.replace(
        a_plan(100, sample=3), limits=(Limit("golden_cases", "clinical", least=1, needed=True),), patience_s=2000
    )
    fleet = approved(plan, count=5)
    fleet.until("paused")
    assert "0 of 3 are good with all needed evidence" in fleet.course.reason


def test_trouble_that_may_pass_is_tried_again_later_each_time_and_not_for_ever() -> None:
    def passing(key: Key, order: object) -> list[tuple[float, str, str, dict[str, float]]]:
        del key, order
        return [(5.0, "refused", "unreachable", {})]

    plan = msgspec.structs.replace(a_plan(100, deadline_s=4000), retries=3, retry_s=100)
    fleet = approved(plan, count=1, of=lambda _key: passing)
    fleet.until("back")
    begins = [order.not_before for order in fleet.orders if order.target == NEW]
    assert len(begins) == 4
    waits = [(later - sooner).total_seconds() for sooner, later in pairwise(begins)]
    assert waits[0] < waits[1] < waits[2]
    assert 75 <= waits[0] - 10 <= 140
    assert "unreachable" in fleet.course.reason


def test_nobody_watched_pauses_and_resuming_forgives_the_silence() -> None:
    fleet = approved(count=100)
    fleet.tick()
    fleet.tick(2000)
    assert fleet.course.state is State.PAUSED
    assert "nobody watched" in fleet.course.reason
    fleet.say("resume")
    fleet.until("done")


def test_while_paused_silence_is_none_but_a_crash_still_takes_it_back() -> None:
    fleet = approved(count=100, of=lambda _key: silent)
    fleet.tick()
    fleet.say("pause")
    for _ in range(100):
        fleet.tick(30)
    assert fleet.course.state is State.PAUSED
    fleet = approved(count=100, of=lambda _key: BAD[2])
    fleet.tick()
    fleet.say("pause")
    fleet.until("back")


STOPPABLE = ["waiting", "running", "soaking", "paused", "going-back", "done"]


def brought_to(where: str) -> Fleet:
    fleet = Fleet(a_plan(1, 100), count=300, of=(lambda _key: BAD[0]) if where == "going-back" else lambda _key: good)
    if where == "waiting":
        return fleet
    fleet.say("approve")
    fleet.tick()
    match where:
        case "paused":
            fleet.say("pause")
        case "soaking":
            while fleet.course.settled_at is None:
                fleet.tick()
        case "going-back" | "done":
            fleet.until(where)
            fleet.join(5, "late")
        case _:
            pass
    return fleet


@pytest.mark.parametrize("where", STOPPABLE)
def test_stop_everything_stops_everything(where: str) -> None:
    fleet = brought_to(where)
    fleet.stopped = "a reader in Ulm saw ghosts"
    before = len(fleet.orders)
    fleet.tick()
    withdrawn = fleet.orders[before:]
    assert all(order.cancelled for order in withdrawn)
    if where in {"running", "going-back"}:
        assert {order.key for order in withdrawn} == set(fleet.course.members)
    for _ in range(50):
        fleet.tick(100)
    assert fleet.course.state is State.PAUSED
    assert len(fleet.orders) == before + len(withdrawn)
    with pytest.raises(BadOrder, match="everything is stopped"):
        fleet.say("resume")


@pytest.mark.parametrize("where", STOPPABLE)
def test_after_everything_was_stopped_it_goes_on(where: str) -> None:
    fleet = brought_to(where)
    fleet.stopped = "stop"
    fleet.tick()
    fleet.stopped = ""
    fleet.tick()
    fleet.say("resume")
    fleet.of = lambda _key: good
    if where == "waiting":
        fleet.say("approve")
    fleet.until("done", "back")


def test_an_abort_withdraws_what_is_under_way_and_leaves_what_runs() -> None:
    fleet = approved(a_plan(10, 100), count=100)
    fleet.until("running")
    while fleet.course.wave == 0:
        fleet.tick()
    fleet.tick()
    got = set(fleet.got)
    under_way = {key for key, member in fleet.course.members.items() if member.pending}
    fleet.say("abort")
    assert {order.key for order in fleet.orders if order.cancelled} == under_way
    fleet.tick()
    assert fleet.got == got
    fleet.say("back")
    fleet.until("back")
    assert all(device.sha256 == OLD.sha256 for device in fleet.devices.values())


def test_a_roll_back_after_the_end_names_what_each_ran_before() -> None:
    fleet = Fleet(a_plan(100), count=20)
    older = msgspec.structs.replace(OLD, version="0.2.9", sha256="9" * 64)
    for number in range(5):
        key = ("demo", f"d{number}")
        fleet.devices[key] = replace(fleet.devices[key], runs=older, sha256=older.sha256)
    fleet.say("approve")
    fleet.until("done")
    fleet.say("back")
    fleet.until("back")
    assert {key[1] for key, device in fleet.devices.items() if device.runs == older} == {f"d{n}" for n in range(5)}


def test_what_does_not_come_back_is_named() -> None:
    fleet = approved(count=100, of=lambda _key: BAD[2])
    fleet.tick()
    (key,) = fleet.course.members
    while fleet.course.state is State.RUNNING:
        fleet.tick()
    fleet.away.add(key)
    fleet.until("back")
    assert f"not back: demo/{key[1]}" in fleet.course.reason
    fleet.away.clear()
    fleet.devices[key] = replace(fleet.devices[key], runs=OLD, sha256=OLD.sha256, runs_at=fleet.now)
    fleet.tick()
    assert fleet.course.members[key].returned_at == fleet.now


def test_four_eyes() -> None:
    fleet = Fleet(msgspec.structs.replace(a_plan(100), by="ana", four_eyes=True), count=3)
    with pytest.raises(BadOrder, match="another has to approve"):
        fleet.say("approve", by="ana")
    fleet.say("approve", by="ben")
    assert fleet.course.state is State.RUNNING


def test_a_wave_may_wait_for_a_word() -> None:
    plan = a_plan(1, 100)
    waits = msgspec.structs.replace(plan.waves[1], approval=True)
    fleet = approved(msgspec.structs.replace(plan, waves=(plan.waves[0], waits)), count=100)
    fleet.until("waiting")
    for _ in range(30):
        fleet.tick(100)
    assert len(fleet.course.members) == 1
    fleet.say("approve")
    fleet.until("done")


def test_every_state_has_an_exit() -> None:
    by_word = {state for states in MOVES.values() for state in states}
    for state in State:
        assert state in FINAL or state in by_word or state in LOOKS
    # what goes by itself has an end even when nothing ever happens: tested by silence and patience above
    assert by_word | set(LOOKS) | FINAL == set(State)


@pytest.mark.parametrize("word", list(MOVES))
def test_a_word_that_means_nothing_is_refused(word: law.Word) -> None:
    fleet = Fleet(a_plan(100), count=3)
    for state in set(State) - MOVES[word]:
        course = replace(fleet.course, state=state)
        with pytest.raises(BadOrder, match="means nothing"):
            law.said(fleet.plan, course, word, fleet.moment(), by="me")


WORDS = st.sampled_from(
    ["approve", "pause", "resume", "abort", "back", "tick", "tick", "tick", "tick", "stop", "release"]
)


def walk(events: list[str], way: Behaviour, seed: int) -> Fleet:
    fleet = Fleet(a_plan(10, 100, max_failures=seed % 3), count=40, of=lambda _key: way)
    for event in events:
        match event:
            case "tick":
                fleet.tick(20)
            case "stop":
                fleet.stopped = "stop"
            case "release":
                fleet.stopped = ""
            case _:
                try:
                    fleet.say(event)  # type: ignore[arg-type]
                except BadOrder:
                    continue
    return fleet


@given(st.lists(WORDS, max_size=40), st.sampled_from([good, *BAD]), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_the_same_events_give_the_same_decisions(events: list[str], way: Behaviour, seed: int) -> None:
    first, second = walk(events, way, seed), walk(events, way, seed)
    assert first.orders == second.orders
    assert first.notes == second.notes
    assert first.course == second.course


@given(st.lists(WORDS, max_size=40), st.sampled_from([good, *BAD]), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_it_always_ends(events: list[str], way: Behaviour, seed: int) -> None:
    """After whatever was said and done, without a further word but `resume`, it comes to rest."""
    fleet = walk(events, way, seed)
    fleet.stopped = ""
    for _ in range(300):
        if fleet.course.state in {State.DONE, State.BACK, State.ABORTED, State.CLOSED}:
            break
        if fleet.course.state is State.WAITING:
            fleet.say("approve")
        if fleet.course.state is State.PAUSED:
            fleet.say("resume")
        fleet.tick(60)
    assert fleet.course.state in {State.DONE, State.BACK, State.ABORTED}
    if way is not good and fleet.course.state is State.DONE:
        # all of them failed, and all of that was borne: only possible where nobody but the first share got it
        raise AssertionError(fleet.course.reason)


REPORTS = st.lists(
    st.tuples(
        st.sampled_from([phase for phase in RANK if phase != "ordered"]),
        st.sampled_from(["", "crash", "unreachable"]),
        st.dictionaries(st.sampled_from(["shift", "golden_difference"]), st.floats(-1, 1), max_size=2),
    ),
    max_size=8,
)


@given(REPORTS, st.randoms(use_true_random=False))
def test_late_repeated_and_reordered_reports_give_the_same(
    reports: list[tuple[str, str, dict[str, float]]], mix: random.Random
) -> None:
    member = Member(0, OLD, 1, BEGIN, BEGIN, BEGIN)
    course = replace(law.begun(BEGIN), members={("demo", "d"): member})
    told = [Heard(("demo", "d"), 1, phase, code, "", evidence, BEGIN) for phase, code, evidence in reports]
    shuffled = told * 2
    mix.shuffle(shuffled)
    plan = a_plan(100)
    assert law.listen(plan, course, tuple(told)) == law.listen(plan, course, tuple(shuffled))
    others = tuple(replace(report, serial=7) for report in told)
    assert law.listen(plan, course, others) == course


def test_chance_is_stable_and_even() -> None:
    assert chance("r1", "demo", "d1") == chance("r1", "demo", "d1")
    assert chance("r1", "demo", "d1") != chance("r2", "demo", "d1")
    drawn = [chance("r1", "demo", f"d{number}") for number in range(4000)]
    assert abs(sum(drawn) / len(drawn) - 0.5) < 0.02


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rollout": "a b"}, "1 to 64"),
        ({"waves": ()}, "no wave"),
        ({"waves": a_plan(1).waves + a_plan(1).waves}, "do not grow"),
        ({"waves": (Wave("x"),)}, "neither a share nor a tag"),
        ({"waves": (Wave("x", 10, "tag"),)}, "neither a share nor a tag"),
        ({"waves": (Wave("x", 10, deadline_s=0),)}, "no deadline"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(change: dict[str, object], words: str) -> None:
    with pytest.raises(BadOrder, match=words):
        checked(msgspec.structs.replace(a_plan(100), **change))


def test_scope_takes_what_matches_every_line() -> None:
    scope = Scope(sites=("demo",), tags=("ward", "lab"))
    assert scope.holds("demo", "d", frozenset({"lab"}))
    assert not scope.holds("demo", "d", frozenset())
    assert not scope.holds("clinic", "d", frozenset({"lab"}))
    assert Scope(devices=("demo/d",)).holds("demo", "d", frozenset())
    assert not Scope(devices=("demo/d",)).holds("demo", "e", frozenset())


def test_a_figure_that_is_no_number_is_beyond_every_bound() -> None:
    limit = Limit("shift", "clinical", most=0.1)
    assert limit.broken_by(float("nan"))
    assert heard(Member(0, OLD, 1, BEGIN, BEGIN, BEGIN), "good", "", "", {"x": "words", "y": True}).evidence == {}
