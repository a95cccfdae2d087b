"""The certificate that the uplink shows: how long it holds, and whether the file has another one by now."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path

from sono_edge.identity.certificate import Term, term
from sono_models.errors import BadConfig

log = logging.getLogger(__name__)

_Mark = tuple[int, int, int]


class OwnCertificate:
    """`look` before connecting: what it sees then is what is shown."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark: _Mark | None = None
        self._term: Term | None = None

    def look(self) -> None:
        mark = self._marked()
        if mark == self._mark and self._term is not None:
            return
        self._mark = mark
        try:
            self._term = term(self._path)
        except BadConfig as problem:
            self._term = None
            log.warning("uplink: how long the certificate holds cannot be told: %s", problem)

    def changed(self) -> bool:
        return self._marked() not in {self._mark, None}

    def days_left(self, now: datetime) -> float | None:
        """None: it cannot be told."""
        return None if self._term is None else round(self._term.days_left(now), 2)

    def ended(self, now: datetime) -> str:
        """In words, with the next step; empty: it has not, as far as can be told."""
        if self._term is None or self._term.days_left(now) > 0:
            return ""
        said = f"it ended at {self._term.ends:%Y-%m-%d %H:%M} UTC, and the clock here says {now:%Y-%m-%d %H:%M}"
        step = "Set the clock if it is wrong; else enrol this board anew: sono enroll --code …"
        return f"certificate {self._path}: {said}. {step}"

    def _marked(self) -> _Mark | None:
        try:
            seen = self._path.stat()
        except OSError:
            return None
        return seen.st_ino, seen.st_mtime_ns, seen.st_size
