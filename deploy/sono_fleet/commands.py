"""`sono fleet …`: what the fleet's side does with what devices send."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sono_fleet.drift.command import app as drift_app
from sono_fleet.identity.commands import broker_config, ca_app, enroll_app
from sono_fleet.options import BROKERS, DATABASE, Brokers, Database, Metrics, host_and_port, nodes, table
from sono_fleet.publish import commands as publishing
from sono_fleet.rollout.command import app as rollout_app
from sono_fleet.rollout.command import engine
from sono_fleet.rollout.fleet_command import audit_app, releases_app, sites_app, tag
from sono_fleet.simulate.command import simulate
from sono_fleet.web.command import account_app, serve

if TYPE_CHECKING:
    from threading import Event

    from sono_fleet.ingest import Ingest, Share
    from sono_fleet.store import Delivered, Store
    from sono_models.link import Endpoint

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The fleet's side: ingest alerts and look at them.")
publishing.register(app)

app.add_typer(rollout_app, name="rollout")
app.command("engine")(engine)
app.command("simulate")(simulate)
app.add_typer(sites_app, name="sites")
app.add_typer(releases_app, name="releases")
app.add_typer(audit_app, name="audit")
app.add_typer(ca_app, name="ca")
app.add_typer(enroll_app, name="enroll")
app.command("broker-config")(broker_config)
app.command("serve")(serve)
app.add_typer(account_app, name="account")
app.add_typer(drift_app, name="drift")
devices_app = typer.Typer(add_completion=False, invoke_without_command=True, help="What each device said last; tags.")
devices_app.command("tag")(tag)
app.add_typer(devices_app, name="devices")


@app.command()
def ingest(
    *,
    broker: Brokers = BROKERS,
    database: Database = DATABASE,
    username: Annotated[str, typer.Option(help="The broker's name for the fleet.")] = "",
    password: Annotated[str, typer.Option(envvar="SONO_BROKER_PASSWORD", help="Better in the environment.")] = "",
    tls_ca: Annotated[str, typer.Option(help="The broker's authority; with it the link is TLS.")] = "",
    tls_cert: Annotated[str, typer.Option(help="The fleet's own certificate.")] = "",
    tls_key: Annotated[str, typer.Option(help="Its key.")] = "",
    name: Annotated[
        str, typer.Option(help="Unlike any other ingester's beside it; the broker keeps its session.")
    ] = "",
    share: Annotated[str, typer.Option(metavar="K/N", help="Only the K-th of N shares of the devices.")] = "1/1",
    forget: Annotated[bool, typer.Option("--forget", help="End this name's session at the broker, and stop.")] = False,
    metrics: Metrics = "",
    once_seconds: Annotated[float | None, typer.Option(min=0, help="End after so many seconds.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A JSON object for each alert as it is committed.")] = False,
) -> None:
    """Take alerts, state and health from the broker into the database, until it is stopped."""
    import signal
    import threading

    from sono_fleet.ingest import CLIENT_ID
    from sono_fleet.store import Store
    from sono_models.link import Endpoint

    host, port, others = nodes(broker)
    where = Endpoint(host, port, username, password, tls_ca, tls_cert, tls_key, also=others)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    told = _tell if as_json else _say_nothing
    client_id = f"{CLIENT_ID}-{name}" if name else CLIENT_ID
    if forget:
        _forget(where, client_id)
        return
    who = (client_id, _share(share))
    with Store(database) as store, _taking(store, where, stop, told, who, metrics) as taker:
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


def _forget(where: Endpoint, client_id: str) -> None:
    from sono_fleet.ingest import end_session

    end_session(where, client_id)
    print(f"The broker holds nothing for {client_id} any more")


def _share(text: str) -> Share:
    from sono_fleet.ingest import Share

    number, _, of = text.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise typer.BadParameter(f"{text!r} is not K/N with K from 1 to N, such as 2/3", param_hint="--share")
    return Share(int(number), int(of))


@contextmanager
def _taking(
    store: Store, where: Endpoint, stop: Event, told: Callable[[Delivered], None], who: tuple[str, Share], metrics: str
) -> Iterator[Ingest]:
    """`who`: the client id and its share; `metrics`: HOST:PORT to count at, or nothing."""
    from sono_fleet.ingest import Ingest

    client_id, share = who
    if not metrics:
        with Ingest(store, where, stop, told=told, client_id=client_id, share=share) as taker:
            yield taker
        return
    from sono_fleet.metrics import IngestMetrics, serving

    with serving(host_and_port(metrics, "--metrics"), store.database) as registry:
        counts = IngestMetrics(registry)
        with Ingest(store, where, stop, told=told, watch=counts, client_id=client_id, share=share) as taker:
            counts.watches(lambda: taker.is_connected, lambda: taker.acks_owed)
            yield taker


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
