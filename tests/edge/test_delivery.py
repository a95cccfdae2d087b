"""The delivery law: a window, probes while the fleet is silent, and everything again on a new link."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sono_edge.delivery import BackOff, Delivery
from sono_edge.outbox import Stored


def row(sequence: int, epoch: int = 5) -> Stored:
    return Stored(epoch, sequence, b"")


def rows(first: int, last: int) -> list[Stored]:
    return [row(sequence) for sequence in range(first, last + 1)]


def law(window: int = 4) -> Delivery:
    return Delivery(window, BackOff(1.0, 8.0, lambda: 0.5))


def test_waits_double_to_the_longest_and_start_again() -> None:
    back_off = BackOff(1.0, 5.0, lambda: 0.5)
    assert [back_off.next_s() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
    back_off.reset()
    assert back_off.next_s() == 1.0


def test_jitter_is_a_quarter_either_way() -> None:
    assert BackOff(4.0, 8.0, lambda: 0.0).next_s() == 3.0
    assert BackOff(4.0, 8.0, lambda: 1.0).next_s() == 5.0


def test_only_the_oldest_of_the_window_are_in_flight() -> None:
    delivery = law()
    assert delivery.due(rows(1, 9), 16, 0.0) == rows(1, 4)
    assert delivery.due(rows(1, 9), 16, 0.1) == []
    delivery.progressed(0.2)
    assert delivery.due(rows(3, 9), 16, 0.2) == rows(5, 6)


def test_there_must_be_room() -> None:
    delivery = law()
    assert delivery.due(rows(1, 4), 0, 0.0) == []
    assert delivery.due(rows(1, 4), 3, 0.0) == rows(1, 3)
    assert delivery.due(rows(1, 4), 3, 0.0) == rows(4, 4)


def test_a_silent_fleet_gets_the_oldest_alone_ever_more_rarely() -> None:
    delivery = law()
    sent = [(0.0, delivery.due(rows(1, 4), 16, 0.0))]
    for tenth in range(1, 400):
        now = tenth / 10
        due = delivery.due(rows(1, 4), 16, now)
        if due:
            sent.append((now, due))
    assert sent[1:] == [(at, rows(1, 1)) for at in (1.0, 3.0, 7.0, 15.0, 23.0, 31.0, 39.0)]
    assert delivery.probing


def test_an_answer_to_a_probe_sends_the_rest_again() -> None:
    delivery = law()
    delivery.due(rows(1, 4), 16, 0.0)
    assert delivery.due(rows(1, 4), 16, 2.0) == rows(1, 1)
    delivery.progressed(2.1)
    assert not delivery.probing
    assert delivery.due(rows(2, 4), 16, 2.1) == rows(2, 4)


def test_a_new_link_and_a_new_epoch_send_everything_again() -> None:
    delivery = law()
    delivery.due(rows(1, 3), 16, 0.0)
    delivery.begin()
    assert delivery.due(rows(1, 3), 16, 0.1) == rows(1, 3)
    assert delivery.due([row(1, epoch=6)], 16, 0.2) == [row(1, epoch=6)]


class Fleet:
    """Commits what it gets, answers with the highest contiguous; loses and is silent when told to."""

    def __init__(self) -> None:
        self.have: set[int] = set()

    def contiguous(self) -> int:
        end = 0
        while end + 1 in self.have:
            end += 1
        return end


@given(st.lists(st.sampled_from(["lose message", "lose answer", "new link", "fine", "fine"]), max_size=60))
def test_whatever_is_lost_everything_arrives(events: list[str]) -> None:
    delivery, fleet = law(), Fleet()
    acked, now = 0, 0.0
    for event in [*events, *["fine"] * 60]:
        now += 5.0
        if event == "new link":
            delivery.begin()
        due = delivery.due(rows(acked + 1, 20)[:4], 16, now)
        assert len(due) <= 4
        if event == "lose message" or not due:
            continue
        fleet.have |= {stored.sequence for stored in due}
        if event != "lose answer" and fleet.contiguous() > acked:
            acked = fleet.contiguous()
            delivery.progressed(now)
    assert acked == 20
