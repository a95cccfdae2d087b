"""Maintenance windows of a site, on its own clock. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sono_models.errors import BadConfig

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FORM = re.compile(r"([a-z]{3})(?:-([a-z]{3}))? (\d\d):(\d\d)-(\d\d):(\d\d)", re.IGNORECASE)
LOOK_AHEAD_DAYS = 15
"""A window is weekly; a day more for each change of the clock."""


@dataclass(frozen=True, slots=True)
class Window:
    """Weekly, on these days of the week (Monday is 0), from `start` to `end`; an `end` not after it is next day's."""

    days: frozenset[int]
    start: time
    end: time


@dataclass(frozen=True, slots=True)
class Hours:
    """When a site lets its devices be changed. No window: always."""

    zone: ZoneInfo
    windows: tuple[Window, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """From when (now, when it is open) and until when; None: it does not close."""

    start: datetime
    end: datetime | None


def parsed(zone: str, windows: list[str]) -> Hours:
    """`Europe/Berlin` and `Mon-Fri 19:00-06:00`. Raises BadConfig."""
    try:
        found = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
        raise BadConfig(f"timezone {zone!r}", "not known", "Such as Europe/Berlin or UTC") from problem
    return Hours(found, tuple(_window(text) for text in windows))


def opening(hours: Hours | None, now: datetime, *, room: timedelta = timedelta(0)) -> Opening:
    """The next time that is in a window and has `room` left before its end. `now` and the answer in UTC."""
    if hours is None or not hours.windows:
        return Opening(now, None)
    for start, end in sorted(_spans(hours, now)):
        begins = max(start, now)
        if end - begins > room:
            return Opening(begins, end)
    # every window is shorter than the room that is wanted: the next that opens has to do
    return next(Opening(max(start, now), end) for start, end in sorted(_spans(hours, now)) if end > now)


def _spans(hours: Hours, now: datetime) -> Iterator[tuple[datetime, datetime]]:
    today = now.astimezone(hours.zone).date()
    for shift in range(-1, LOOK_AHEAD_DAYS):
        day = today + timedelta(days=shift)
        for window in hours.windows:
            if day.weekday() in window.days:
                yield _span(window, day, hours.zone)


def _span(window: Window, day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Wall clock times of the site; a time that a change of the clock skips is taken as the one after it."""
    last = day if window.end > window.start else day + timedelta(days=1)
    start = datetime.combine(day, window.start, zone).astimezone(UTC)
    return start, datetime.combine(last, window.end, zone).astimezone(UTC)


def _window(text: str) -> Window:
    match = FORM.fullmatch(text.strip())
    trouble = BadConfig(f"window {text!r}", "not a window", "Such as 'Mon-Fri 19:00-06:00' or 'Sun 02:00-05:00'")
    if match is None:
        raise trouble
    first, last = match[1].lower(), (match[2] or match[1]).lower()
    if first not in DAYS or last not in DAYS:
        raise trouble
    begin, end = DAYS.index(first), DAYS.index(last)
    days = {(begin + step) % 7 for step in range((end - begin) % 7 + 1)}
    try:
        return Window(frozenset(days), time(int(match[3]), int(match[4])), time(int(match[5]), int(match[6])))
    except ValueError as problem:
        raise trouble from problem
