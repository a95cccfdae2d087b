"""`sono scans`: what was recorded on this device, and its way onto a drive."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Recorded scans: list them, export one to a drive.")
Config = Annotated[Path | None, typer.Option("--config", help="agent.toml; default: the defaults.")]
State = Annotated[str | None, typer.Option("--state", help="Instead of state.folder.")]


@app.command("list")
def list_(
    config: Config = None,
    state: State = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """The scans on this device, newest first."""
    import msgspec

    from sono_edge.scan.export import scans_of
    from sono_edge.scan.shown import lines_of

    lines = lines_of(scans_of(_folder(config, state)))
    if as_json:
        print(json.dumps({"scans": msgspec.to_builtins(lines)}))
        return
    for line in lines:
        ended = "" if line.ended_at else ", not ended"
        unseen = f", {line.alerts_unseen} not seen" if line.alerts_unseen else ""
        print(f"{line.id}  {line.token or '-'}  {line.captures} captures, {line.alerts} alerts{unseen}{ended}")
    if not lines:
        print("No scans.")


@app.command()
def export(
    scan: Annotated[str, typer.Argument(metavar="ID", help="As `sono scans list` names it.")],
    to: Annotated[Path, typer.Option("--to", help="A folder on a mounted drive.")],
    config: Config = None,
    state: State = None,
) -> None:
    """Copy a scan (PNG, MP4, JSON) to a drive; it stays on the device."""
    from sono_edge.scan.export import export as exported

    print(exported(_folder(config, state), scan, to))


def _folder(config: Path | None, state: str | None) -> Path:
    from sono_edge import config as settings

    return settings.with_(settings.load(config), state={"folder": state}).state.scans
