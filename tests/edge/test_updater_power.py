"""A power cut before every single step onto the disk: the next run ends well, and never is half a bundle staged."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sono_edge.updater.run import Outcome
from sono_models import bundle
from tests.support.updates import BUNDLES, Device, Fleet

STEPS = ("fsync", "replace", "unlink", "mkdir", "symlink")


class PowerCut(BaseException):
    """Not an Exception: nothing may catch it."""


class Power:
    """Counts the steps onto the disk and fails at one of them."""

    def __init__(self, fails_at: int) -> None:
        self.fails_at, self.steps = fails_at, 0

    def guarded(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            self.steps += 1
            if self.steps >= self.fails_at:
                raise PowerCut
            return real(*arguments, **named)

        return step


def staged_is_whole(device: Device) -> bool:
    """Nothing, or what staged.json says. A tar that nobody names does not count."""
    staged = device.state / "slots" / "staged"
    if not (staged / "staged.json").is_file():
        return True
    record = msgspec.json.decode((staged / "staged.json").read_bytes())
    found = bundle.read(staged / f"{record['name']}-{record['version']}.tar")
    return bool(found.sha256 == record["sha256"])


def run_until(device: Device, stick: Path, fails_at: int) -> int:
    """A run whose power fails at this step; how many steps there were."""
    power = Power(fails_at)
    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, power.guarded(getattr(os, name)))
        with suppress(PowerCut):
            device.update(stick)
    return power.steps


def test_a_power_cut_at_any_step(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path / "fleet")
    fleet.folder.mkdir()
    root = fleet.init()
    fleet.publish(BUNDLES["1.0.0"])
    clean = tmp_path / "clean"
    clean.mkdir()
    assert Device(clean, root).update(fleet.repository) is Outcome.STAGED
    fleet.rotate("timestamp")
    fleet.publish(BUNDLES["1.1.0"])
    steps = None
    at = 1
    while steps is None or at <= steps:
        place = tmp_path / "device"
        shutil.copytree(clean, place, symlinks=True)
        device = Device(place, root)
        done = run_until(device, fleet.repository, at)
        assert staged_is_whole(device), at
        assert Device(place, root).update(fleet.repository) in {Outcome.STAGED, Outcome.DONE}, at
        assert device.staged == BUNDLES["1.1.0"], at
        if done < at:
            steps = done
        shutil.rmtree(place)
        at += 1
    assert steps is not None
    assert steps > 30
