"""What one message and one row cost: `python -m tests.support.scale_figures`. The figures of docs/scale.md.

Sizes are of messages as a board encodes them, with the topic and MQTT's own bytes; rows as PostgreSQL keeps them,
indices included; processor time of this process (decoding and SQLAlchemy) and of PostgreSQL's, a message.
"""

from __future__ import annotations

import json
import resource
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import psutil
import sqlalchemy as sa

from sono_fleet.ingest import read_message
from sono_fleet.simulate import packets
from sono_fleet.store import Delivered, Report, Store
from sono_models import messages
from sono_models.desired import Desired, signed
from sono_models.envelope import make_keys, parsed
from sono_models.link import Message
from sono_models.updates import UpdateReport
from tests.support.alerts import an_alert, some_vitals
from tests.support.postgres import postgres

AT = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
SITE, COUNT, BATCH = "st-elsewhere", 20_000, 200


def main() -> None:
    made = {"alert": _alert("ward-3-board-12", 1), "health": _health("ward-3-board-12"), **_others()}
    wire = {
        name: len(packets.publish(1, messages.topic_of(SITE, "ward-3-board-12", name), body))  # type: ignore[arg-type]
        for name, body in made.items()
    }
    said: dict[str, Any] = {"wire_bytes": wire}
    with postgres() as url, Store(url) as store:
        said["alert"] = _costs(store, url, _alert, "alerts")
        said["health"] = _costs(store, url, lambda name, _number: _health(name), "devices")
    json.dump(said, sys.stdout, indent=1)
    sys.stdout.write("\n")


def _costs(store: Store, url: str, make: Any, table: str) -> dict[str, float]:
    """COUNT messages of 1,000 devices, BATCH a transaction."""
    kind = "alert" if table == "alerts" else "health"
    sent = [(f"board-{n % 1000}", n // 1000 + 1) for n in range(COUNT)]
    bodies = [Message(f"sono/v1/{SITE}/{name}/{kind}", make(name, number), False, 1) for name, number in sent]
    ours, theirs, wal = _own_s(), _server_s(url), _wal(store)
    for begin in range(0, COUNT, BATCH):
        read = [read_message(one) for one in bodies[begin : begin + BATCH]]
        delivered = [one for one in read if isinstance(one, Delivered)]
        store.commit(delivered, [one for one in read if isinstance(one, Report)], AT)
    with store.database.reading() as connection:
        size = connection.execute(sa.text(f"SELECT pg_total_relation_size('{table}')")).scalar_one()
        count = connection.execute(sa.text(f"SELECT count(*) FROM {table}")).scalar_one()
    return {
        "our_cpu_ms": round((_own_s() - ours) / COUNT * 1000, 3),
        "postgresql_cpu_ms": round((_server_s(url) - theirs) / COUNT * 1000, 3),
        "log_bytes": round((_wal(store) - wal) / COUNT),
        "row_bytes_with_indices": round(int(size) / int(count)),
    }


def _alert(name: str, sequence: int) -> bytes:
    values = {field: getattr(an_alert(), field) for field in messages.Alert.__struct_fields__}
    data = messages.AlertData(**values, device=name, epoch=5, sequence=sequence)
    return _event("alert", name, messages.alert_id(name, 5, sequence), data)


def _health(name: str) -> bytes:
    return _event(
        "health", name, f"{name}/health/{AT.timestamp()}", messages.Health(0, some_vitals(), 0.4, 300.0, 55.0)
    )


def _others() -> dict[str, bytes]:
    name, at = "ward-3-board-12", messages.rfc3339(AT)
    state = messages.DeviceState(online=True, reason="connected", agent="0.1.0", bundle="breast-0.3.1", slot="current")
    report = UpdateReport("r7", 1795549678054, "breast", "0.3.1", "0" * 64, "good", at, evidence={"shift": 0.01})
    values = {field: getattr(report, field) for field in UpdateReport.__struct_fields__}
    update = messages.UpdateData(**values, device=name, epoch=5, sequence=9)
    order = Desired(SITE, name, 1795549678054, "r7", "breast", "0.3.1", "breast/stable/x.tar", "0" * 64, 1, AT, AT)
    return {
        "state": _event("state", name, f"{name}/state/1", state),
        "update": _event("update", name, f"{name}/update/1", update),
        "ack": _event("ack", name, "ack/1", messages.Ack(5, 9)),
        "desired": _event("desired", name, "desired/1", parsed(signed(order, make_keys().private))),
    }


def _event(topic: Any, name: str, event_id: str, data: object) -> bytes:
    return messages.encode(topic, data, source=f"/sono/{SITE}/{name}", event_id=event_id, at=AT)


def _wal(store: Store) -> int:
    """So far written ahead: what a replica has to be sent, too."""
    with store.database.reading() as connection:
        return int(connection.execute(sa.text("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")).scalar_one())


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _server_s(url: str) -> float:
    port = msgspec.convert(sa.make_url(url).port, int)
    total = 0.0
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "postgres" and f"port={port}" in " ".join(process.info["cmdline"] or ()):
            for one in (process, *process.children(recursive=True)):
                used = one.cpu_times()
                total += used.user + used.system
    return total


if __name__ == "__main__":
    main()
