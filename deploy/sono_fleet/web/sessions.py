"""Sessions: a random token in the browser's cookie, its sha256 in the database."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.tables import accounts, sessions
from sono_fleet.web.identity import NotIn, Person, Role
from sono_models.messages import rfc3339

LASTS = timedelta(hours=12)
"""So long at most, whatever happens in it."""
IDLE = timedelta(hours=2)
SEEN_STEP = timedelta(minutes=1)
"""That it is used is written down so often, not at each request."""


@dataclass(frozen=True, slots=True)
class Session:
    person: Person
    token: str

    @property
    def csrf(self) -> str:
        """What a form of this session carries; it tells nothing of the token."""
        return csrf_of(self.token)


def csrf_of(token: str) -> str:
    return hmac.new(token.encode(), b"sono fleet form", hashlib.sha256).hexdigest()


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, name: str, at: datetime) -> str:
        """The token of a new session. Raises NotIn for a name that has no account here, or a disabled one."""
        token = secrets.token_urlsafe(32)
        moments = {"begun_at": rfc3339(at), "seen_at": rfc3339(at), "ends_at": rfc3339(at + LASTS)}
        with self._database.writing() as connection:
            known = sa.select(accounts.c.name).where(accounts.c.name == name, accounts.c.disabled.is_(False))
            if connection.execute(known).first() is None:
                raise NotIn("log-in", f"{name} has no account here", "Have an administrator add one")
            connection.execute(sessions.delete().where(sessions.c.ends_at <= rfc3339(at)))
            connection.execute(sessions.insert().values(token_sha256=_digest(token), name=name, **moments))
        return token

    def of(self, token: str, at: datetime) -> Session | None:
        """None: it has ended, was ended, or there never was one. The role is the one of this moment."""
        if not token:
            return None
        query = (
            sa.select(accounts.c.name, accounts.c.role, sessions.c.seen_at)
            .join(accounts, accounts.c.name == sessions.c.name)
            .where(
                sessions.c.token_sha256 == _digest(token),
                sessions.c.ends_at > rfc3339(at),
                sessions.c.seen_at > rfc3339(at - IDLE),
                accounts.c.disabled.is_(False),
            )
        )
        rows = self._database.rows(query)
        if not rows:
            return None
        if rows[0]["seen_at"] < rfc3339(at - SEEN_STEP):
            with self._database.writing() as connection:
                this = sessions.c.token_sha256 == _digest(token)
                connection.execute(sessions.update().where(this).values(seen_at=rfc3339(at)))
        return Session(Person(rows[0]["name"], Role(rows[0]["role"])), token)

    def end(self, token: str) -> None:
        with self._database.writing() as connection:
            connection.execute(sessions.delete().where(sessions.c.token_sha256 == _digest(token)))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
