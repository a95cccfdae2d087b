"""Score tables, `PROTOCOL.csv` with the sidecar `PROTOCOL.json`: what every figure of the evidence is made from."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sono_models.errors import BadManifest
from sono_models.table import Row, read_table

MALIGNANT = "malignant"
BENIGN = "benign"
TEXT = ("image", "group", "label")
THIN = "thin"
"""A reason in words where the model can't say, else empty: 1 or 0 here."""
SCORES = ("onnx", "litert")
FOLDS = tuple(f"busbra-fold{number}" for number in range(1, 6))
TO_BUSI, TO_BUSBRA, HELD_OUT = "busbra-to-busi", "busi-to-busbra", "busi-heldout"
MANIFESTS = {"BUS-BRA": "bus_bra/manifest.csv", "BUSI": "busi/manifest.csv"}
_NEXT = "Make the table again with `sono model compare`"

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """One protocol: a line an image. `numbers` holds the other columns, NaN where a cell is empty."""

    protocol: str
    image: tuple[str, ...]
    group: tuple[str, ...]
    label: tuple[str, ...]
    numbers: Mapping[str, Numbers]
    sidecar: Mapping[str, Any]
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.image)

    @property
    def truth(self) -> NDArray[np.bool_]:
        """Malignant against the rest."""
        return np.array([label == MALIGNANT for label in self.label])

    @property
    def scores(self) -> Numbers:
        """Calibrated malignant scores of the int8 network on ONNX Runtime, the device's default."""
        return self.numbers["onnx"]

    @property
    def threshold(self) -> float | None:
        """The frozen threshold on the calibrated score, from the sidecar."""
        found = self.sidecar.get("threshold")
        return None if found is None else float(found)

    def has(self, column: str) -> bool:
        return column in self.numbers and not bool(np.isnan(self.numbers[column]).all())

    def take(self, keep: Iterable[int]) -> ScoreTable:
        """The same table with these lines only."""
        index = np.fromiter(keep, np.int64)
        return replace(
            self,
            image=tuple(self.image[i] for i in index),
            group=tuple(self.group[i] for i in index),
            label=tuple(self.label[i] for i in index),
            numbers={name: values[index] for name, values in self.numbers.items()},
        )


def read_scores(folder: Path) -> dict[str, ScoreTable]:
    """Every table of the folder by protocol. Raises BadManifest naming the line and the reason."""
    return {path.stem: read_table_of_scores(path) for path in sorted(folder.glob("*.csv"))}


def read_table_of_scores(path: Path) -> ScoreTable:
    """One score table and, when it is there, its sidecar. Raises BadManifest."""
    data = path.read_bytes()
    records = list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline="")))
    if not records:
        raise BadManifest(str(path), "has no rows", _NEXT)
    missing = [name for name in (*TEXT, *SCORES) if name not in records[0]]
    if missing:
        raise BadManifest(str(path), f"lacks the column {', '.join(missing)}", _NEXT)
    names = [name for name in records[0] if name not in TEXT]
    lines = [_numbers(path, number, record, names) for number, record in enumerate(records, start=2)]
    table = ScoreTable(
        protocol=path.stem,
        image=tuple(record["image"] for record in records),
        group=tuple(record["group"] for record in records),
        label=tuple(record["label"] for record in records),
        numbers={name: np.array([line[at] for line in lines]) for at, name in enumerate(names)},
        sidecar=_sidecar(path.with_suffix(".json")),
        sha256=hashlib.sha256(data).hexdigest(),
    )
    _check(path, table)
    return table


def _numbers(path: Path, number: int, record: Mapping[str, str], names: Sequence[str]) -> list[float]:
    try:
        return [_number(name, record[name]) for name in names]
    except (TypeError, ValueError) as error:
        raise BadManifest(f"{path}:{number}", f"not a number ({error})", _NEXT) from error


def _number(name: str, cell: str) -> float:
    if name == THIN:
        return float(bool(cell))
    return float(cell) if cell else np.nan


def _sidecar(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise BadManifest(str(path), f"not JSON ({error})", _NEXT) from error
    if not isinstance(found, dict):
        raise BadManifest(str(path), "not a JSON object", _NEXT)
    return found


def _check(path: Path, table: ScoreTable) -> None:
    if len(set(table.image)) != len(table):
        twice = next(name for name in table.image if table.image.count(name) > 1)
        raise BadManifest(str(path), f"{twice} is there twice", _NEXT)
    for name in SCORES:
        values = table.numbers[name]
        wrong = np.flatnonzero(~((values >= 0) & (values <= 1)))
        if wrong.size:
            line = int(wrong[0])
            raise BadManifest(f"{path}:{line + 2}", f"{name} is {values[line]}, a score is 0 to 1", _NEXT)
    if table.truth.all() or not table.truth.any():
        have = ", ".join(sorted(set(table.label)))
        raise BadManifest(str(path), f"must hold malignant and something else, it holds: {have}", _NEXT)


def two_classes(table: ScoreTable) -> ScoreTable:
    """Benign and malignant only: no normals."""
    return table.take(i for i, label in enumerate(table.label) if label in {BENIGN, MALIGNANT})


def without_conflicts(table: ScoreTable) -> ScoreTable:
    """Without the groups whose images do not carry one label: what BUSI's column `label_conflict` marks."""
    labels: dict[str, set[str]] = {}
    for group, label in zip(table.group, table.label, strict=True):
        labels.setdefault(group, set()).add(label)
    return table.take(i for i, group in enumerate(table.group) if len(labels[group]) == 1)


def one_a_group(table: ScoreTable) -> ScoreTable:
    """The first image by name of every group."""
    first: dict[str, int] = {}
    for index in sorted(range(len(table)), key=lambda i: table.image[i]):
        first.setdefault(table.group[index], index)
    return table.take(sorted(first.values()))


def comparable_busi(table: ScoreTable) -> ScoreTable:
    """BUSI as row b wants it: conflicts out, benign and malignant only, one image a group."""
    return one_a_group(two_classes(without_conflicts(table)))


def pooled(protocol: str, tables: Sequence[ScoreTable]) -> ScoreTable:
    """Several tables one after the other; the columns that all of them have, and `table`, the number of the table."""
    names = [name for name in tables[0].numbers if all(name in table.numbers for table in tables)]
    numbers = {name: np.concatenate([table.numbers[name] for table in tables]) for name in names}
    numbers["table"] = np.concatenate([np.full(len(table), float(at)) for at, table in enumerate(tables)])
    return ScoreTable(
        protocol=protocol,
        image=tuple(name for table in tables for name in table.image),
        group=tuple(name for table in tables for name in table.group),
        label=tuple(name for table in tables for name in table.label),
        numbers=numbers,
        sidecar={},
    )


def thresholds(table: ScoreTable, tables: Sequence[ScoreTable]) -> Numbers | None:
    """Of a pooled table the threshold of every line; None when a sidecar lacks it."""
    each = [member.threshold for member in tables]
    if any(found is None for found in each):
        return None
    return np.array(each, np.float64)[table.numbers["table"].astype(np.int64)]


def read_metadata(data: Path) -> dict[str, tuple[str, Row]]:
    """By image name: the set and its row of the data's manifest. Sets that are not there are left out."""
    found: dict[str, tuple[str, Row]] = {}
    for name, manifest in MANIFESTS.items():
        path = data / manifest
        if path.is_file():
            found |= {row.image.name: (name, row) for row in read_table(path)}
    return found


def name_of(image: str) -> str:
    """The file's name, which is unique over all sets: tables may carry longer or shorter paths."""
    return PurePosixPath(image.rsplit(":", maxsplit=1)[-1]).name
