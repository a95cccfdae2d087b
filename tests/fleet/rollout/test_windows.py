"""Maintenance windows on a site's own clock, over the changes of that clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_fleet.rollout.windows import opening, parsed
from sono_models.errors import BadConfig

NIGHTS = parsed("Europe/Berlin", ["Mon-Fri 19:00-06:00"])


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "start", "end"),
    [
        ("2026-03-02T12:00+01:00", "2026-03-02T19:00+01:00", "2026-03-03T06:00+01:00"),
        ("2026-03-02T20:30+01:00", "2026-03-02T20:30+01:00", "2026-03-03T06:00+01:00"),
        ("2026-03-03T05:59+01:00", "2026-03-03T05:59+01:00", "2026-03-03T06:00+01:00"),
        ("2026-03-07T05:00+01:00", "2026-03-07T05:00+01:00", "2026-03-07T06:00+01:00"),  # Friday's, on Saturday
        ("2026-03-07T12:00+01:00", "2026-03-09T19:00+01:00", "2026-03-10T06:00+01:00"),  # over the weekend
        ("2026-03-28T12:00+01:00", "2026-03-30T19:00+02:00", "2026-03-31T06:00+02:00"),  # over the change
    ],
)
def test_the_next_opening(now: str, start: str, end: str) -> None:
    found = opening(NIGHTS, at(now))
    assert (found.start, found.end) == (at(start), at(end))


def test_a_night_in_which_the_clock_changes_is_shorter() -> None:
    hours = parsed("Europe/Berlin", ["Sat 22:00-06:00"])
    found = opening(hours, at("2026-03-28T21:30+01:00"))
    assert found.end is not None
    assert found.end - found.start == timedelta(hours=7)


def test_without_windows_it_is_always_open() -> None:
    now = at("2026-03-02T12:00+01:00")
    for hours in (None, parsed("UTC", [])):
        found = opening(hours, now)
        assert (found.start, found.end) == (now, None)


def test_what_is_left_may_be_too_short() -> None:
    found = opening(NIGHTS, at("2026-03-03T05:50+01:00"), room=timedelta(hours=1))
    assert found.start == at("2026-03-03T19:00+01:00")
    short = parsed("UTC", ["Sun 02:00-02:10"])
    assert opening(short, at("2026-03-02T12:00+00:00"), room=timedelta(hours=1)).start == at("2026-03-08T02:00+00:00")


@given(
    st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
    st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Auckland", "UTC"]),
    st.sampled_from(["Mon-Sun 01:00-04:00", "Sat-Sun 22:00-02:00", "Wed 02:30-02:45", "Fri-Mon 23:59-00:01"]),
)
@settings(max_examples=150)
def test_it_always_opens_within_eight_days_and_lies_in_the_window(naive: datetime, zone: str, text: str) -> None:
    now = naive.replace(tzinfo=UTC)
    hours = parsed(zone, [text])
    found = opening(hours, now)
    assert found.end is not None
    assert now <= found.start < found.end
    assert found.start - now <= timedelta(days=8)
    local = found.start.astimezone(hours.zone)
    (window,) = hours.windows
    inside = {local.weekday(), (local.weekday() - 1) % 7} & window.days
    assert inside


@pytest.mark.parametrize("text", ["", "Mon 19-20", "Foo 19:00-20:00", "Mon-Foo 19:00-20:00", "Mon 25:00-26:00"])
def test_a_window_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadConfig, match="not a window"):
        parsed("UTC", [text])


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../etc/passwd"])
def test_a_time_zone_that_is_none_is_refused(zone: str) -> None:
    with pytest.raises(BadConfig, match="timezone"):
        parsed(zone, [])
