"""What Prometheus reads of ingest and engine: `--metrics HOST:PORT` serves /metrics on a thread of its own.

Never a series per device: no label takes a value that a device chose. What devices say in free words is counted under
a word of a list here, or under "other".
"""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import get_args

import msgspec
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from sono_fleet.database import Database
from sono_fleet.gauges import FleetGauges
from sono_fleet.store import Delivered, Outcome, Report
from sono_models import messages
from sono_models.errors import BadConfig

TOPICS = frozenset({"alert", "update", "state", "health", "drift"})
IN_ORDER = frozenset(get_args(messages.InOrder))
RESULTS = ("new", "duplicate", "unreadable", "left-out")
ALERT_KINDS = frozenset({"raised", "updated", "acknowledged", "cleared"})
FAILURES = frozenset({"refused", "rolled-back"})
_CODES = """
cancelled superseded stale-order too-late clock-behind other-channel failed-here site-profile too-large unsigned expired
rollback below-floor floor-damaged mix-and-match malformed oversized slow http-4xx unreachable not-published
other-target other-device agent-too-old data-budget disk-full damaged bad-bundle other-bundle
golden latency shadow-shift shadow-agreement hang crash crash-loop failed-before desired-refused
trial envelope stopped no-frames killed bad-profile profile-other-site profile-other-bundle profile-bad-signature
profile-unknown-key profile-expired
"""
CODES = frozenset(_CODES.split())
"""Of refused updates and of those that were taken back, as devices report them."""
KINDS_MOST = 40
"""Reasons for leaving a message out come from ingest's own code; should they ever not, it ends here."""
COMMIT_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BATCH = (1, 5, 10, 25, 50, 100, 250, 500)
LOOK_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
STOP_S = 10.0


class _AlertKind(msgspec.Struct, frozen=True):
    kind: str


class _AlertEvent(msgspec.Struct, frozen=True):
    data: _AlertKind


class _Failure(msgspec.Struct, frozen=True):
    code: str = ""


class _FailureEvent(msgspec.Struct, frozen=True):
    data: _Failure


class IngestMetrics:
    """The seam `ingest.Watch`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._messages = self._counter("messages", "Messages by topic and what came of them.", "topic", "result")
        self._left_out = self._counter("rejected", "Messages that have no place here, by why.", "kind")
        self._alerts = self._counter("alerts", "Alert events that were committed, each once.", "kind")
        self._failures = self._counter("update_failures", "Updates refused or taken back.", "phase", "code")
        words = "From handing a batch to the database until it is on disk."
        self._commit = Histogram("sono_fleet_commit_seconds", words, registry=registry, buckets=COMMIT_S)
        words = "Messages in a committed batch."
        self._batch = Histogram("sono_fleet_batch_messages", words, registry=registry, buckets=BATCH)
        self._kinds: set[str] = set()
        self._begin_at_zero()

    def watches(self, connected: Callable[[], bool], owed: Callable[[], int]) -> None:
        """Asked at every scrape."""
        _connected(self._registry, connected)
        owes = Gauge("sono_fleet_acks_owed", "Lines whose acknowledgement is not sent yet.", registry=self._registry)
        owes.set_function(owed)

    def _begin_at_zero(self) -> None:
        """A series that appears with its first event hides that event from `increase`."""
        for topic in (*TOPICS, "other"):
            for result in RESULTS if topic in IN_ORDER else ("new", "left-out"):
                self._messages.labels(topic, result)
        for kind in (*ALERT_KINDS, "other"):
            self._alerts.labels(kind)
        for phase in FAILURES:
            for code in (*CODES, "other"):
                self._failures.labels(phase, code)

    def left_out(self, topic: str, kind: str) -> None:
        self._messages.labels(topic if topic in TOPICS else "other", "left-out").inc()
        if kind not in self._kinds and len(self._kinds) < KINDS_MOST:
            self._kinds.add(kind)
        self._left_out.labels(kind if kind in self._kinds else "other").inc()

    def committed(
        self, delivered: Sequence[Delivered], reports: Sequence[Report], outcome: Outcome, seconds: float
    ) -> None:
        self._commit.observe(seconds)
        self._batch.observe(len(delivered) + len(reports))
        came = Count(one.topic for one in delivered)
        new = Count((one.topic, "unreadable" if one.problem else "new") for one in outcome.fresh)
        for topic, count in came.items():
            self._count(topic, "duplicate", count - new[topic, "new"] - new[topic, "unreadable"])
        for (topic, result), count in new.items():
            self._count(topic, result, count)
        for kind, count in Count(report.kind for report in reports).items():
            self._count(kind, "new", count)
        self._read(outcome.fresh)

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"sono_fleet_{name}", words, labels, registry=self._registry)

    def _count(self, topic: str, result: str, count: int) -> None:
        if count:
            self._messages.labels(topic if topic in TOPICS else "other", result).inc(count)

    def _read(self, fresh: Sequence[Delivered]) -> None:
        """What alerts and failures say of themselves; in words of ours."""
        for one in fresh:
            if one.problem:
                continue
            if one.topic == "alert":
                kind = msgspec.json.decode(one.body, type=_AlertEvent).data.kind
                self._alerts.labels(kind if kind in ALERT_KINDS else "other").inc()
            elif (phase := str(one.values.get("phase", ""))) in FAILURES:
                code = msgspec.json.decode(one.body, type=_FailureEvent).data.code
                self._failures.labels(phase, code if code in CODES else "other").inc()


class EngineMetrics:
    """The seam `engine.Watch`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._look = Histogram(
            "sono_fleet_engine_look_seconds",
            "One look at all roll-outs: read, decide, write, publish.",
            registry=registry,
            buckets=LOOK_S,
        )

    def watches(self, connected: Callable[[], bool], counts: Callable[[], Mapping[str, int]]) -> None:
        """Asked at every scrape; `counts`: steps, lost_races and published since the start."""
        _connected(self._registry, connected)
        self._registry.register(_Counts(counts))

    def looked(self, seconds: float) -> None:
        self._look.observe(seconds)


class _Counts(Collector):
    def __init__(self, counts: Callable[[], Mapping[str, int]]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        for name, count in self._counts().items():
            yield CounterMetricFamily(f"sono_fleet_engine_{name}", f"Of roll-outs: {name.replace('_', ' ')}.", count)


@contextmanager
def serving(at: tuple[str, int], database: Database) -> Iterator[CollectorRegistry]:
    """Serve a registry that has the process and the fleet's database in it. Raises BadConfig for an address that
    cannot be had.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series beside each, which nothing here reads
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    registry.register(FleetGauges(database))
    host, port = at
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise BadConfig(f"--metrics {host}:{port}", reason, "Choose another address or port") from problem
    thread.name = "metrics"
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join(STOP_S)


def _connected(registry: CollectorRegistry, connected: Callable[[], bool]) -> None:
    gauge = Gauge("sono_fleet_broker_connected", "1 while the broker has let it in.", registry=registry)
    gauge.set_function(lambda: float(connected()))
