"""`sono fleet devices tag`, `sites`, `releases`, `audit`: what roll-outs rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sono_fleet.options import DATABASE, AsJson, By, Database, me, now, opened, table, tell

sites_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Time zone and maintenance windows of a site.")
releases_app = typer.Typer(add_completion=False, no_args_is_help=True, help="What the fleet may be told to run.")
audit_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Every decision, and whether it was changed.")


def tag(
    device: Annotated[str, typer.Argument(help="SITE/DEVICE.")],
    tags: Annotated[list[str], typer.Argument(help="1 to 64 of A-Z a-z 0-9 _ - each.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take them off instead.")] = False,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Put tags on a device: groups that a roll-out can name."""
    from sono_fleet.rollout import tags as book

    with opened(database) as there:
        has = book.change(there, device, tags, remove=remove, at=now(), by=by or me())
    print(f"{device}: {', '.join(sorted(has)) or 'no tags'}")


@sites_app.command("set")
def set_(
    site: Annotated[str, typer.Argument()],
    timezone: Annotated[str, typer.Option(help="Such as Europe/Berlin.")] = "UTC",
    window: Annotated[list[str] | None, typer.Option(help="'Mon-Fri 19:00-06:00'; none: always.")] = None,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """When devices of a site may be changed, on the site's own clock."""
    from sono_fleet.rollout import tags as book

    with opened(database) as there:
        book.set_hours(there, site, timezone, window or [], at=now(), by=by or me())
    print(f"{site}: {timezone}, {', '.join(window or []) or 'always'}")


@sites_app.command("list")
def sites(database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Every site that has hours."""
    from sono_fleet.rollout import tags as book

    with opened(database) as there:
        rows = book.hours(there)
    if as_json:
        for row in rows:
            tell(row)
        return
    cells = [(row["site"], row["timezone"], ", ".join(row["windows"]) or "always") for row in rows]
    table(f"{len(rows)} sites", ("site", "time zone", "windows"), cells)


@releases_app.command("add")
def add(
    file: Annotated[Path, typer.Argument(help="A bundle's tar, or with --profile-key a site profile.")],
    target: Annotated[str, typer.Option(help="Its path in the signed repository, if not the usual.")] = "",
    channel: Annotated[str, typer.Option(help="Where it is published.")] = "stable",
    profile_key: Annotated[Path | None, typer.Option(help="The public key of who made the profile.")] = None,
    by: By = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """Register a published file: it can be rolled out, and is a way back for who runs it."""
    from sono_fleet.rollout import releases

    if profile_key is not None:
        made = releases.of_profile(file, profile_key, target, channel)
    else:
        made = releases.of_bundle(file, target, channel)
    with opened(database) as there:
        new = releases.add(there, made, now(), by=by or me())
        if profile_key is None:
            releases.keep_reference(there, file, now())
    if as_json:
        tell(made)
    else:
        print(f"{made.kind} {made.name}-{made.version} {'is registered' if new else 'was registered already'}")


@releases_app.command("list")
def list_(database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Every registered release."""
    from sono_fleet.rollout import releases

    with opened(database) as there:
        rows = releases.listed(there)
    if as_json:
        for row in rows:
            tell(row)
        return
    cells = [(row.kind, row.name, row.version, row.target, row.sha256[:12], row.site) for row in rows]
    table(f"{len(rows)} releases", ("kind", "name", "version", "target", "sha256", "site"), cells)


@audit_app.command()
def verify(
    expect: Annotated[
        str, typer.Option(help="SEQUENCE:HASH that `audit head` said before: finds an end cut off.")
    ] = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """Whether the log is whole: nothing changed, removed or put in between."""
    from sono_fleet.rollout.audit import verify as go_through
    from sono_models.errors import BadOrder

    with opened(database) as there, there.reading() as connection:
        found = go_through(connection, expect)
    if as_json:
        tell({"ok": not found.broken, "entries": found.entries, "head": found.head, "broken": found.broken})
    if found.broken:
        raise BadOrder("the audit log", found.broken, "Compare it with a copy, and find out who wrote to the database")
    if not as_json:
        print(f"{found.entries} entries, unbroken. Head: {found.entries}:{found.head}")


@audit_app.command()
def head(database: Database = DATABASE) -> None:
    """The newest entry's number and hash, to be noted somewhere else."""
    from sono_fleet.rollout.audit import verify as go_through

    with opened(database) as there, there.reading() as connection:
        found = go_through(connection)
    print(f"{found.entries}:{found.head}")


@audit_app.command()
def show(
    rollout: Annotated[str, typer.Option(help="Only this roll-out's.")] = "",
    newest: Annotated[int, typer.Option(min=1)] = 100,
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """The newest decisions."""
    import msgspec

    from sono_fleet.rollout.audit import newest as read

    with opened(database) as there:
        rows = read(there, newest, rollout)
    if as_json:
        for row in rows:
            tell({**row, "body": msgspec.Raw(row["body"].encode())})
        return
    cells = [
        (str(row["sequence"]), row["at"], row["actor"], row["action"], row["rollout"], row["body"][:80]) for row in rows
    ]
    table(f"{len(rows)} decisions", ("no.", "at", "who", "what", "roll-out", "on what"), cells)
