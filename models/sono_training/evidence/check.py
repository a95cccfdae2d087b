"""`sono model evidence --check`: everything once more, from the committed bundle, tables and data, and compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from tqdm import tqdm

from sono_models.bundle import Bundle
from sono_models.errors import BadConfig
from sono_models.inputs import letterbox
from sono_models.localisation import localised
from sono_models.reader import Reader, verified_reader
from sono_models.resampling import RESAMPLES
from sono_models.runtime import RUNTIMES, RuntimeName
from sono_models.table import Row, read_grey
from sono_training.evidence import alert_outcomes, openings
from sono_training.evidence.made import Evidence, without_subgroups
from sono_training.evidence.places import HEADLINE, OPENINGS, Places, Read, documents, evidence_of, read_places
from sono_training.evidence.tables import ScoreTable, name_of

RELATIVE = 1e-9
"""Of recomputed figures: only the order of a sum may differ."""
TOLERANCE = 1e-6
"""Of a re-scored image on the same kind of machine: tables hold six decimals."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """`differences`: what is not as committed; `unseen`: what could not be looked at here."""

    differences: list[str]
    unseen: list[str]

    @property
    def ok(self) -> bool:
        return not self.differences


def check(places: Places, bundle: Bundle, *, tolerance: float = TOLERANCE, resamples: int = RESAMPLES) -> Verdict:
    """Recompute, re-render and re-score; nothing is written."""
    read = read_places(places)
    evidence = evidence_of(read, places, bundle, resamples=resamples)
    differences = [*_figures(evidence, places, bool(read.metadata)), *_texts(evidence, read, places, bundle)]
    differences += [*_sidecars(read.tables), *_openings(read.tables, places), *_packed_card(places, bundle)]
    if evidence.alerts is not None:
        differences += alert_outcomes.differences(places.results / alert_outcomes.FILE, evidence.alerts, bundle)
    unseen: list[str] = []
    if not evidence.released:
        weights = bundle.manifest.provenance.weights_sha256[:8]
        differences.append(f"{places.scores}: no score table of the committed bundle's net ({weights}…)")
    if read.metadata:
        for name in evidence.released:
            _rescore(bundle, read.tables[name], read, tolerance, differences, unseen)
    else:
        unseen.append(
            f"{places.data}: the data are not there, so nothing was re-scored, nor subgroups and data card seen"
        )
    return Verdict(differences, unseen)


def _figures(evidence: Evidence, places: Places, with_subgroups: bool) -> Iterator[str]:
    path = places.out / HEADLINE
    if not path.is_file():
        yield f"{path}: there is no such file"
        return
    committed, ours = json.loads(path.read_text("utf-8")), msgspec.to_builtins(evidence)
    if not with_subgroups:
        committed, ours = without_subgroups(committed), without_subgroups(ours)
    yield from (f"{HEADLINE}: {words}" for words in different(committed, ours))


def different(committed: Any, ours: Any, at: str = "") -> Iterator[str]:
    """Where two JSON values differ, in words. A list of rows is compared by their `row`."""
    if isinstance(committed, dict) and isinstance(ours, dict):
        for key in sorted({*committed, *ours}):
            yield from different(committed.get(key), ours.get(key), f"{at}.{key}" if at else key)
    elif isinstance(committed, list) and isinstance(ours, list) and len(committed) == len(ours):
        for number, (old, new) in enumerate(zip(committed, ours, strict=True)):
            name = new.get("row", number) if isinstance(new, dict) else number
            yield from different(old, new, f"{at}[{name}]")
    elif not _same(committed, ours):
        yield f"{at}: committed {_short(committed)}, recomputed {_short(ours)}"


def _same(committed: Any, ours: Any) -> bool:
    numbers = (int, float)
    if isinstance(committed, numbers) and isinstance(ours, numbers):
        return math.isclose(committed, ours, rel_tol=RELATIVE, abs_tol=RELATIVE)
    return bool(committed == ours)


def _short(value: Any) -> str:
    text = f"{value:.6f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _texts(evidence: Evidence, read: Read, places: Places, bundle: Bundle) -> Iterator[str]:
    for path, text in documents(evidence, read, places, bundle).items():
        if not path.is_file():
            yield f"{path}: there is no such file"
            continue
        found = path.read_text("utf-8")
        if found != text:
            yield f"{path}: {_first_line(found, text)}"


def _first_line(found: str, wanted: str) -> str:
    ours, theirs = found.splitlines(), wanted.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), start=1):
        if a != b:
            return f"line {number} is {_short(a)}, the figures give {_short(b)}"
    return f"has {len(ours)} lines, the figures give {len(theirs)}"


def _sidecars(tables: Mapping[str, ScoreTable]) -> Iterator[str]:
    for name, table in tables.items():
        said = table.sidecar.get("scores_sha256")
        if said is not None and said != table.sha256:
            yield f"{name}.csv: is not the table that {name}.json was made with"


def _openings(tables: Mapping[str, ScoreTable], places: Places) -> Iterator[str]:
    for each in openings.missing(openings.read_openings(places.out / OPENINGS), tables):
        yield f"{OPENINGS}: no line for {each.test} with the net {each.weights}"


def _packed_card(places: Places, bundle: Bundle) -> Iterator[str]:
    if places.card.is_file() and places.card.read_bytes() != bundle.content("card.md"):
        yield f"{bundle.path.name}: the card inside is not {places.card}"


def _rescore(
    bundle: Bundle, table: ScoreTable, read: Read, tolerance: float, differences: list[str], unseen: list[str]
) -> None:
    rows = [read.metadata[name_of(image)][1] for image in table.image if name_of(image) in read.metadata]
    if len(rows) != len(table):
        differences.append(f"{table.protocol}: {len(table) - len(rows)} of its images are not in the data")
        return
    for name in RUNTIMES:
        try:
            reader = verified_reader(bundle, bundle.runtime(name))
        except (BadConfig, ModuleNotFoundError):
            unseen.append(f"{name} is not installed: {table.protocol} was not re-scored with it")
            continue
        differences += _rescored(reader, name, table, rows, tolerance)


def _rescored(reader: Reader, name: RuntimeName, table: ScoreTable, rows: list[Row], tolerance: float) -> Iterator[str]:
    """Scores of this runtime, and of the shipped one where it points; the worst image of each column is named."""
    found = [_one(reader, row) for row in tqdm(rows, desc=f"{table.protocol} {name}", unit="image", disable=None)]
    columns = {name: 0, "hit": 1, "iou": 2} if name == RUNTIMES[0] else {name: 0}
    for column, at in columns.items():
        if not table.has(column):
            continue
        ours = np.array([each[at] for each in found], np.float64)
        apart = np.abs(ours - table.numbers[column])
        apart[np.isnan(ours) & np.isnan(table.numbers[column])] = 0.0
        worst = int(np.argmax(np.nan_to_num(apart, nan=np.inf)))
        if not apart[worst] <= tolerance:
            yield (
                f"{table.protocol}.csv: {column} of {name_of(table.image[worst])} is "
                f"{table.numbers[column][worst]:.6f}, the bundle gives {ours[worst]:.6f}"
            )


def _one(reader: Reader, row: Row) -> tuple[float, float, float]:
    boxed, placement = letterbox(read_grey(row.image), reader.spec)
    reading = reader.read_boxed(boxed, placement)
    place = localised(reading, placement, row)
    return (reading.malignant, math.nan, math.nan) if place is None else (reading.malignant, place.hit, place.iou)
