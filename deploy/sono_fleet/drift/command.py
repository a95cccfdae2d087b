"""`sono fleet drift …`: which sites and devices have moved from what their bundle is used to, and a word on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sono_fleet.options import DATABASE, AsJson, By, Database, me, now, opened, table, tell

if TYPE_CHECKING:
    from sono_fleet.drift.standings import Stands

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Sites and devices whose pictures or scores have moved."
)
COLUMNS = ("site", "device", "standing", "measure", "PSI", "limit", "scans", "bundle", "alerts/min", "unseen", "since")


@app.command()
def show(
    site: Annotated[str, typer.Option(help="Only this site.")] = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """How every site and device stands, as it was judged last."""
    from sono_fleet.drift import standings

    with opened(database) as there, there.reading() as connection:
        rows = standings.of(connection, site)
    _show(rows, as_json=as_json)


@app.command()
def judge(database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Judge every site now. The engine does so by itself, every hour."""
    from sono_fleet.drift.judge import Judge

    with opened(database) as there:
        rows = Judge(there).all(now())
    _show(rows, as_json=as_json)


@app.command()
def accept(
    site: Annotated[str, typer.Argument()],
    reason: Annotated[str, typer.Option(help="Why it is as it should be; the audit log keeps it.")] = "",
    by: By = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """A site drifts and that is as it should be: roll-outs may go on there until this drift has passed."""
    from sono_fleet.drift.judge import accept as take

    with opened(database) as there:
        row = take(there, site, reason, now(), by=by or me())
    if as_json:
        tell(_tree(row))
    else:
        print(f"{site} drifts ({row.verdict.words}), accepted {row.rests.accepted}: roll-outs may go on there")


@app.command()
def reference(
    bundle: Annotated[Path | None, typer.Argument(help="A bundle's tar: keep the reference that it carries.")] = None,
    of: Annotated[str, typer.Option(help="sha256 of a bundle, or its head: write out the one that is kept.")] = "",
    database: Database = DATABASE,
    as_json: AsJson = False,
) -> None:
    """What drift is measured against. With --of, the drift.json that `sono model pack --from … --evidence` takes."""
    from sono_fleet.drift import references

    with opened(database) as there:
        if bundle is not None:
            _keep(there, bundle)
        with there.reading() as connection:
            known = references.known(connection)
    if of:
        _write_out(known, of)
        return
    rows = [{"bundle_sha256": sha256, "kind": one.kind, "made_at": one.made_at} for sha256, one in known.items()]
    if as_json:
        for row, one in zip(rows, known.values(), strict=True):
            tell({**row, "reference": one.reference})
        return
    cells = [
        (row["bundle_sha256"][:12], row["kind"], row["made_at"], _scans(one), one.reference.said)
        for row, one in zip(rows, known.values(), strict=True)
    ]
    table(f"{len(rows)} references", ("bundle", "whose", "made", "scans", "which"), cells)


def _keep(there: Any, path: Path) -> None:
    from sono_fleet.drift import references
    from sono_models import bundle as bundles
    from sono_models.errors import BadBundle

    found = bundles.read(path)
    own = references.of_bundle(found)
    if own is None:
        raise BadBundle(
            str(path), f"has no {references.FILE}", "The fleet makes a reference from its first weeks with it"
        )
    with there.writing() as connection:
        references.put(connection, found.sha256, "bundle", own, now())


def _write_out(known: Any, of: str) -> None:
    from sono_models.errors import BadOrder

    found = [one for sha256, one in known.items() if sha256.startswith(of)]
    if len(found) != 1:
        step = "See `sono fleet drift reference`"
        raise BadOrder(f"reference {of!r}", f"{len(found)} references have this sha256", step)
    tell(found[0].reference)


def _show(rows: list[Stands], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            tell(_tree(row))
        return
    drifting = sum(row.blocks for row in rows)
    table(f"{len(rows)} standings, {drifting} sites are held back", COLUMNS, [_cells(row) for row in rows])


def _tree(row: Stands) -> dict[str, Any]:
    verdict = row.verdict
    return {
        "site": row.site,
        "device": row.device,
        "standing": str(verdict.standing),
        "measure": verdict.measure,
        "psi": verdict.value,
        "bundle_sha256": verdict.bundle_sha256,
        "since": verdict.since,
        "at": row.at,
        "frames": row.frames,
        "blocks": row.blocks,
        "alerts_per_min": row.rests.alerts_per_min,
        "unseen_share": row.rests.unseen_share,
        **{name: getattr(row.rests, name) for name in type(row.rests).__struct_fields__},
    }


def _cells(row: Stands) -> tuple[str, ...]:
    verdict, rests = row.verdict, row.rests
    figure = next((one for name, one in verdict.figures.items() if name == verdict.measure), None)
    per_min, unseen = rests.alerts_per_min, rests.unseen_share
    return (
        row.site,
        row.device or "(all)",
        str(verdict.standing) + (" (accepted)" if rests.accepted else ""),
        verdict.measure or rests.reference,
        f"{verdict.value:.2f}" if verdict.measure else "",
        f"{figure.drifting:.2f}" if figure else "",
        str(rests.scans),
        rests.bundle,
        "" if per_min is None else f"{per_min:.2f}",
        "" if unseen is None else f"{unseen:.0%}",
        verdict.since.isoformat(timespec="minutes"),
    )


def _scans(one: Any) -> str:
    return f"{max(sum(scans) for scans in one.reference.scans.values()):.0f}"
