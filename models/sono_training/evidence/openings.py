"""`openings.md`: how often each test set was opened, and with which net. The command adds missing lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sono_models.errors import BadManifest
from sono_training.evidence.tables import ScoreTable

HEAD = ("test", "weights", "times", "what for")
SHORT = 8
"""Digits of the weights' sha256 that name a net."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A test set, the net it was opened with, how often, and what for."""

    test: str
    weights: str
    times: int
    what_for: str


def read_openings(path: Path) -> list[Opening]:
    """The lines of the file's one table. Raises BadManifest naming the line that is not of the form."""
    if not path.is_file():
        raise BadManifest(str(path), "there is no such file", f"Make one with a table {' | '.join(HEAD)}")
    found: list[Opening] = []
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or tuple(cells) == HEAD or set(line) <= set("|-: "):
            continue
        if len(cells) != len(HEAD) or not cells[2].isdigit():
            raise BadManifest(f"{path}:{number}", f"not of the form {' | '.join(HEAD)}", "Mend the line")
        found.append(Opening(cells[0], cells[1], int(cells[2]), cells[3]))
    return found


def missing(openings: Sequence[Opening], tables: Mapping[str, ScoreTable]) -> list[Opening]:
    """A line for every score table whose test and net no line names."""
    known = {(each.test, each.weights) for each in openings}
    wanted = [(name, _net(table)) for name, table in sorted(tables.items())]
    return [Opening(name, net, 1, "score table of the evidence") for name, net in wanted if (name, net) not in known]


def _net(table: ScoreTable) -> str:
    return str(table.sidecar.get("weights_sha256", "unknown"))[:SHORT]


def append(path: Path, added: Sequence[Opening]) -> None:
    """More lines at the table's end, which is the file's end."""
    if added:
        lines = (f"| {each.test} | {each.weights} | {each.times} | {each.what_for} |\n" for each in added)
        path.write_text(path.read_text("utf-8").rstrip("\n") + "\n" + "".join(lines), "utf-8")


def as_table(openings: Sequence[Opening]) -> str:
    """The lines as Markdown."""
    rows = [f"| {each.test} | `{each.weights}` | {each.times} | {each.what_for} |" for each in openings]
    return "\n".join([f"| {' | '.join(HEAD)} |", "|---|---|---|---|", *rows])
