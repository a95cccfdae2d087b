"""What grows with the fleet in one process: `python -m tests.support.scale_engine`. The figures of docs/scale.md.

Processor time of this process: one look of an engine at so many devices (read, judged), and a message that an ingester
hears and leaves to another's share.
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from sono_fleet.ingest import Ingest, Share
from sono_fleet.rollout import law
from sono_fleet.rollout.moves import Moment
from sono_fleet.rollout.records import Records
from sono_fleet.store import Report, Store
from sono_models.link import Endpoint, Link
from tests.support.brokers import Mosquitto
from tests.support.rollouts import OLD, Fleet, plan_of

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
HEARD, AT_ONCE = 4000, 100


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said = {
            "look_cpu_s": {count: _look(folder / f"{count}.sqlite", count) for count in (1000, 10_000)},
            "heard_and_left_cpu_ms": _heard(folder),
        }
    json.dump(said, sys.stdout, indent=1)
    sys.stdout.write("\n")


def _look(path: Path, count: int) -> float:
    with Store(f"sqlite:///{path}") as store:
        fleet = Fleet(store, 1)
        runs = {"online": True, "bundle": "breast-0.3.0", "bundle_sha256": OLD.sha256, "profile": "bundle"}
        reports = [Report(f"s{n % 500}", f"d{n}", "health", "{}", runs, NOW) for n in range(count)]
        store.commit([], reports, NOW)
        records, plan = Records(fleet.database), plan_of(1, 10, 50, 100)
        began = time.process_time()
        seen = records.fleet()
        step = law.look(plan, law.begun(NOW), Moment(NOW, 1, seen))
        assert step is not None
        return round(time.process_time() - began, 3)


def _heard(folder: Path) -> float:
    """Of a link's reading, the share's hash and MQTT's acknowledgement."""
    with Mosquitto(folder / "broker") as broker, Store("sqlite://") as store:
        where, none = Endpoint(port=broker.port), Share(1, 10**9)
        with Ingest(store, where, threading.Event(), share=none) as ingest, Link(where, "device") as device:
            ingest.step()
            spent = 0.0
            for begin in range(0, HEARD, AT_ONCE):
                for number in range(begin, begin + AT_ONCE):
                    device.publish(f"sono/v1/s/d{number}/health", b"x" * 780)
                assert device.flush(20.0)
                while ingest.tally.of_others < begin + AT_ONCE:
                    began = time.process_time()
                    ingest.step()
                    spent += time.process_time() - began
    return round(spent / HEARD * 1000, 3)


if __name__ == "__main__":
    main()
