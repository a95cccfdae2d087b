"""Subgroups: scanner, BI-RADS, lesion size and histology on BUS-BRA's folds, overlays and size on BUSI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sono_models.table import Row, read_mask
from sono_training.evidence import figures as fig
from sono_training.evidence.curves import wilson
from sono_training.evidence.tables import BENIGN, MALIGNANT, ScoreTable, name_of

RESAMPLES = 500
MIN_CLASS = 10
"""Patients of each class below which an AUROC is not given."""
MIN_IMAGES = 4
SCANNERS = {
    "GE Logiq 7 @10-14MHz": "GE Logiq 7",
    "GE Logiq 5 @10-12MHz": "GE Logiq 5",
    "Toshiba Aplio 300 @12-14 MHz": "Toshiba Aplio 300",
    "U-Systems @10-14MHz": "U-Systems",
}


MARKS = ("no marks", "1 or 2 marks", "3 or more marks")
OTHER = "other"


class Subgroup(msgspec.Struct, frozen=True):
    """One row of a forest plot: AUROC {value, lo, hi}, or None where a class is too small; shares at the threshold."""

    kind: str
    name: str
    n: int
    groups: int
    malignant: int
    auroc: dict[str, float] | None
    sens: dict[str, float] | None
    spec: dict[str, float] | None


Metadata = Mapping[str, tuple[str, Row]]


ALL = "all"


def subgroups(
    table: ScoreTable, threshold: NDArray[np.float64] | float, kinds: Mapping[str, Sequence[str]]
) -> list[Subgroup]:
    """All images first, then `kinds`: by kind the subgroup of each line, "" for none. Tiny ones are left out."""
    found = [_subgroup(ALL, "all images", table, threshold)]
    for kind, names in kinds.items():
        for name in _ordered(names):
            index = np.flatnonzero([each == name for each in names])
            if len(index) >= MIN_IMAGES:
                limit = threshold if isinstance(threshold, float) else threshold[index]
                found.append(_subgroup(kind, name, table.take(index), limit))
    return found


def _ordered(names: Sequence[str]) -> list[str]:
    """Sizes, marks and categories from low to high, all others by their number of images, "other" last."""
    counts = Counter(names)
    del counts[""]

    def place(name: str) -> tuple[int, int]:
        if name in _RISING:
            return 0, _RISING.index(name)
        return (2 if name == OTHER else 1), -counts[name]

    return sorted(counts, key=place)


def _subgroup(kind: str, name: str, table: ScoreTable, threshold: NDArray[np.float64] | float) -> Subgroup:
    truth = table.truth
    patients = [len({g for g, yes in zip(table.group, truth == side, strict=True) if yes}) for side in (True, False)]
    auroc = None
    if min(patients) >= MIN_CLASS:
        auroc = fig.intervals({"auroc": fig.auroc_of(table)}, table, resamples=RESAMPLES)["auroc"]
    called = table.scores >= threshold
    return Subgroup(
        kind,
        name,
        len(table),
        len(set(table.group)),
        int(truth.sum()),
        auroc,
        _share(called[truth], patients[0]),
        _share(~called[~truth], patients[1]),
    )


def _share(right: NDArray[np.bool_], patients: int) -> dict[str, float] | None:
    """A share of images, with Wilson's interval at the number of patients: images of one patient are not two."""
    if patients == 0:
        return None
    value = float(right.mean())
    low, high = wilson(np.array([value]), np.array([float(patients)]))
    return {"value": value, "lo": float(low[0]), "hi": float(high[0])}


def busbra_kinds(table: ScoreTable, metadata: Metadata, sizes: Mapping[str, float]) -> dict[str, list[str]]:
    """Scanner, BI-RADS, histology and lesion size of every line."""
    rows = [_row(image, metadata) for image in table.image]
    return {
        "scanner": [SCANNERS.get(_column(row, "device"), _column(row, "device")) for row in rows],
        "BI-RADS": [_column(row, "birads") for row in rows],
        "lesion size, of the picture": _size_names(table, sizes),
        "malignant histology": _histologies(rows, MALIGNANT),
        "benign histology": _histologies(rows, BENIGN),
    }


def busi_kinds(table: ScoreTable, metadata: Metadata, sizes: Mapping[str, float]) -> dict[str, list[str]]:
    """Overlays (calipers and text burned in) and lesion size of every line."""
    rows = [_row(image, metadata) for image in table.image]
    return {
        "overlays": [_overlay(_column(row, "overlay_components")) for row in rows],
        "lesion size, of the picture": _size_names(table, sizes),
    }


def _row(image: str, metadata: Metadata) -> Row | None:
    return metadata.get(name_of(image), ("", None))[1]


def _column(row: Row | None, name: str) -> str:
    return row.columns.get(name, "") if row else ""


def _overlay(components: str) -> str:
    if not components:
        return ""
    count = int(components)
    return MARKS[0] if count == 0 else MARKS[1] if count < 3 else MARKS[2]


def _histologies(rows: Sequence[Row | None], label: str) -> list[str]:
    """The histology of the lines of one label; those of fewer than ten patients together."""
    patients: dict[str, set[str]] = {}
    for row in rows:
        if row and row.label == label:
            patients.setdefault(_column(row, "histology"), set()).add(row.group)
    return ["" if row is None or row.label != label else _common(_column(row, "histology"), patients) for row in rows]


def _common(name: str, patients: Mapping[str, set[str]]) -> str:
    return OTHER if not name or len(patients[name]) < MIN_CLASS else name


SIZES = ((0.03, "<3 %"), (0.06, "3-6 %"), (0.12, "6-12 %"), (1.01, "≥12 %"))
"""Of the lesion's mask, as a share of the picture: neither set states millimetres. About quarters of BUS-BRA."""


_RISING = ("2", "3", "4", "5", *MARKS, *(name for _, name in SIZES))


def _size_names(table: ScoreTable, sizes: Mapping[str, float]) -> list[str]:
    shares = [sizes.get(name_of(image)) for image in table.image]
    return ["" if share is None else next(name for limit, name in SIZES if share < limit) for share in shares]


def lesion_sizes(images: Sequence[str], metadata: Metadata) -> dict[str, float]:
    """By image name the mask's share of the picture, where there is a mask that is not empty."""
    found: dict[str, float] = {}
    for image in images:
        row = _row(image, metadata)
        if row and row.mask and row.mask.is_file():
            share = float(read_mask(row.mask).mean())
            if share > 0:
                found[name_of(image)] = share
    return found


def as_builtins(found: Mapping[str, Sequence[Subgroup]]) -> dict[str, Any]:
    return {name: [msgspec.to_builtins(each) for each in rows] for name, rows in found.items()}
