"""Codes and certificates in the database, each change with its entry in the audit log, in one transaction.

Whoever changes identities does so alone: a certificate cannot be renewed while it is being revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.identity import codes
from sono_fleet.identity.authority import Authority, Issued, Revocation
from sono_fleet.identity.names import Who
from sono_fleet.identity.requests import PublicKey
from sono_fleet.rollout import audit
from sono_fleet.tables import enrolments, identities
from sono_models.errors import BadConfig, BadOrder
from sono_models.messages import rfc3339

ENROLMENT = "enrolment"
"""The actor of what the service does by itself."""
LISTED_AFTER = timedelta(days=1)
"""A revoked certificate stays on the list for so long after its end: clocks differ."""
_NEW_CODE = "Ask the fleet's manager for a new code: sono fleet enroll code"


@dataclass(frozen=True, slots=True)
class Identity:
    serial: str
    who: Who
    line: str
    issued_at: str
    ends_at: str
    revoked_at: str
    reason: str

    def standing(self, now: datetime) -> str:
        if self.revoked_at:
            return "revoked"
        return "good" if self.ends_at > rfc3339(now) else "ended"


class Registry:
    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database, self._now = database, now

    def code(self, who: Who, hours: float, actor: str) -> str:
        """A new code for a device. An older one that is not used yet ends."""
        now, code = self._now(), codes.fresh()
        ends = rfc3339(now + timedelta(hours=hours))
        unused = (enrolments.c.site == who.site, enrolments.c.device == who.device, enrolments.c.used_at.is_(None))
        with self._alone() as connection:
            earlier = enrolments.update().where(*unused, enrolments.c.ends_at > rfc3339(now))
            connection.execute(earlier.values(ends_at=rfc3339(now)))
            values = {"site": who.site, "device": who.device, "actor": actor[:100], "made_at": rfc3339(now)}
            connection.execute(enrolments.insert().values(code_sha256=codes.hashed(code), ends_at=ends, **values))
            self._note(connection, actor, "enrol-code", who, {"ends_at": ends})
        return code

    def enrol(self, code: str, who: Who, key: PublicKey, authority: Authority, days: float) -> Issued:
        """Use a code up and issue. Earlier certificates of the device are revoked: it is a new board, or set up anew.

        Raises BadOrder for a code that is unknown, used, ended or another device's; nothing is changed then.
        """
        now = self._now()
        with self._alone() as connection:
            _use(connection, codes.hashed(code), who, rfc3339(now))
            _revoke(connection, _live(who), now, "enrolled anew")
            issued = authority.client(who, key, days, now)
            self._record(connection, ENROLMENT, "enrol", who, issued, now)
        return issued

    def renew(self, serial: str, fingerprint: str, key: PublicKey, authority: Authority, days: float) -> Issued:
        """A new certificate for the holder of one that holds. Raises BadOrder for one that is revoked or not ours."""
        now = self._now()
        with self._alone() as connection:
            query = sa.select(identities).where(identities.c.serial == serial, identities.c.fingerprint == fingerprint)
            row = connection.execute(query).mappings().first()
            if row is None or not row["site"]:
                raise BadOrder("this certificate", "it is no device's of this fleet", _NEW_CODE)
            if row["revoked_at"] is not None:
                raise BadOrder("this certificate", f"revoked at {row['revoked_at']}: {row['reason']}", _NEW_CODE)
            if row["ends_at"] <= rfc3339(now):
                raise BadOrder("this certificate", f"it ended at {row['ends_at']}", _NEW_CODE)
            who = Who(row["site"], row["device"])
            issued = authority.client(who, key, days, now, row["line"])
            self._record(connection, ENROLMENT, "renew", who, issued, now, renews=serial)
        return issued

    def serve(self, who: Who, key: PublicKey, authority: Authority, days: float, actor: str) -> Issued:
        """A certificate for a service of the fleet."""
        now = self._now()
        with self._alone() as connection:
            issued = authority.client(who, key, days, now)
            self._record(connection, actor, "service", who, issued, now)
        return issued

    def revoke(self, who: Who | None, serial: str, reason: str, actor: str) -> list[str]:
        """One certificate, or all of a device or service that hold; its unused codes end. Returns the serials."""
        now = self._now()
        chosen = identities.c.serial == serial if who is None else _live(who)
        with self._alone() as connection:
            taken = _revoke(connection, chosen, now, reason)
            codes_ended = 0 if who is None else _end_codes(connection, who, now)
            if not taken and not codes_ended:
                raise BadConfig(str(who or serial), "nothing of it holds", "See `sono fleet enroll list --all`")
            for one in sorted({Who(site, device) for _, site, device in taken} | ({who} if who else set())):
                serials = [number for number, site, device in taken if Who(site, device) == one]
                self._note(connection, actor, "revoke", one, {"serials": serials, "reason": reason})
        return [number for number, _, _ in taken]

    def all(self) -> list[Identity]:
        rows = self._database.rows(sa.select(identities).order_by(identities.c.site, identities.c.device))
        return [
            Identity(
                row["serial"],
                Who(row["site"], row["device"]),
                row["line"],
                row["issued_at"],
                row["ends_at"],
                row["revoked_at"] or "",
                row["reason"],
            )
            for row in rows
        ]

    def revoked(self) -> list[Revocation]:
        """What belongs on the list: revoked, and not long past its end anyway."""
        least = rfc3339(self._now() - LISTED_AFTER)
        return [
            Revocation(one.serial, datetime.fromisoformat(one.revoked_at))
            for one in self.all()
            if one.revoked_at and one.ends_at > least
        ]

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("LOCK TABLE identities IN EXCLUSIVE MODE")  # SQLite's exclude each other
            yield connection

    def _record(
        self, connection: sa.Connection, actor: str, action: str, who: Who, issued: Issued, now: datetime, **more: str
    ) -> None:
        ends = rfc3339(issued.certificate.not_valid_after_utc)
        connection.execute(
            identities.insert().values(
                serial=issued.serial,
                site=who.site,
                device=who.device,
                line=issued.line,
                fingerprint=issued.fingerprint,
                issued_at=rfc3339(now),
                ends_at=ends,
            )
        )
        evidence = {"serial": issued.serial, "fingerprint": issued.fingerprint, "ends_at": ends, **more}
        self._note(connection, actor, action, who, evidence)

    def _note(
        self, connection: sa.Connection, actor: str, action: str, who: Who, evidence: Mapping[str, object]
    ) -> None:
        entry = audit.Entry(actor, action, "", {"site": who.site, "device": who.device, **evidence})
        audit.append(connection, [entry], self._now())


def _live(who: Who) -> sa.ColumnElement[bool]:
    return sa.and_(identities.c.site == who.site, identities.c.device == who.device)


def _use(connection: sa.Connection, sha256: str, who: Who, now: str) -> None:
    """Of two at once the second finds it used: it is one conditional UPDATE."""
    mine = enrolments.c.code_sha256 == sha256, enrolments.c.site == who.site, enrolments.c.device == who.device
    open_yet = enrolments.c.used_at.is_(None), enrolments.c.ends_at > now
    if connection.execute(enrolments.update().where(*mine, *open_yet).values(used_at=now)).rowcount == 1:
        return
    row = connection.execute(sa.select(enrolments).where(enrolments.c.code_sha256 == sha256)).mappings().first()
    if row is None:
        raise BadOrder("this code", "it is not known", "Type it again, as it was printed")
    if (row["site"], row["device"]) != (who.site, who.device):
        raise BadOrder("this code", f"it is not for {who}", "Check device.site and device.id in agent.toml")
    if row["used_at"] is not None:
        reason = f"it was used at {row['used_at']}"
        raise BadOrder("this code", reason, "If that was not you, revoke the device. " + _NEW_CODE)
    raise BadOrder("this code", f"it ended at {row['ends_at']}", _NEW_CODE)


def _revoke(
    connection: sa.Connection, chosen: sa.ColumnElement[bool], now: datetime, reason: str
) -> Sequence[tuple[str, str, str]]:
    holding = chosen, identities.c.revoked_at.is_(None), identities.c.ends_at > rfc3339(now)
    columns = identities.c.serial, identities.c.site, identities.c.device
    taken = [(row[0], row[1], row[2]) for row in connection.execute(sa.select(*columns).where(*holding))]
    connection.execute(identities.update().where(*holding).values(revoked_at=rfc3339(now), reason=reason))
    return taken


def _end_codes(connection: sa.Connection, who: Who, now: datetime) -> int:
    mine = enrolments.c.site == who.site, enrolments.c.device == who.device
    unused = enrolments.c.used_at.is_(None), enrolments.c.ends_at > rfc3339(now)
    ended: int = connection.execute(enrolments.update().where(*mine, *unused).values(ends_at=rfc3339(now))).rowcount
    return ended
