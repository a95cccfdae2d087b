"""`sono scans`: what was recorded on this device, and its way onto a drive."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_edge.scan.export import Also
    from sono_edge.scan.words import Language

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
    *,
    lang: Annotated[str, typer.Option("--lang", help="The PDF's language: en or de.")] = "en",
    again: Annotated[bool, typer.Option("--again", help="Replace what was exported there before.")] = False,
    mounted: Annotated[bool, typer.Option("--mounted", help="Refuse a folder that is on no drive of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON, also on failure.")] = False,
) -> None:
    """Copy a scan (PNG, MP4, JSON, and its card as PDF) to a drive; it stays on the device."""
    from sono_edge.scan.export import export as exported
    from sono_edge.scan.exporter import is_on_a_drive
    from sono_models.errors import BadConfig, SonoError

    scans = _folder(config, state)
    try:
        write, missing = _report(_language(lang))
        if mounted and not is_on_a_drive(to, scans):
            raise BadConfig(str(to), "no drive is plugged in", "Plug it in, then export again")
        where = exported(scans, scan, to, also=write, again=again)
    except SonoError as problem:
        if as_json:
            print(json.dumps({"failed": problem.reason}), flush=True)
        raise
    if as_json:
        print(json.dumps({"exported": str(where), "missing": missing}), flush=True)
    else:
        print(where if not missing else f"{where}\n{missing}: pip install 'sonoedge[report]'")


def _language(name: str) -> Language:
    from sono_edge.scan.words import LANGUAGES, language_named
    from sono_models.errors import BadConfig

    language = language_named(name)
    if language is None:
        raise BadConfig(f"--lang {name}", "the PDF does not speak it", f"Choose one of {', '.join(LANGUAGES)}")
    return language


def _report(language: Language) -> tuple[Also | None, str]:
    """What writes the PDF, and what is missing where nothing does."""
    import importlib.util

    if importlib.util.find_spec("reportlab") is None:
        return None, "without the PDF, which this device has no program for"
    from sono_edge.scan.report import write_report

    return partial(write_report, language=language), ""


def _folder(config: Path | None, state: str | None) -> Path:
    from sono_edge import config as settings

    return settings.with_(settings.load(config), state={"folder": state}).state.scans
