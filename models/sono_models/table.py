"""Tables of labelled images: any CSV with `image,label[,patient|group][,mask]` beside its images."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from sono_models.errors import BadManifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from sono_models.inputs import Grey


@dataclass(frozen=True, slots=True)
class Row:
    """One image: its file, its label, the group it must not be split from, and every column as text."""

    image: Path
    label: str
    group: str
    mask: Path | None
    columns: Mapping[str, str]
    at: str = ""
    """TABLE:LINE, for a message to a person."""


def read_table(path: Path) -> list[Row]:
    """The rows of a manifest, in its order. Raises BadManifest naming what is missing."""
    if not path.is_file():
        raise BadManifest(str(path), "there is no such file", "Name a CSV with the columns image,label")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:  # a spreadsheet's UTF-8 starts with a mark
            reader = csv.DictReader(file, skipinitialspace=True, strict=True)
            columns = [name.strip() for name in reader.fieldnames or ()]
            reader.fieldnames = columns
            raw = [(reader.line_num, record) for record in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(str(path), f"not a CSV ({error})", "Save it as UTF-8 CSV") from error
    _check_columns(path, columns)
    if not raw:
        raise BadManifest(str(path), "has no rows", "Name a table with at least one image")
    return [_row(path, number, record) for number, record in raw]


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = {"image", "label"} - set(columns)
    if missing:
        raise BadManifest(
            str(path),
            f"lacks the column {', '.join(sorted(missing))}",
            f"It has: {', '.join(columns) or 'none'} (separated by commas)",
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise BadManifest(str(path), f"has two columns '{twice[0]}'", "Rename or delete one")


def _row(path: Path, number: int, record: dict[str, Any]) -> Row:
    at = f"{path}:{number}"
    if None in record:
        raise BadManifest(at, "more cells than the table has columns", "Put cells that hold a comma in quotes")
    columns = {key: (value or "").strip() for key, value in record.items()}
    if not columns["image"] or not columns["label"]:
        raise BadManifest(at, "a row without an image or a label", "Fill it in or delete the row")
    group = columns.get("patient") or columns.get("group") or columns["image"]
    mask = path.parent / columns["mask"] if columns.get("mask") else None
    return Row(path.parent / columns["image"], columns["label"], group, mask, columns, at)


def where(rows: Sequence[Row], wanted: Mapping[str, Sequence[str]]) -> list[Row]:
    """The rows whose columns hold one of the wanted values. Raises BadManifest for an unknown column."""
    for column in wanted:
        if rows and column not in rows[0].columns:
            known = ", ".join(rows[0].columns)
            raise BadManifest(column, "no such column in the table", f"The columns are: {known}")
    return [row for row in rows if all(row.columns[name] in values for name, values in wanted.items())]


def select(path: Path, wanted: Mapping[str, Sequence[str]], groups: frozenset[str] | None) -> list[Row]:
    """The rows of a manifest that `where` keeps, of these groups only. Raises BadManifest when none is left."""
    rows = [row for row in where(read_table(path), wanted) if groups is None or row.group in groups]
    if not rows:
        raise BadManifest(str(path), "no row is left after --where and --groups", "Loosen them")
    return rows


def read_grey(path: Path) -> Grey:
    """One image file as grey uint8 (height, width). Raises BadManifest when it is not an image.

    Colour becomes luma (BT.601), 16 bit loses its lower byte, an alpha channel is ignored, a palette is looked up.
    """
    try:
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # more pixels than OpenCV takes
        picture = None
    if picture is None:
        reason = "cannot be read as an image" if path.exists() else "there is no such file"
        raise BadManifest(str(path), reason, "Check the table's image column and the file")
    return np.asarray(picture, np.uint8)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """A lesion mask (height, width), true inside the lesion."""
    return read_grey(path) > 0
