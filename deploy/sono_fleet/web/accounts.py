"""Local accounts: names, roles, and passwords as argon2id hashes. The default `Identity`."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from sono_fleet.database import Database, upsert
from sono_fleet.rollout import audit
from sono_fleet.tables import accounts, sessions
from sono_fleet.web.identity import NotIn, Role
from sono_models.errors import BadConfig
from sono_models.messages import rfc3339

NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
PASSWORD_LEAST, PASSWORD_MOST = 12, 1024
TRIES = 5
"""So many wrong passwords in a row lock a name; so many more lock it again."""
LOCKED_FOR = timedelta(minutes=15)
AT_ONCE = 2
"""A hash takes 64 MiB: so many are computed beside each other."""
STRANGERS_MOST = 1000
NO_PASSWORD = ""
"""The secret of an account that only a provider elsewhere lets in."""


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    role: Role
    created_at: str
    disabled: bool
    failures: int
    locked_until: str | None
    local: bool
    """It has a password here."""


class Accounts:
    """Implements Identity."""

    def __init__(self, database: Database, hasher: PasswordHasher | None = None) -> None:
        self._database, self._hasher = database, hasher or PasswordHasher()
        self._slots = threading.BoundedSemaphore(AT_ONCE)
        self._strangers: dict[str, tuple[int, str | None]] = {}
        """Names that have no account are counted and locked alike: a lock does not tell which names exist."""
        self._nobodys = self._hasher.hash("nobody has this password")

    def elsewhere(self, state: str) -> str:
        del state
        return ""

    def proves(self, proof: Mapping[str, str], at: datetime) -> str:
        name, password = proof.get("name", "").strip()[:64], proof.get("password", "")[:PASSWORD_MOST]
        found = self._database.rows(sa.select(accounts).where(accounts.c.name == name))
        row = found[0] if found else None
        locked = row["locked_until"] if row else self._strangers.get(name, (0, None))[1]
        if locked is not None and locked > rfc3339(at):
            raise _locked(name)
        usable = row is not None and not row["disabled"] and row["secret"] != NO_PASSWORD
        secret = row["secret"] if row is not None and usable else self._nobodys
        right = self._is(secret, password) and usable
        if not right:
            self._failed(name, at, known=row is not None)
            raise NotIn("log-in", "name and password do not fit", "Try again, or have an administrator set it anew")
        self._succeeded(name, secret, password)
        return name

    def add(self, name: str, role: Role, password: str | None, at: datetime, *, by: str) -> None:
        """`password` None: only a provider elsewhere lets this name in. Raises BadConfig."""
        if not NAME.fullmatch(name):
            raise BadConfig(f"account {name!r}", "not 1 to 64 of A-Z a-z 0-9 . _ @ -", "Choose another name")
        secret = NO_PASSWORD if password is None else self._hash(name, password)
        row = {"name": name, "role": str(role), "secret": secret, "created_at": rfc3339(at)}
        with self._database.writing() as connection:
            put = upsert(connection, accounts).values(**row, disabled=False, failures=0, locked_until=None)
            if connection.execute(put.on_conflict_do_nothing().returning(accounts.c.name)).first() is None:
                raise BadConfig(f"account {name}", "there is one", f"`sono fleet account password {name}`")
            evidence = {"name": name, "role": str(role), "local": password is not None}
            audit.append(connection, [audit.Entry(by, "account-add", "", evidence)], at)

    def listed(self) -> list[Account]:
        rows = self._database.rows(sa.select(accounts).order_by(accounts.c.name))
        return [
            Account(
                row["name"],
                Role(row["role"]),
                row["created_at"],
                bool(row["disabled"]),
                row["failures"],
                row["locked_until"],
                row["secret"] != NO_PASSWORD,
            )
            for row in rows
        ]

    def disable(self, name: str, at: datetime, *, by: str, enable: bool = False) -> None:
        """Its sessions end at once. Raises BadConfig."""
        action = "account-enable" if enable else "account-disable"
        self._change(name, {"disabled": not enable, "failures": 0, "locked_until": None}, action, at, by)

    def set_password(self, name: str, password: str, at: datetime, *, by: str) -> None:
        """Ends the name's sessions and its lock. Raises BadConfig."""
        secret = self._hash(name, password)
        values = {"secret": secret, "failures": 0, "locked_until": None}
        self._change(name, values, "account-password", at, by)

    def set_role(self, name: str, role: Role, at: datetime, *, by: str) -> None:
        """Raises BadConfig."""
        self._change(name, {"role": str(role)}, "account-role", at, by, evidence={"role": str(role)})

    def _change(
        self,
        name: str,
        values: Mapping[str, object],
        action: str,
        at: datetime,
        by: str,
        evidence: Mapping[str, object] | None = None,
    ) -> None:
        with self._database.writing() as connection:
            this = accounts.c.name == name
            if connection.execute(accounts.update().where(this).values(**values)).rowcount != 1:
                raise BadConfig(f"account {name}", "there is none", "See `sono fleet account list`")
            connection.execute(sessions.delete().where(sessions.c.name == name))
            audit.append(connection, [audit.Entry(by, action, "", {"name": name, **(evidence or {})})], at)

    def _hash(self, name: str, password: str) -> str:
        if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
            reason = f"its password has {len(password)} characters, not {PASSWORD_LEAST} to {PASSWORD_MOST}"
            raise BadConfig(f"account {name}", reason, "Choose a longer one: a few words do well")
        with self._slots:
            return self._hasher.hash(password)

    def _is(self, secret: str, password: str) -> bool:
        with self._slots:
            try:
                return self._hasher.verify(secret, password)
            except (VerificationError, InvalidHashError):
                return False

    def _failed(self, name: str, at: datetime, *, known: bool) -> None:
        until = rfc3339(at + LOCKED_FOR)
        if not known:
            if name not in self._strangers and len(self._strangers) >= STRANGERS_MOST:
                self._strangers.pop(next(iter(self._strangers)))
            count = self._strangers.get(name, (0, None))[0] + 1
            self._strangers[name] = (count, None if count % TRIES else until)
            return
        with self._database.writing() as connection:
            this = accounts.c.name == name
            change = accounts.update().where(this).values(failures=accounts.c.failures + 1)
            count = connection.execute(change.returning(accounts.c.failures)).scalar_one()
            if count % TRIES == 0:
                connection.execute(accounts.update().where(this).values(locked_until=until))
                entry = audit.Entry(name, "account-locked", "", {"failures": count, "until": until})
                audit.append(connection, [entry], at)

    def _succeeded(self, name: str, secret: str, password: str) -> None:
        values: dict[str, object] = {"failures": 0, "locked_until": None}
        if self._hasher.check_needs_rehash(secret):
            values["secret"] = self._hash(name, password)
        with self._database.writing() as connection:
            connection.execute(accounts.update().where(accounts.c.name == name).values(**values))


def _locked(name: str) -> NotIn:
    minutes = LOCKED_FOR.seconds // 60
    return NotIn(
        "log-in", f"too many wrong passwords for {name!r}: locked for {minutes} minutes", "Wait, or have it set anew"
    )
