"""Orders on their way: what is decided and not yet at the broker is signed, published (retained) and ticked off.

Published at least once. Two engines may publish the same document: it has the same bytes. An engine that
published an older one over a newer finds that out when it ticks it off, and the newer goes out again; a new
connection sends again what is under way, for a broker that forgot.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from sono_fleet.database import Database
from sono_fleet.tables import desired
from sono_models import messages
from sono_models.desired import Desired, signed
from sono_models.envelope import parsed
from sono_models.errors import BadConfig
from sono_models.link import Link

AT_ONCE = 200
ANSWER_S = 20.0


@dataclass(frozen=True, slots=True)
class Signing:
    """The key that signs desired documents. Raises BadConfig at the first use for a key that cannot be used."""

    private: bytes
    passphrase: bytes | None = None

    @classmethod
    def read(cls, path: Path, passphrase: Path | None = None) -> Signing:
        """Raises BadConfig."""
        try:
            words = None if passphrase is None else passphrase.read_bytes().strip()
            made = cls(path.read_bytes(), words)
        except OSError as problem:
            reason = problem.strerror or "it cannot be read"
            raise BadConfig(f"--key {path}", reason, "Make one with `sono fleet rollout key`") from problem
        signed(_PROBE, made.private, made.passphrase)
        return made

    def sign(self, body: str) -> bytes:
        return signed(msgspec.json.decode(body, type=Desired), self.private, self.passphrase)


_EPOCH = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
_PROBE = Desired("probe", "probe", 1, "probe", "probe", "0.0.0", "", "0" * 64, 0, _EPOCH, _EPOCH)


class Publisher:
    """Used by one engine with one link at a time."""

    def __init__(self, database: Database, signing: Signing) -> None:
        self._database, self._signing = database, signing

    def send_again(self, rollouts: Iterable[str]) -> None:
        """For a new connection."""
        with self._database.writing() as connection:
            under_way = desired.c.rollout.in_(list(rollouts))
            connection.execute(desired.update().where(under_way).values(published=0))

    def send(self, link: Link, now: datetime) -> int:
        """Publish some of what waits; how many. Raises BrokerLost."""
        waits = sa.select(desired).where(desired.c.published < desired.c.serial).order_by(desired.c.serial)
        rows = self._database.rows(waits.limit(AT_ONCE))
        for row in rows:
            sealed = parsed(self._signing.sign(row["body"]))
            event_id = f"desired/{row['device']}/{row['serial']}"
            body = messages.encode("desired", sealed, source="/sono/fleet", event_id=event_id, at=now)
            link.publish(messages.topic_of(row["site"], row["device"], "desired"), body, retain=True)
        if rows and link.flush(ANSWER_S):
            self._tick_off(rows)
        return len(rows)

    def _tick_off(self, rows: list[dict[str, object]]) -> None:
        sent = [{"s": row["site"], "d": row["device"], "n": row["serial"]} for row in rows]
        this = sa.and_(desired.c.site == sa.bindparam("s"), desired.c.device == sa.bindparam("d"))
        with self._database.writing() as connection:
            same = desired.c.serial == sa.bindparam("n")
            connection.execute(desired.update().where(this, same).values(published=desired.c.serial), sent)
            newer = desired.c.serial > sa.bindparam("n")
            connection.execute(desired.update().where(this, newer).values(published=0), sent)
