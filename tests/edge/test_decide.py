"""The alert law, as properties over any stream of frames and as the cases of its contract."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_edge.decide import Decision, Event, Hold, Memory, Observation, acknowledge, same_place, step
from sono_edge.gates import Gate, Quality
from sono_edge.scene import State
from sono_models.inputs import Box
from sono_models.law import AlertLaw

LAW = AlertLaw(t_hi=0.5, t_lo=0.3)
FPS = 30.0
PASS = Quality(Gate.PASS, "", 1.0)
HERE = Box(0.4, 0.4, 0.6, 0.6)
THERE = Box(0.0, 0.0, 0.1, 0.1)

observations = st.lists(
    st.builds(
        Observation,
        captured_s=st.just(0.0),
        quality=st.sampled_from([PASS, PASS, PASS, *(Quality(gate, "", 0.0) for gate in Gate)]),
        score=st.sampled_from([0.0, 0.2, 0.35, 0.49, 0.5, 0.7, 0.95]),
        box=st.sampled_from([HERE, THERE, Box(0.7, 0.1, 0.9, 0.5)]),
        fresh=st.sampled_from([True, True, True, False]),
        frozen=st.sampled_from([False, False, False, True]),
        ai_on=st.sampled_from([True, True, True, True, False]),
        thin=st.sampled_from(["", "", "", "", "can't say: so"]),
    ),
    max_size=400,
)


def play(
    frames: list[Observation], law: AlertLaw = LAW, *, fps: float = FPS
) -> tuple[Memory, list[Decision], list[Event]]:
    memory = Memory()
    decisions: list[Decision] = []
    events: list[Event] = []
    for index, frame in enumerate(frames):
        memory, decision = step(law, memory, replace(frame, captured_s=index / fps))
        decisions.append(decision)
        events += decision.events
    return memory, decisions, events


def frames(score: float, count: int, box: Box = HERE, **kinds: object) -> list[Observation]:
    return [Observation(0.0, PASS, score, box, **kinds)] * count  # type: ignore[arg-type]


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


@given(observations)
@settings(max_examples=300, deadline=None)
def test_a_gated_frozen_or_reused_frame_never_raises(stream: list[Observation]) -> None:
    _, decisions, _ = play(stream)
    for frame, decision in zip(stream, decisions, strict=True):
        raised = [event for event in decision.events if event.kind == "raised"]
        if frame.quality.gate is not Gate.PASS or frame.frozen or not frame.fresh or not frame.ai_on:
            assert not raised


@given(observations)
@settings(max_examples=300, deadline=None)
def test_every_track_is_raised_once_and_cleared_at_most_once_after(stream: list[Observation]) -> None:
    memory, _, events = play(stream)
    for number in {event.track.number for event in events}:
        story = [event.kind for event in events if event.track.number == number]
        assert story[0] == "raised"
        assert story.count("raised") == 1
        assert story.count("cleared") <= 1
        assert "cleared" not in story[:-1]
    standing = memory.track is not None
    assert kinds(events).count("raised") - kinds(events).count("cleared") == int(standing)


@given(observations)
@settings(max_examples=300, deadline=None)
def test_what_is_raised_had_m_of_n_and_was_shown_long_enough(stream: list[Observation]) -> None:
    _, _, events = play(stream)
    for event in events:
        if event.kind == "raised":
            assert LAW.m <= event.track.m <= LAW.n
            assert event.track.score.value >= LAW.t_hi
        if event.kind == "cleared":
            assert event.captured_s - event.track.raised_s >= LAW.shown_s - 1e-9
            assert event.captured_s - event.track.supported_s >= LAW.clear_s - 1e-9


@given(observations, st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_never_more_than_so_many_a_minute(stream: list[Observation], per_minute: int) -> None:
    law = AlertLaw(t_hi=0.5, t_lo=0.3, per_minute=per_minute, cooldown_s=0.0, clear_s=0.1, shown_s=0.1)
    _, _, events = play(stream, law, fps=5.0)
    raised = [event.captured_s for event in events if event.kind == "raised"]
    for at in raised:
        assert sum(at <= other < at + 60.0 for other in raised) <= per_minute


@given(observations)
@settings(max_examples=100, deadline=None)
def test_the_same_frames_give_the_same_answer(stream: list[Observation]) -> None:
    assert play(stream) == play(stream)


PASSING = (State.SCANNING, State.CANDIDATE, State.CANT_SAY, State.ALERT, State.HELD, State.COOLDOWN)


def paused(frame: Observation) -> bool:
    return frame.quality.gate is not Gate.PASS or frame.frozen or not frame.ai_on


@given(observations)
@settings(max_examples=200, deadline=None)
def test_a_paused_frame_says_that_it_is_and_no_other_does(stream: list[Observation]) -> None:
    _, decisions, _ = play(stream)
    for frame, decision in zip(stream, decisions, strict=True):
        assert (decision.state not in PASSING) == paused(frame)
        assert decision.attention == 0.0 or not paused(frame)


@given(observations)
@settings(max_examples=200, deadline=None)
def test_no_track_is_raised_while_another_stands(stream: list[Observation]) -> None:
    standing = 0
    _, _, events = play(stream)
    for event in events:
        if event.kind == "raised":
            assert standing == 0
            standing = event.track.number
        assert event.track.number == standing
        if event.kind == "cleared":
            standing = 0


@given(observations)
@settings(max_examples=200, deadline=None)
def test_every_state_has_an_exit(stream: list[Observation]) -> None:
    """Whatever was seen before, plain frames without evidence lead back to SCANNING, and strong ones to an alert."""
    calm = int((LAW.clear_s + LAW.shown_s) * FPS) + LAW.n + 2
    rested = [*stream, *frames(0.0, calm)]
    memory, decisions, _ = play(rested)
    assert decisions[-1].state is State.SCANNING
    assert memory.track is None
    wait_s = max(LAW.cooldown_s, 60.0)
    for index in range(LAW.m + 1):
        at_s = len(rested) / FPS + wait_s + index / FPS
        memory, decision = step(LAW, memory, Observation(at_s, PASS, 0.9, HERE))
    assert decision.state is State.ALERT


@given(observations, st.data())
@settings(max_examples=100, deadline=None)
def test_a_stream_cut_anywhere_goes_on_as_if_it_were_whole(stream: list[Observation], data: st.DataObject) -> None:
    """The memory is all there is: replay from any frame on gives the same list."""
    whole, decisions, _ = play(stream)
    cut = data.draw(st.integers(0, len(stream)))
    memory, _, _ = play(stream[:cut])
    rest: list[Decision] = []
    for index, frame in enumerate(stream[cut:], start=cut):
        memory, decision = step(LAW, memory, replace(frame, captured_s=index / FPS))
        rest.append(decision)
    assert (memory, rest) == (whole, decisions[cut:])


@given(observations)
@settings(max_examples=200, deadline=None)
def test_a_gate_lets_no_evidence_through_to_the_next_frame(stream: list[Observation]) -> None:
    """An alert rests only on fresh frames that passed since the last gate."""
    _, decisions, _ = play(stream)
    since = 0
    for frame, decision in zip(stream, decisions, strict=True):
        if frame.quality.gate is not Gate.PASS or not frame.ai_on:
            since = 0
        elif frame.fresh and not frame.frozen:
            since += 1
        assert since >= LAW.m or not any(event.kind == "raised" for event in decision.events)


@given(observations, st.lists(st.integers(0, 399), max_size=8))
@settings(max_examples=100, deadline=None)
def test_seen_never_ends_an_alert_nor_raises_another(stream: list[Observation], presses: list[int]) -> None:
    memory, pressed = Memory(), []
    for index, frame in enumerate(stream):
        memory, decision = step(LAW, memory, replace(frame, captured_s=index / FPS))
        pressed += [event for event in decision.events if event.kind in {"raised", "cleared"}]
        if index in presses:
            memory, _ = acknowledge(LAW, memory, index / FPS)
    _, _, events = play(stream)
    alone = [event for event in events if event.kind in {"raised", "cleared"}]
    assert [(one.kind, one.captured_s) for one in pressed] == [(one.kind, one.captured_s) for one in alone]


@given(observations)
@settings(max_examples=300, deadline=None)
def test_no_place_is_raised_again_before_it_has_rested(stream: list[Observation]) -> None:
    _, _, events = play(stream, fps=10.0)
    for event in events:
        earlier = [one for one in events if one.kind == "cleared" and event.captured_s - one.captured_s >= 0]
        for one in earlier if event.kind == "raised" else []:
            rested = event.captured_s - one.captured_s >= LAW.cooldown_s
            assert rested or not same_place(one.track.box, event.track.box, LAW)


@given(observations)
@settings(max_examples=300, deadline=None)
def test_every_candidate_becomes_an_alert_or_is_counted(stream: list[Observation]) -> None:
    """M of the last N above t_hi at one place: an alert stands there, or the reason for none does, counted once."""
    memory, held = Memory(), 0
    for index, frame in enumerate(stream):
        before = memory
        memory, _ = step(LAW, memory, replace(frame, captured_s=index / FPS))
        held += before.hold is None and memory.hold is not None
        assert memory.suppressed == held
        if paused(frame) or not frame.fresh:
            continue
        above = [one for one in memory.window if one.score >= LAW.t_hi]
        claims = [one for one in above if same_place(above[-1].box, one.box, LAW)]
        told = memory.hold is not None or (memory.track is not None)
        assert len(claims) < LAW.m or told


@given(observations)
@settings(max_examples=200, deadline=None)
def test_what_is_folded_is_told_and_never_lost(stream: list[Observation]) -> None:
    law = replace_law(per_minute=1, cooldown_s=0.0, clear_s=0.1, shown_s=0.1)
    memory, held = Memory(), 0
    told: list[Event] = []
    for index, frame in enumerate(stream):
        before = memory.hold
        memory, decision = step(law, memory, replace(frame, captured_s=index / 5.0))
        held += memory.hold is Hold.MINUTE and before is not Hold.MINUTE
        told += decision.events
    assert sum(event.folded for event in told) + memory.folded == held


def test_five_frames_above_raise_nothing_and_the_sixth_does() -> None:
    _, decisions, events = play(frames(0.9, 6))
    assert kinds(events) == ["raised"]
    assert decisions[4].events == ()
    assert decisions[5].events[0].track.box == HERE
    assert decisions[5].state is State.ALERT


def test_a_flicker_of_five_in_nine_never_raises() -> None:
    stream = [*frames(0.9, 5), *frames(0.1, 4)] * 20
    _, decisions, events = play(stream)
    assert events == []
    assert State.CANDIDATE in {decision.state for decision in decisions}


def test_an_alert_stays_until_below_t_lo_for_its_time() -> None:
    memory, decisions, events = play([*frames(0.9, 30), *frames(0.35, 60), *frames(0.1, 20)])
    assert kinds(events) == ["raised"]
    assert decisions[-1].state is State.HELD
    assert memory.track is not None
    _, decisions, events = play([*frames(0.9, 30), *frames(0.1, 22)])
    assert kinds(events) == ["raised", "cleared"]
    assert decisions[-1].box is None


def test_the_same_place_rests_and_another_place_does_not() -> None:
    once = [*frames(0.9, 30), *frames(0.1, 60)]
    memory, decisions, events = play([*once, *frames(0.9, 30)])
    assert kinds(events) == ["raised", "cleared"]
    assert decisions[-1].state is State.COOLDOWN
    assert memory.suppressed == 1
    _, _, events = play([*once, *frames(0.9, 30, THERE)])
    assert kinds(events) == ["raised", "cleared", "raised"]
    _, _, events = play([*once, *frames(0.1, 300), *frames(0.9, 30)])
    assert kinds(events) == ["raised", "cleared", "raised"]


def test_evidence_scattered_over_two_places_raises_nothing() -> None:
    stream = [*frames(0.9, 1), *frames(0.9, 1, THERE)] * 40
    _, _, events = play(stream)
    assert events == []


def test_a_second_place_waits_for_the_first_alert_to_end_and_is_its_own_track() -> None:
    memory, decisions, events = play([*frames(0.9, 30), *frames(0.9, 90, THERE)])
    assert kinds(events) == ["raised", "cleared", "raised"]
    first, _, second = events
    assert (first.track.box, second.track.box) == (HERE, THERE)
    assert second.captured_s - first.captured_s >= LAW.shown_s
    assert memory.suppressed == 1
    assert decisions[34].box == HERE


def test_a_place_that_rests_lends_its_evidence_to_no_other() -> None:
    rested = [*frames(0.9, 30), *frames(0.1, 60)]
    memory, _, events = play([*rested, *frames(0.95, 5), *frames(0.6, 5, THERE)])
    assert kinds(events) == ["raised", "cleared"]
    assert memory.track is None
    _, _, events = play([*rested, *frames(0.95, 5), *frames(0.6, 6, THERE)])
    assert kinds(events) == ["raised", "cleared", "raised"]
    assert events[-1].track.box == THERE


def test_a_candidate_of_thin_frames_is_counted_and_says_so() -> None:
    memory, decisions, events = play(frames(0.9, 30, thin="can't say: two signs"))
    assert (events, memory.suppressed, memory.hold) == ([], 1, Hold.THIN)
    assert decisions[-1].state is State.CANT_SAY


def test_what_the_limit_held_back_is_told_with_the_next_alert() -> None:
    law = replace_law(per_minute=1, cooldown_s=0.0)
    quiet = frames(0.1, 60)
    stream = [*frames(0.9, 30), *quiet, *frames(0.9, 30), *quiet, *frames(0.1, 1800), *frames(0.9, 30)]
    _, _, events = play(stream, law)
    raised = [event for event in events if event.kind == "raised"]
    assert [event.folded for event in raised] == [0, 1]


def test_a_freeze_keeps_what_is_shown_and_a_lift_off_clears_it() -> None:
    off = [Observation(0.0, Quality(Gate.NO_CONTACT, "", 0.0), 0.0, HERE)] * 40
    _, decisions, events = play([*frames(0.9, 30), *frames(0.9, 90, fresh=False, frozen=True)])
    assert kinds(events) == ["raised"]
    assert decisions[-1].state is State.FROZEN
    assert decisions[-1].box == HERE
    _, decisions, events = play([*frames(0.9, 30), *off])
    assert kinds(events) == ["raised", "cleared"]
    assert decisions[-1].state is State.NO_CONTACT


@pytest.mark.parametrize("gate", [gate for gate in Gate if gate is not Gate.PASS])
def test_every_gate_has_its_state_and_while_it_holds_nothing_is_raised(gate: Gate) -> None:
    held = [Observation(0.0, Quality(gate, "why", 1.0), 0.99, HERE)] * 60
    _, decisions, events = play(held)
    assert events == []
    assert {(decision.reason, decision.attention, decision.box) for decision in decisions} == {("why", 0.0, None)}
    assert decisions[0].state.name.removeprefix("GATED_") == gate.name


def test_evidence_does_not_reach_across_a_lift_off() -> None:
    off = [Observation(0.0, Quality(Gate.NO_CONTACT, "", 0.0), 0.0, HERE)]
    _, _, events = play([*frames(0.9, 5), *off, *frames(0.9, 5)])
    assert events == []


def test_a_slow_board_is_not_kept_waiting_for_nine_old_frames() -> None:
    _, _, events = play(frames(0.9, 4), fps=1.0)
    assert events == []
    _, _, events = play(frames(0.9, 8), fps=5.0)
    assert kinds(events) == ["raised"]


def test_a_stream_whose_time_went_back_starts_afresh_and_still_clears() -> None:
    memory, _, _ = play(frames(0.9, 30))
    memory, decision = step(LAW, memory, Observation(0.0, PASS, 0.1, HERE))
    assert memory.window[0].score == pytest.approx(0.1)
    assert decision.box is not None
    for index in range(60):
        memory, decision = step(LAW, memory, Observation(index / FPS, PASS, 0.1, HERE))
    assert memory.track is None


def test_seen_is_told_once_and_deletes_nothing() -> None:
    memory, _, _ = play(frames(0.9, 30))
    memory, events = acknowledge(LAW, memory, 1.0)
    assert kinds(list(events)) == ["acknowledged"]
    assert memory.track is not None
    memory, events = acknowledge(LAW, memory, 1.1)
    assert events == ()
    _, decision = step(LAW, memory, Observation(1.2, PASS, 0.9, HERE))
    assert decision.state is State.HELD
    assert decision.box is not None


def test_nothing_to_see_acknowledges_nothing() -> None:
    assert acknowledge(LAW, Memory(), 0.0) == (Memory(), ())


def test_a_rising_score_is_an_update_of_the_same_alert() -> None:
    _, _, events = play([*frames(0.55, 12), *frames(0.9, 12)])
    assert kinds(events) == ["raised", "updated"]
    assert events[1].track.score.value > events[0].track.score.value


def replace_law(**values: float) -> AlertLaw:
    return AlertLaw(t_hi=0.5, t_lo=0.3, **values)  # type: ignore[arg-type]
