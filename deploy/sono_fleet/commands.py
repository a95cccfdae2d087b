"""`sono fleet …`: what the fleet's side does with what devices send."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sono_fleet.options import DATABASE, Database, Metrics, host_and_port, table
from sono_fleet.publish import commands as publishing
from sono_fleet.rollout.command import app as rollout_app
from sono_fleet.rollout.command import engine
from sono_fleet.rollout.fleet_command import audit_app, releases_app, sites_app, tag
from sono_fleet.simulate.command import simulate

if TYPE_CHECKING:
    from sono_fleet.database import Database as Opened
    from sono_fleet.metrics import IngestMetrics
    from sono_fleet.store import Delivered

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The fleet's side: ingest alerts and look at them.")
publishing.register(app)

app.add_typer(rollout_app, name="rollout")
app.command("engine")(engine)
app.command("simulate")(simulate)
app.add_typer(sites_app, name="sites")
app.add_typer(releases_app, name="releases")
app.add_typer(audit_app, name="audit")
devices_app = typer.Typer(add_completion=False, invoke_without_command=True, help="What each device said last; tags.")
devices_app.command("tag")(tag)
app.add_typer(devices_app, name="devices")


@app.command()
def ingest(
    *,
    broker: Annotated[str, typer.Option(metavar="HOST:PORT")] = "127.0.0.1:1883",
    database: Database = DATABASE,
    username: Annotated[str, typer.Option(help="The broker's name for the fleet.")] = "",
    password: Annotated[str, typer.Option(envvar="SONO_BROKER_PASSWORD", help="Better in the environment.")] = "",
    tls_ca: Annotated[str, typer.Option(help="The broker's authority; with it the link is TLS.")] = "",
    tls_cert: Annotated[str, typer.Option(help="The fleet's own certificate.")] = "",
    tls_key: Annotated[str, typer.Option(help="Its key.")] = "",
    metrics: Metrics = "",
    once_seconds: Annotated[float | None, typer.Option(min=0, help="End after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each alert as it is committed.")] = False,
) -> None:
    """Take alerts, state and health from the broker into the database, until it is stopped."""
    import signal
    import threading

    from sono_fleet.ingest import Ingest
    from sono_fleet.store import Store
    from sono_fleet.watch import UNWATCHED
    from sono_models.link import Endpoint

    host, port = host_and_port(broker)
    where = Endpoint(host, port, username, password, tls_ca, tls_cert, tls_key)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    told = _tell if as_json else _say_nothing
    with (
        Store(database) as store,
        _counting(metrics, store.database) as counts,
        Ingest(store, where, stop, told=told, watch=counts or UNWATCHED) as taker,
    ):
        if counts is not None:
            counts.watches(lambda: taker.is_connected, lambda: taker.acks_owed)
        alarm = None
        if once_seconds is not None:
            alarm = threading.Timer(once_seconds, stop.set)
            alarm.name = "once-seconds"
            alarm.start()
        try:
            taker.run()
        finally:
            if alarm is not None:
                alarm.cancel()
                alarm.join()
    if not as_json:
        print(f"{taker.tally.committed} committed, {taker.tally.duplicates} duplicates absorbed", flush=True)


@app.command()
def alerts(
    database: Database = DATABASE,
    newest: Annotated[int, typer.Option(min=1, help="So many of the newest.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """The alerts that are committed."""
    import msgspec

    from sono_fleet.store import Store

    with Store(database) as store:
        rows = store.alerts(newest=newest)
    if as_json:
        for row in rows:
            print(msgspec.json.encode({**row, "body": msgspec.Raw(row["body"].encode())}).decode())
        return
    table(
        f"{len(rows)} committed alerts",
        ("received", "site", "device", "sequence", "kind", "score", "band", "model"),
        [_alert_cells(row) for row in rows],
    )


@devices_app.callback()
def devices(
    context: typer.Context,
    database: Database = DATABASE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """What each device said last."""
    import msgspec

    from sono_fleet.rollout import tags
    from sono_fleet.store import Store

    if context.invoked_subcommand is not None:
        return
    with Store(database) as store:
        known = tags.of_all(store.database)
        rows = [{**row, "tags": known.get((row["site"], row["device"]), [])} for row in store.devices()]
    if as_json:
        for row in rows:
            said = {kind: msgspec.Raw(row[kind].encode()) if row[kind] else None for kind in ("state", "health")}
            print(msgspec.json.encode({**row, **said}).decode())
        return
    table(
        f"{len(rows)} devices",
        ("site", "device", "tags", "online", "why", "bundle", "outbox", "last health"),
        [_device_cells(row) for row in rows],
    )


@app.command()
def tally(
    database: Database = DATABASE,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """How many alerts are committed, and how many deliveries came more than once."""
    import msgspec

    from sono_fleet.store import Store

    with Store(database) as store:
        counts = {"committed": store.count(), "duplicates": store.duplicates()}
    if as_json:
        print(msgspec.json.encode(counts).decode())
    else:
        print(f"{counts['committed']} committed, {counts['duplicates']} duplicates absorbed")


@contextmanager
def _counting(metrics: str, database: Opened) -> Iterator[IngestMetrics | None]:
    if not metrics:
        yield None
        return
    from sono_fleet.metrics import IngestMetrics, serving

    with serving(host_and_port(metrics, "--metrics"), database) as registry:
        yield IngestMetrics(registry)


def _tell(alert: Delivered) -> None:
    """The alert's own data, with its site, on one line."""
    import msgspec

    data = msgspec.json.decode(alert.body)["data"]
    print(msgspec.json.encode({**data, "site": alert.line.site}).decode(), flush=True)


def _say_nothing(alert: Delivered) -> None:
    del alert


def _alert_cells(row: dict[str, str]) -> tuple[str, ...]:
    import msgspec

    from sono_models import messages

    place = (row["received_at"], row["site"], row["device"], str(row["sequence"]))
    try:
        alert = messages.decode("alert", row["body"].encode()).data
    except msgspec.DecodeError:
        return (*place, row["problem"], "", "", "")
    model = f"{alert.model.name} {alert.model.version}"
    return (*place, alert.kind, f"{alert.score.value:.2f}", alert.band, model)


def _device_cells(row: dict[str, Any]) -> tuple[str, ...]:
    from sono_models import messages

    state = messages.decode("state", row["state"].encode()).data if row["state"] else None
    health = messages.decode("health", row["health"].encode()).data if row["health"] else None
    return (
        row["site"] or "",
        row["device"] or "",
        ", ".join(row["tags"]),
        "" if state is None else "yes" if state.online else "no",
        "" if state is None else state.reason,
        "" if state is None else state.bundle,
        "" if health is None else str(health.outbox_depth),
        row["health_at"] or "",
    )
