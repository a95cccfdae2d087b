"""`sono fleet rollout …`: make a roll-out, look ahead, approve, pause, stop, take back; and run the engine."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sono_fleet.options import (
    BROKERS,
    DATABASE,
    AsJson,
    Brokers,
    By,
    Database,
    Metrics,
    host_and_port,
    me,
    nodes,
    now,
    opened,
    table,
    tell,
)

if TYPE_CHECKING:
    from sono_fleet.database import Database as Opened
    from sono_fleet.metrics import EngineMetrics
    from sono_fleet.rollout.desk import Preview
    from sono_fleet.rollout.law import Word
    from sono_fleet.rollout.records import Record

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Waves that stop themselves.")
Name = Annotated[str, typer.Argument(help="The roll-out's name.")]
Reason = Annotated[str, typer.Option(help="Why; the audit log keeps it.")]


@app.command()
def create(
    name: Name,
    *,
    bundle: Annotated[str, typer.Option(help="A registered bundle, NAME-VERSION.")] = "",
    profile: Annotated[
        str, typer.Option(help="A registered site profile, NAME-VERSION: alone, or with its bundle.")
    ] = "",
    wave: Annotated[
        list[str] | None,
        typer.Option(help="'10%', 'tag:ward', '10%,soak=2h,deadline=4h,sample=5,max-failures=2,at-once=20,approval'."),
    ] = None,
    site: Annotated[list[str] | None, typer.Option(help="Only devices of these sites.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only devices with one of these tags.")] = None,
    device: Annotated[list[str] | None, typer.Option(help="Only these: SITE/DEVICE.")] = None,
    limit: Annotated[list[str] | None, typer.Option(help="KEY:LEAST:MOST[:needed] of what devices report.")] = None,
    soak: Annotated[str, typer.Option(help="Of every wave that does not say otherwise.")] = "24h",
    deadline: Annotated[str, typer.Option(help="Silent for so long after it may begin: failed.")] = "24h",
    sample: Annotated[int, typer.Option(min=0, help="So many have to be good.")] = 1,
    max_failures: Annotated[int, typer.Option(min=0, help="So many are borne.")] = 0,
    silence: Annotated[str, typer.Option(help="Not heard of for so long: away.")] = "15m",
    quiet: Annotated[str, typer.Option(help="A good one not heard of for so long in the soak: failed.")] = "12h",
    spread: Annotated[str, typer.Option(help="A wave begins spread over so long.")] = "0s",
    patience: Annotated[str, typer.Option(help="A wave that does not pass for so long is paused.")] = "14d",
    four_eyes: Annotated[bool, typer.Option(help="Who makes it may not approve it.")] = False,
    by: By = "",
    database: Database = DATABASE,
    dry_run: Annotated[bool, typer.Option(help="Only say who would get what when.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a roll-out down. It waits for `approve`; nothing is sent before."""
    from sono_fleet.rollout import desk
    from sono_fleet.rollout.asked import Asked, planned
    from sono_fleet.rollout.records import Records

    asked = Asked(
        name,
        bundle,
        profile,
        wave or (),
        site or (),
        tag or (),
        device or (),
        limit or (),
        soak,
        deadline,
        sample,
        max_failures,
        silence,
        quiet,
        spread,
        patience,
        four_eyes,
        by or me(),
    )
    with opened(database) as there:
        plan_ = planned(there, asked)
        records = Records(there)
        if dry_run:
            rows = desk.preview(plan_, desk.fleet_for(records, plan_, now()), now())
        else:
            rows = desk.create(records, plan_, now())
    _show_preview(name, rows, as_json=as_json)
    if not dry_run and not as_json:
        print(f"Roll-out {name} waits: sono fleet rollout approve {name}")


