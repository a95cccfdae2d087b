"""`sono slots`: which bundles this device holds, which failed here, and the two things a person may do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_edge.config import AgentConfig
    from sono_edge.slots.folder import Slots

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The device's bundles: show, stage, go back.")
Config = Annotated[Path | None, typer.Option("--config", help="agent.toml; default: the defaults.")]
State = Annotated[str | None, typer.Option("--state", help="Instead of state.folder.")]


@app.command()
def show(
    config: Config = None,
    state: State = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """What is current, what was before, what is staged, and what was refused and why."""
    import msgspec

    slots = _slots(_settings(config, state))
    current, previous, staged, refused = slots.current(), slots.previous(), slots.staged(), slots.refusals().refused
    if as_json:
        held = {"current": current, "previous": previous, "staged": staged, "refused": refused}
        print(json.dumps(msgspec.to_builtins(held)))
        return
    for name, slot in (("current", current), ("previous", previous)):
        why = f"  ({slot.boot_reason})" if slot and slot.boot_reason else ""
        print(f"{name:>9}  {f'{slot.title}  {slot.place} since {slot.since}{why}' if slot else '-'}")
    print(f"{'staged':>9}  {f'{staged.title}  since {staged.staged_at}' if staged else '-'}")
    for one in refused:
        print(f"{'refused':>9}  {one.name}-{one.version}  {one.code}: {one.reason}")
    if current is None and previous is None:
        print("The bundle that ships is judging.")


@app.command()
def stage(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.tar", help="A bundle that you trust.")],
    config: Config = None,
    state: State = None,
) -> None:
    """Stage a bundle by hand, on a bench or from a drive; a running agent tests it and takes it, or refuses it."""
    from datetime import UTC, datetime

    from sono_edge.slots.records import Staged
    from sono_models.bundle import read
    from sono_models.messages import rfc3339

    slots = _slots(_settings(config, state))
    found = read(bundle)
    manifest = found.manifest
    at = rfc3339(datetime.now(UTC))
    order = Staged("", manifest.name, manifest.version, found.sha256, found.path.stat().st_size, at, 0)
    slots.stage(found.path, order)
    print(f"{order.title} is staged. `sono slots show` tells what becomes of it; the agent must be running.")


@app.command()
def back(config: Config = None, state: State = None) -> None:
    """Go back to the bundle before; the one that is given up is never tried again on this device."""
    from sono_edge.slots.boot import shipped_slot
    from sono_edge.slots.law import Finding
    from sono_edge.slots.wiring import shipped_path
    from sono_models.bundle import read
    from sono_models.errors import Refused

    settings = _settings(config, state)
    slots = _slots(settings)
    current = slots.current()
    if current is None or not current.file:
        raise Refused("slots", "the bundle that ships is judging: there is none before it", "Nothing is to be done")
    finding = Finding("operator", "given up by hand on this device")
    slot = slots.roll_back(current, finding, shipped_slot(read(shipped_path(settings))))
    print(f"{current.title} is given up; {slot.title} judges from the agent's next second, or its next start, on.")


def _settings(config: Path | None, state: str | None) -> AgentConfig:
    from sono_edge import config as settings

    return settings.with_(settings.load(config), state={"folder": state})


def _slots(settings: AgentConfig) -> Slots:
    from sono_edge.slots.folder import Slots
    from sono_models.errors import BadConfig

    if settings.slots is None:
        raise BadConfig("trial.folder", "it is empty: this device takes no updates", "Set trial.folder")
    return Slots(settings.slots)
