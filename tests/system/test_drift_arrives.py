"""Drift from a device's counter to a hand on its site's roll-out: outbox, uplink, broker, ingest, judge, engine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import sqlalchemy as sa

from sono_edge.alerts import Provenance, model_used
from sono_edge.board import Board
from sono_edge.config import AgentConfig, with_
from sono_edge.drift import SCAN_GAP_S, Counter
from sono_edge.embedded import EmbeddedBroker
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality
from sono_edge.outbox import Outbox
from sono_edge.pipeline import Judged, Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.uplink import Uplink
from sono_fleet.drift import references, standings
from sono_fleet.drift.references import made_of
from sono_fleet.ingest import Ingest
from sono_fleet.rollout import desk
from sono_fleet.rollout.engine import Engine
from sono_fleet.rollout.orders import Signing
from sono_fleet.rollout.records import Records
from sono_fleet.store import Store
from sono_fleet.tables import desired, drift_hours, fleet_alerts
from sono_models.bundle import read
from sono_models.drift import DriftData
from sono_models.link import Endpoint, Link
from sono_models.messages import encode, topic_of
from sono_models.reader import verified_reader
from tests.support.bundles import BREAST, phantom
from tests.support.orders import KEYS
from tests.support.rollouts import START, Fleet, plan_of

BEGIN = START - timedelta(days=2)
SCANS = 30
USUAL_GREY, DARK_GREY = 62.0, 28.0


@pytest.fixture(scope="module")
def judged() -> tuple[Provenance, Judged]:
    """One frame of the phantom, really judged."""
    bundle = read(BREAST)
    runtime = bundle.runtime("onnx")
    pipeline = Pipeline(verified_reader(bundle, runtime), bundle.manifest)
    (picture,) = phantom(1 / 30)
    frame = pipeline.step(Frame(0, 0.0, 0.0, picture))
    told = Provenance("run", "v4l2", model_used(bundle, runtime))
    return told, replace(frame, quality=Quality(Gate.PASS, "", 0.9), reused=False)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(tmp_path / "broker") as running:
        yield running


def scan(folder: Path, site: str, told: Provenance, frame: Judged, grey: float) -> list[DriftData]:
    """A device scans for a day and a half: what then waits in its outbox."""
    rng = np.random.default_rng(len(site))
    at = [BEGIN]
    with AlertWriter(folder / "outbox.sqlite", site, "d0") as writer:
        counter = Counter(writer, told, writer.kept_drift, wall=lambda: at[0])
        for _ in range(SCANS):
            mean = rng.normal(grey, 10)
            for _ in range(100):
                at[0] += timedelta(milliseconds=33)
                counter.saw(replace(frame, grey=float(rng.normal(mean, 4))), (at[0] - BEGIN).total_seconds())
            at[0] += timedelta(seconds=SCAN_GAP_S + 3300)
            counter.beat((at[0] - BEGIN).total_seconds())
        counter.end()
    with Outbox(folder / "outbox.sqlite", site, "d0") as outbox:
        return [one.report for one in outbox.drift(100)]


def test_a_drifting_site_is_held_while_others_go_on(
    broker: EmbeddedBroker, judged: tuple[Provenance, Judged], tmp_path: Path
) -> None:
    told, frame = judged
    made = {
        site: scan(tmp_path / site, site, told, frame, grey)
        for site, grey in (("clinic", USUAL_GREY), ("ward", DARK_GREY), ("usual", USUAL_GREY))
    }
    assert all(sum(report.scans for report in reports) == SCANS for reports in made.values())
    with ExitStack() as stack:
        store = stack.enter_context(Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}"))
        with store.database.writing() as connection:
            usual = made_of([("usual", report) for report in made["usual"]], "one site that is as it should be")
            references.put(connection, told.model.sha256, "bundle", usual, START)
        where = Endpoint(port=broker.port)
        ingest = stack.enter_context(Ingest(store, where, threading.Event(), now=lambda: START))
        sender = stack.enter_context(Link(where, "liar"))
        _deliver(store, ingest, tmp_path, broker, made)
        _lies(sender, made["clinic"][0], ingest)
        assert len(store.database.rows(sa.select(drift_hours))) == len(made["clinic"]) + len(made["ward"])
        engine = stack.enter_context(
            Engine(store.database, where, Signing(KEYS.private), threading.Event(), now=lambda: START)
        )
        for _ in range(4):  # connects, then a site a step
            engine.step()
        with store.database.reading() as connection:
            assert list(standings.drifting(connection)) == ["ward"]
        (alert,) = store.database.rows(sa.select(fleet_alerts))
        assert (alert["site"], alert["kind"], alert["cleared_at"]) == ("ward", "drift", None)
        _roll_out(store, engine)


def _roll_out(store: Store, engine: Engine) -> None:
    """To both sites, three devices each: the orders go to one, and the other hears why not."""
    for site in ("clinic", "ward"):
        Fleet(store, 3, site)
    records = Records(store.database)
    why = {(row.site, row.device): row.why_not for row in desk.create(records, plan_of(100), START)}
    assert why["ward", "d0"].startswith("site drifts: brightness PSI ")
    assert not why["clinic", "d0"]
    desk.say(records, "r1", "approve", START, by="ana")
    engine.step()
    ordered = store.database.rows(sa.select(desired))
    assert sorted((row["site"], row["device"]) for row in ordered) == [("clinic", f"d{n}") for n in range(3)]


def _deliver(
    store: Store, ingest: Ingest, folder: Path, broker: EmbeddedBroker, made: dict[str, list[DriftData]]
) -> None:
    """Each device's uplink, until nothing waits and the fleet has it all."""
    clock = [0.0]
    for site in ("clinic", "ward"):
        config = with_(
            AgentConfig(),
            device={"site": site, "id": "d0"},
            broker={"port": broker.port},
            state={"folder": str(folder / site)},
        )
        with (
            Outbox(folder / site / "outbox.sqlite", site, "d0") as outbox,
            Uplink(config, outbox, Board(folder), threading.Event(), clock=lambda: clock[0]) as uplink,
        ):
            for _ in range(400):
                uplink.step()
                ingest.step()
                clock[0] += 10.0
                if not outbox.drift(1):
                    break
            assert not outbox.drift(1)
    for _ in range(200):
        if len(store.database.rows(sa.select(drift_hours))) == len(made["clinic"]) + len(made["ward"]):
            return
        ingest.step()
    raise AssertionError("reports are missing")


def _lies(sender: Link, report: DriftData, ingest: Ingest) -> None:
    """In another's name, of a year that is not, and of one patient: left out, and counted."""
    small = tuple(7 if place == 0 else count for place, count in enumerate(report.score.frames))
    lies = {
        "/sono/ward/d0": report,
        "/sono/clinic/d0": msgspec.structs.replace(report, hour="2019-01-01T00:00:00Z"),
        "/sono/clinic/d0 ": msgspec.structs.replace(report, score=msgspec.structs.replace(report.score, frames=small)),
    }
    for source, lie in lies.items():
        body = encode("drift", lie, source=source.strip(), event_id="x", at=datetime.now(UTC))
        sender.publish(topic_of("clinic", "d0", "drift"), body)
    sender.publish(topic_of("clinic", "d0", "drift"), b"{}")
    assert sender.flush(10.0)
    for _ in range(200):
        if sum(ingest.tally.rejected.values()) >= 4:
            break
        ingest.step()
    assert sorted(ingest.tally.rejected) == [
        "a drift event in another's name",
        "a drift event of an impossible hour",
        "a drift event with a cell that is too small",
        "not a drift event",
    ]
