"""`sono bench powercut`: updates whose power is cut at every step and at random times. What does the board start with?

Half of the points die by SIGKILL at a step of the disk (before and after every fsync, rename and removal), half at a
random time; then what was not durable is torn. One point in `rot_every` is damaged beyond that: durable files rot.
After each the real start runs: bundle read whole, golden vectors through the runtime.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sono_edge.bench.cut_disk import rot, tear
from sono_edge.bench.powercut_child import Order
from sono_edge.slots.boot import boot
from sono_edge.slots.folder import Slots
from sono_models.bundle import Bundle
from sono_models.errors import SonoError, Stopped
from sono_models.reader import verified_reader
from sono_models.runtime import RuntimeName

STEPS = 240
"""Steps of one life, about: where an injected death falls."""
LIFE_S = 2.0
"""How long a life that is cut at a random time may last."""


@dataclass(slots=True)
class Campaign:
    """The folder that every point goes on with, and what was found."""

    folder: Path
    bundle: Bundle
    runtime: RuntimeName
    chance: random.Random
    zygote: subprocess.Popen[str]
    starts: Counter[str] = field(default_factory=Counter)
    how: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    torn: int = 0
    profiles: int = 0
    """Starts with a site profile beside the bundle."""

    def point(self, number: int, rot_every: int) -> None:
        at_step = number % 2 == 0
        self._live(self.chance.randint(1, STEPS) if at_step else None)
        self.how["at a step" if at_step else "at a random time"] += 1
        changed = tear(self.folder / "notes", self.chance)
        self.torn += changed > 0
        rotten = number % rot_every == rot_every - 1
        if rotten:
            self._rot()
        self._start(number, rotten=rotten)

    def _live(self, die_at: int | None) -> None:
        finished = self.folder / "finished"
        finished.unlink(missing_ok=True)
        order = Order(
            str(self.folder / "slots"),
            str(self.folder / "notes"),
            self.chance.randrange(2**31),
            die_at,
            str(self.bundle.path),
            str(finished),
        )
        assert self.zygote.stdin is not None
        self.zygote.stdin.write(msgspec.json.encode(order).decode() + "\n")
        self.zygote.stdin.flush()
        child = int(self._heard())
        if die_at is None:
            threading.Event().wait(self.chance.uniform(0.0, LIFE_S))
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._heard()
        self.how["lived to the end of its cycles"] += finished.exists()

    def _heard(self) -> str:
        assert self.zygote.stdout is not None
        line = self.zygote.stdout.readline().strip()
        if not line:
            raise Stopped("the campaign", "its children's process ended", "See what it said above")
        return line

    def _rot(self) -> None:
        slots = Slots(self.folder / "slots")
        held = [slot for slot in (slots.current(), slots.previous()) if slot and slot.file]
        named = [slots.file_of(slot) for slot in held]
        named += [path for path in map(slots.profile_of, held) if path is not None]
        texts = [self.folder / "slots" / name for name in ("current.json", "previous.json", "refused.json")]
        files = [*named, *texts]
        self.chance.shuffle(files)
        self.how["and rotten"] += rot(files[: self.chance.randint(1, len(files))], self.chance) > 0

    def _start(self, number: int, *, rotten: bool) -> None:
        """The real start, as the agent does it; what a mere cut may never do is counted as a failure too."""
        slots = Slots(self.folder / "slots")
        current, previous, refusals = slots.current(), slots.previous(), slots.refusals()
        there = (self.folder / "slots" / "current.json").exists()
        try:
            booted = boot(slots, self._load, self.bundle.path)
        except (SonoError, OSError) as error:
            self.failures.append(f"point {number}: {error}")
            return
        slot = booted.slot
        if not slot.file:
            self.starts["shipped"] += 1
        elif current is not None and slot.pair == current.pair:
            self.starts["current"] += 1
        elif current is not None and slot.sha256 == current.sha256:
            self.starts["without its profile"] += 1
        else:
            self.starts["previous"] += 1
        self.profiles += slot.profile is not None
        if slot.file and refusals.of(slot.name, slot.version, *slot.pair):
            self.failures.append(f"point {number}: started with {slot.said}, which was refused")
        gone = booted.rolled_back is not None
        if not rotten and there and (current is None or (slot.pair != current.pair and not gone)):
            self.failures.append(
                f"point {number}: a mere cut lost {current and current.said}: {slot.boot_reason} ({previous})"
            )

    def _load(self, bundle: Bundle, _profile: Path | None) -> Bundle:
        verified_reader(bundle, bundle.runtime(self.runtime))
        return bundle


def run(
    bundle: Bundle, runtime: RuntimeName = "onnx", *, points: int = 500, seed: int = 7, rot_every: int = 20
) -> dict[str, Any]:
    """points, whole (must be equal), boots_on {current, previous, shipped}, and how they were cut."""
    began = time.monotonic()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sono-powercut-")))
        command = [sys.executable, "-m", "sono_edge.bench.powercut_child"]
        zygote = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603
        stack.enter_context(zygote)
        campaign = Campaign(folder, bundle, runtime, random.Random(seed), zygote)  # noqa: S311  (not a secret)
        for number in range(points):
            campaign.point(number, rot_every)
        assert zygote.stdin is not None
        zygote.stdin.close()
    return {
        "points": points,
        "whole": points - len({failure.partition(":")[0] for failure in campaign.failures}),
        "boots_on": {name: campaign.starts[name] for name in ("current", "previous", "shipped")},
        "boots_with_profile": campaign.profiles,
        "boots_without_its_profile": campaign.starts["without its profile"],
        "torn": campaign.torn,
        "cut": dict(campaign.how),
        "failures": campaign.failures[:10],
        "seconds": round(time.monotonic() - began, 1),
    }
