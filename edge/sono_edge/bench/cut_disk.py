"""A disk whose power is cut: a process that dies at a chosen step, and what an unlucky disk then has of its work.

Before each step the disk notes what it is about to do and keeps the old inodes by hard links beside the folder. After
the death, `tear` takes back what was not yet durable: a file that was not fsynced loses or garbles its end, and of the
renames and removals in a folder that was not fsynced since, the newest few never happened.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
from pathlib import Path
from typing import IO, Any

from sono_edge.slots.disk import Disk


class CutDisk(Disk):
    """Dies by SIGKILL at step `die_at` (each primitive has one before and one after it); None: lives on."""

    def __init__(self, notes: Path, die_at: int | None) -> None:
        self.steps = 0
        self._notes, self._die_at = notes, die_at
        notes.mkdir(parents=True, exist_ok=True)
        self._journal = os.open(notes / "journal", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)

    def create(self, path: Path) -> IO[bytes]:
        self._note("dirty", path)
        return super().create(path)

    def sync(self, descriptor: int, path: Path) -> None:
        self._step()
        super().sync(descriptor, path)
        self._note("clean", path)
        self._step()

    def rename(self, source: Path, target: Path) -> None:
        self._note("rename", source, target, self._keep(target))
        self._step()
        super().rename(source, target)
        self._step()

    def unlink(self, path: Path) -> None:
        self._note("unlink", path, path, self._keep(path))
        self._step()
        super().unlink(path)
        self._step()

    def sync_folder(self, path: Path) -> None:
        self._step()
        super().sync_folder(path)
        self._note("folder", path)
        self._step()

    def _keep(self, path: Path) -> str:
        """The name of a link that keeps what `path` holds; empty where it holds nothing."""
        name = f"{self.steps}.old"
        try:
            os.link(path, self._notes / name)
        except FileNotFoundError:
            return ""
        return name

    def _note(self, what: str, path: Path, target: Path | None = None, old: str = "") -> None:
        line = json.dumps([what, str(path), str(target or ""), old]) + "\n"
        os.write(self._journal, line.encode())

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self._die_at:
            os.kill(os.getpid(), signal.SIGKILL)


def tear(notes: Path, chance: random.Random) -> int:
    """Do to the disk what the cut did; how many files and names it changed."""
    dirty: set[str] = set()
    pending: dict[str, list[list[Any]]] = {}
    for line in _lines(notes / "journal"):
        what, path, target, _ = line
        if what == "dirty":
            dirty.add(path)
        elif what == "clean":
            dirty.discard(path)
        elif what == "folder":
            pending.pop(path, None)
        else:
            pending.setdefault(str(Path(target).parent), []).append(line)
    torn = 0
    for steps in pending.values():
        for step in reversed(steps[chance.randint(0, len(steps)) :]):
            torn += _take_back(notes, *step)
    for path in dirty:
        torn += _garble(Path(path), chance)
    shutil.rmtree(notes, ignore_errors=True)
    return torn


def _lines(journal: Path) -> list[list[Any]]:
    return [json.loads(line) for line in journal.read_text("utf-8").splitlines()] if journal.exists() else []


def _take_back(notes: Path, what: str, source: str, target: str, old: str) -> int:
    """A rename or a removal that never happened; nothing to do where the process died before it."""
    if what == "rename":
        if Path(source).exists() or not Path(target).exists():
            return 0
        Path(target).rename(source)
    elif Path(target).exists():
        return 0
    if old:
        (notes / old).rename(target)
    return 1


def _garble(path: Path, chance: random.Random) -> int:
    """The end of a file that was not fsynced: as it was, missing, zeros, or rubbish."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    size = path.stat().st_size
    kept = chance.randrange(size)
    match chance.randrange(4):
        case 0:
            return 0
        case 1:
            os.truncate(path, kept)
        case kind:
            with path.open("r+b") as file:
                file.seek(kept)
                file.write(bytes(size - kept) if kind == 2 else chance.randbytes(size - kept))
    return 1


def rot(paths: list[Path], chance: random.Random) -> int:
    """Damage to what was durable: bits that an old card lost. How many of the files there were."""
    there = [path for path in paths if path.exists() and path.stat().st_size]
    for path in there:
        with path.open("r+b") as file:
            file.seek(chance.randrange(path.stat().st_size))
            file.write(chance.randbytes(64))
    return len(there)
