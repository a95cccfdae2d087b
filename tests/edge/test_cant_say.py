"""Frames whose evidence is thin: they raise nothing, and the page says why."""

from __future__ import annotations

from sono_edge.decide import Decision, Memory, Observation, step
from sono_edge.gates import Gate, Quality
from sono_edge.scene import State
from sono_models.inputs import Box
from sono_models.law import AlertLaw
from sono_models.uncertainty import FAR

LAW = AlertLaw(t_hi=0.5, t_lo=0.3)
CLEAR = Quality(Gate.PASS, "", 1.0)
HERE = Box(0.4, 0.4, 0.6, 0.6)


def run(thin: list[str], *, score: float = 0.9) -> list[Decision]:
    memory, decisions = Memory(), []
    for number, why in enumerate(thin):
        memory, decision = step(LAW, memory, Observation(number / 30, CLEAR, score, HERE, thin=why))
        decisions.append(decision)
    return decisions


def test_thin_frames_raise_nothing_and_say_why() -> None:
    decisions = run([FAR] * 20)
    assert not any(decision.events for decision in decisions)
    assert decisions[LAW.m - 2].state is State.SCANNING
    assert {decision.state for decision in decisions[LAW.m :]} == {State.CANT_SAY}
    assert decisions[-1].reason == "unlike the pictures it learned from"


def test_a_few_thin_frames_change_nothing() -> None:
    decisions = run([FAR, "", ""] * 4)
    assert [event.kind for decision in decisions for event in decision.events] == ["raised"]
    assert decisions[-1].state is State.ALERT
    assert State.CANT_SAY not in {decision.state for decision in decisions}


def test_a_standing_alert_stays() -> None:
    decisions = run([""] * 9 + [FAR] * 30)
    assert decisions[-1].state is State.ALERT
