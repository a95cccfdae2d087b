"""A real agent in a process of its own, as `sono run` starts it, with scans kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Device:
    """`url`: the page. `state`: its folder; `drive`: where exports go."""

    url: str
    state: Path
    drive: str


def settings(state: Path, drive: str = "", **scan: float) -> str:
    keys = "".join(f"{name} = {value}\n" for name, value in scan.items())
    return (
        f'[state]\nfolder = "{state}"\n[view]\nport = 0\n'
        f'[scan]\nenabled = true\nexport_folder = "{drive}"\n{keys}[device]\nsite = "demo"\nid = "board-1"\n'
    )


@contextmanager
def device(folder: Path, drive: str = "", source: str = "phantom:", **scan: float) -> Iterator[Device]:
    """It runs while the block does; ended by SIGTERM, it must end by itself."""
    state = folder / "state"
    config = folder / "agent.toml"
    config.write_text(settings(state, drive, **scan), "utf-8")
    command = [
        sys.executable,
        "-m",
        "sono_models.command",
        "run",
        "--config",
        str(config),
        "--source",
        source,
        "--json",
    ]
    with (
        (folder / "agent.log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as agent,
    ):
        assert agent.stdout is not None
        ready = agent.stdout.readline()
        assert ready, (folder / "agent.log").read_text("utf-8")
        try:
            yield Device(json.loads(ready)["view_url"], state, drive)
        finally:
            agent.terminate()
            agent.stdout.read()
            assert agent.wait(60) == 0, (folder / "agent.log").read_text("utf-8")
