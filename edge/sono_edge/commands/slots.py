"""`sono slots`: which bundles this device holds, which failed here, and the two things a person may do about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_edge.config import AgentConfig
    from sono_edge.slots.folder import Slots
    from sono_edge.slots.records import SiteProfile

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
        print(f"{name:>9}  {f'{slot.said}  {slot.place} since {slot.since}{why}' if slot else '-'}")
    print(f"{'staged':>9}  {f'{staged.said}  since {staged.staged_at}' if staged else '-'}")
    for one in refused:
        what = f"profile {one.profile_sha256[:12]} on " if one.profile_sha256 else ""
        print(f"{'refused':>9}  {what}{one.name}-{one.version}  {one.code}: {one.reason}")
    if current is None and previous is None:
        print("The bundle that ships is judging.")


@app.command()
def stage(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.tar", help="A bundle that you trust.")],
    config: Config = None,
    state: State = None,
    profile: Annotated[Path | None, typer.Option("--profile", help="The site profile that goes with it.")] = None,
) -> None:
    """Stage a bundle by hand, on a bench or from a drive; a running agent tests it and takes it, or refuses it."""
    from datetime import UTC, datetime

    from sono_edge.slots.records import Staged
    from sono_models.bundle import read
    from sono_models.messages import rfc3339

    settings = _settings(config, state)
    slots = _slots(settings)
    found = read(bundle)
    manifest = found.manifest
    at = rfc3339(datetime.now(UTC))
    size = found.path.stat().st_size
    said = None if profile is None else _profile(profile, settings)
    order = Staged("", manifest.name, manifest.version, found.sha256, size, at, 0, said)
    slots.stage(found.path, order, profile)
    print(f"{order.said} is staged. `sono slots show` tells what becomes of it; the agent must be running.")


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
    print(f"{current.said} is given up; {slot.said} judges from the agent's next second, or its next start, on.")


def _settings(config: Path | None, state: str | None) -> AgentConfig:
    from sono_edge import config as settings

    return settings.with_(settings.load(config), state={"folder": state})


def _profile(path: Path, settings: AgentConfig) -> SiteProfile:
    """Verified by this device's key; whether it goes with the bundle is the agent's to say."""
    from sono_edge.slots.records import SiteProfile
    from sono_models import profile
    from sono_models.errors import BadConfig

    if not settings.profile_key:
        raise BadConfig("--profile", "update.profile_key is empty: no key to check it by", "Set update.profile_key")
    found = profile.read(path, Path(settings.profile_key))
    return SiteProfile(found.profile.name, found.profile.version, found.sha256, path.stat().st_size)


def _slots(settings: AgentConfig) -> Slots:
    from sono_edge.slots.folder import Slots
    from sono_models.errors import BadConfig

    if settings.slots is None:
        raise BadConfig("trial.folder", "it is empty: this device takes no updates", "Set trial.folder")
    return Slots(settings.slots)
