"""A broker's configuration onto the disk, and the signal that makes a running broker read it."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig

TOLD = "applied.sha256"
"""Of the files that the running broker was last told to read."""


def write(folder: Path, files: Mapping[str, str | bytes]) -> list[str]:
    """Each file whole or not at all; those that are as they were are left alone. Returns what changed."""
    changed = []
    with on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            raw = content if isinstance(content, bytes) else content.encode()
            path = folder / name
            if not path.exists() or path.read_bytes() != raw:
                write_durably(path, raw)
                changed.append(name)
    return changed


def apply(folder: Path, files: Mapping[str, str | bytes], pid_file: Path) -> int | None:
    """Reload the broker, unless it was told of just these files before. Returns its process id."""
    whole = hashlib.sha256()
    for name, content in sorted(files.items()):
        whole.update(f"{name}\0".encode() + (content if isinstance(content, bytes) else content.encode()))
    told = folder / TOLD
    if told.exists() and told.read_text("utf-8").strip() == whole.hexdigest():
        return None
    pid = reload(pid_file)
    write(folder, {TOLD: whole.hexdigest() + "\n"})
    return pid


def reload(pid_file: Path) -> int:
    """Ask a running broker to read its files again (SIGHUP). Returns its process id. Raises BadConfig."""
    try:
        pid = int(pid_file.read_text("utf-8").strip())
        os.kill(pid, signal.SIGHUP)
    except FileNotFoundError as error:
        raise BadConfig(str(pid_file), "there is none", "Start the broker with these files first") from error
    except ValueError as error:
        raise BadConfig(str(pid_file), "not a process id", "Name the broker's own with --pid-file") from error
    except ProcessLookupError as error:
        raise BadConfig(str(pid_file), "the broker it names does not run", "Start the broker") from error
    except PermissionError as error:
        raise BadConfig(
            str(pid_file), "this user may not signal the broker", "Run it as root or as the broker's user"
        ) from error
    return pid