@app.command()
def plan(name: Name, database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Who gets what when, were it approved now and did all go well. Changes nothing."""
    from sono_fleet.rollout import desk
    from sono_fleet.rollout.records import Records

    with opened(database) as there:
        records = Records(there)
        record = records.one(name)
        rows = desk.preview(record.plan, desk.fleet_for(records, record.plan, now()), now())
    _show_preview(name, rows, as_json=as_json)


@app.command()
def approve(name: Name, by: By = "", database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Let it begin, or let its next wave begin."""
    _say(name, "approve", by, "", database, as_json=as_json)


@app.command()
def pause(name: Name, reason: Reason = "", by: By = "", database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Nothing new is ordered; what is under way goes on, and a failed gate still takes it back."""
    _say(name, "pause", by, reason, database, as_json=as_json)


@app.command()
def resume(name: Name, by: By = "", database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Go on where it was paused."""
    _say(name, "resume", by, "", database, as_json=as_json)


@app.command()
def abort(name: Name, reason: Reason = "", by: By = "", database: Database = DATABASE, as_json: AsJson = False) -> None:
    """End it and withdraw what is under way; what runs, stays."""
    _say(name, "abort", by, reason, database, as_json=as_json)


@app.command()
def back(name: Name, reason: Reason = "", by: By = "", database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Every device that got it goes back to what it ran before."""
    _say(name, "back", by, reason, database, as_json=as_json)


@app.command("stop-all")
def stop_all(
    reason: Reason = "",
    release: Annotated[
        bool, typer.Option("--release", help="Let roll-outs move again, each once it is resumed.")
    ] = False,
    by: By = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """Everything stands still: what is under way is withdrawn, nothing begins or goes on."""
    from sono_fleet.rollout import desk
    from sono_fleet.rollout.records import Records

    with opened(database) as there:
        records = Records(there)
        if release:
            desk.release(records, now(), by=by or me())
            halted = []
        else:
            halted = desk.stop_all(records, now(), by=by or me(), reason=reason or "no reason given")
    if as_json:
        tell({"stopped": not release, "rollouts": [record.plan.rollout for record in halted]})
    elif release:
        print("Roll-outs may move again; each stays paused until `sono fleet rollout resume NAME`.")
    else:
        print(f"Everything is stopped ({len(halted)} roll-outs). To end that: sono fleet rollout stop-all --release")


@app.command("list")
def list_(database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Every roll-out and how it stands."""
    from sono_fleet.rollout.records import Records

    with opened(database) as there:
        records = Records(there)
        rows, stopped = records.all(), records.stopped()
    if as_json:
        for record in rows:
            tell(_as_tree(record))
        return
    title = f"{len(rows)} roll-outs" + (f" (everything is stopped: {stopped})" if stopped else "")
    columns = ("roll-out", "target", "state", "wave", "devices", "failed", "why")
    table(title, columns, [_cells(record) for record in rows])


@app.command()
def show(name: Name, database: Database = DATABASE, as_json: AsJson = False) -> None:
    """One roll-out: its waves, and every device that got an order."""
    from sono_fleet.rollout.records import Records

    with opened(database) as there:
        record = Records(there).one(name)
    if as_json:
        members = {"/".join(key): member for key, member in sorted(record.course.members.items())}
        tell({**_as_tree(record), "plan": record.plan, "members": members})
        return
    table(f"roll-out {name}", ("roll-out", "target", "state", "wave", "devices", "failed", "why"), [_cells(record)])
    columns = ("device", "wave", "standing", "code", "ran before", "ordered", "deadline", "reason")
    table(f"{len(record.course.members)} devices", columns, _member_cells(record))


@app.command()
def key(
    out: Annotated[Path, typer.Argument(help="The key's file; its public half goes beside it, as .pub.")],
    passphrase_file: Annotated[Path | None, typer.Option(help="Encrypts it with the first line of this file.")] = None,
) -> None:
    """Make the key that signs desired documents. The .pub file goes to the devices as update.desired_key."""
    import os

    from sono_models.envelope import make_keys
    from sono_models.errors import BadConfig

    passphrase = None if passphrase_file is None else passphrase_file.read_bytes().strip()
    pair = make_keys(passphrase)
    try:
        with open(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123  (a mode)
            file.write(pair.private)
    except OSError as problem:
        raise BadConfig(str(out), problem.strerror or "it cannot be written", "Choose another file") from problem
    out.with_suffix(".pub").write_bytes(pair.public)
    print(f"{out} signs, keep it here; {out.with_suffix('.pub')} goes to every device (update.desired_key)")


def engine(
    *,
    key: Annotated[Path, typer.Option(help="The key that signs desired documents.")],
    passphrase_file: Annotated[Path | None, typer.Option(help="For a key that is encrypted.")] = None,
    broker: Brokers = BROKERS,
    database: Database = DATABASE,
    username: Annotated[str, typer.Option(help="The broker's name for the fleet.")] = "",
    password: Annotated[str, typer.Option(envvar="SONO_BROKER_PASSWORD", help="Better in the environment.")] = "",
    tls_ca: Annotated[str, typer.Option(help="The broker's authority; with it the link is TLS.")] = "",
    tls_cert: Annotated[str, typer.Option(help="The fleet's own certificate.")] = "",
    tls_key: Annotated[str, typer.Option(help="Its key.")] = "",
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between two looks.")] = 1.0,
    name: Annotated[str, typer.Option(help="Unlike any other engine's beside it.")] = "engine",
    metrics: Metrics = "",
) -> None:
    """Carry roll-outs out until it is stopped. More than one may run."""
    import signal
    import threading
    from dataclasses import asdict

    from sono_fleet.rollout.engine import Engine
    from sono_fleet.rollout.orders import Signing
    from sono_models.link import Endpoint

    host, port, others = nodes(broker)
    signing = Signing.read(key, passphrase_file)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    where = Endpoint(host, port, username, password, tls_ca, tls_cert, tls_key, also=others)
    with ExitStack() as stack:
        there = stack.enter_context(opened(database))
        counts = _counting(stack, metrics, there)
        looked = (lambda _seconds: None) if counts is None else counts.looked
        made = Engine(there, where, signing, stop, every_s=every, name=name, looked=looked)
        running = stack.enter_context(made)
        if counts is not None:
            counts.watches(lambda: running.is_connected, lambda: asdict(running.tally))
        running.run()
    print(f"{running.tally.steps} steps, {running.tally.published} orders published", flush=True)


def _counting(stack: ExitStack, metrics: str, database: Opened) -> EngineMetrics | None:
    if not metrics:
        return None
    from sono_fleet.metrics import EngineMetrics, serving

    return EngineMetrics(stack.enter_context(serving(host_and_port(metrics, "--metrics"), database)))


def _say(name: str, word: Word, by: str, reason: str, database: str, *, as_json: bool) -> None:
    from sono_fleet.rollout import desk
    from sono_fleet.rollout.records import Records

    with opened(database) as there:
        record = desk.say(Records(there), name, word, now(), by=by or me(), reason=reason)
    if as_json:
        tell(_as_tree(record))
    else:
        print(f"Roll-out {name} is {record.course.state}: {record.course.reason}")


def _show_preview(name: str, rows: list[Preview], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            tell(row)
        return
    cells = [
        (
            f"{row.site}/{row.device}",
            row.runs,
            row.wave,
            "" if row.not_before is None else row.not_before.isoformat(timespec="minutes"),
            "" if row.deadline is None else row.deadline.isoformat(timespec="minutes"),
            row.why_not,
        )
        for row in rows
    ]
    table(f"roll-out {name}: {len(rows)} devices", ("device", "runs", "wave", "from", "until", "why not"), cells)


def _as_tree(record: Record) -> dict[str, Any]:
    from sono_fleet.rollout.desk import counted

    course = record.course
    return {
        "rollout": record.plan.rollout,
        "target": record.plan.target,
        "state": course.state,
        "wave": record.plan.waves[course.wave].name,
        "waves": [wave.name for wave in record.plan.waves],
        "reason": course.reason,
        "devices": len(course.members),
        "standings": counted(course),
        "created_at": record.created_at,
    }


def _cells(record: Record) -> tuple[str, ...]:
    course, waves = record.course, record.plan.waves
    failed = sum(bool(member.failure) for member in course.members.values())
    wave = f"{waves[course.wave].name} ({course.wave + 1}/{len(waves)})"
    target = record.plan.target.said
    return (record.plan.rollout, target, course.state, wave, str(len(course.members)), str(failed), course.reason)


def _member_cells(record: Record) -> list[tuple[str, ...]]:
    return [
        (
            "/".join(key),
            record.plan.waves[member.wave].name,
            member.standing,
            member.code,
            member.previous.version,
            member.ordered_at.isoformat(timespec="minutes"),
            member.deadline.isoformat(timespec="minutes"),
            member.reason,
        )
        for key, member in sorted(record.course.members.items())
    ]
