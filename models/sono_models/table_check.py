"""Whether a table of labelled images can be worked on, judged by its text and the files' headers, before any hour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sono_models.errors import BadConfig, BadManifest
from sono_models.picture_size import Size, decoded_size, read_size
from sono_models.table import Row

NORMAL = "normal"
"""The label that is a negative in every table: no finding."""
SMALLEST_SIDE = 8
LARGEST_SIDE = 8192
"""Pixels. Less is no picture, more is no ultrasound frame (a whole slide, a stitched panorama)."""

_NO_VALUE = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "null"})
"""What programs write for a cell without a value."""

Fault = tuple[Row, str, str]
"""The row, the reason, the next step."""


def check_rows(
    rows: Sequence[Row], *, labels: Sequence[str], negatives: Sequence[str] = (), target: str | None = None
) -> None:
    """Raises BadManifest for the first row at fault, with how many more are, or when only one class is there.

    A label is one of the model's `labels`, `normal`, or one that the caller declares a negative. With a `target`
    the rows must hold it and something else. Pictures are judged by their headers, 8 to 8,192 px a side.
    """
    for negative in negatives:
        if negative in labels:
            raise BadConfig(f"--negative {negative}", "is a label of the model", f"Those are: {', '.join(labels)}")
    _raise_first([*_labels(rows, (*labels, NORMAL, *negatives)), *_groups(rows), *_twice(rows)])
    _need_two_classes(rows, target)
    _raise_first([fault for row in rows for fault in _files(row)])


def check_apart(sides: Mapping[str, Sequence[Row]]) -> None:
    """Raises BadManifest naming a group of one table that is on two sides, such as fit and dev."""
    seen: dict[tuple[str, str], tuple[str, Row]] = {}
    for side, rows in sides.items():
        for row in rows:
            other, first = seen.setdefault((row.at.rpartition(":")[0], row.group), (side, row))
            if other != side:
                raise BadManifest(
                    f"group '{row.group}'",
                    f"is on two sides, {other} ({_name(first)}) and {side} ({_name(row)})",
                    "Put all images of a patient on one side",
                )


def _labels(rows: Sequence[Row], known: Sequence[str]) -> Iterator[Fault]:
    for row in rows:
        if row.label.casefold() in _NO_VALUE:
            yield row, f"its label is '{row.label}'", "Fill it in or delete the row"
        elif row.label not in known:
            step = f"Known are {', '.join(dict.fromkeys(known))}: write one of them, or add --negative '{row.label}'"
            yield row, f"unknown label '{row.label}'", f"{step} if it counts as no finding"


def _groups(rows: Sequence[Row]) -> Iterator[Fault]:
    """A group that is missing here but not elsewhere would let a patient's images fall apart, unseen."""
    grouped = any(_group(row) for row in rows)
    for row in rows:
        if row.group.casefold() in _NO_VALUE:
            yield row, f"its group is '{row.group}'", "Fill in the patient, or a name of its own when unknown"
        elif grouped and not _group(row):
            yield row, "has no patient or group, other rows have", "Fill it in, a name of its own when unknown"


def _group(row: Row) -> str:
    return row.columns.get("patient") or row.columns.get("group") or ""


def _twice(rows: Sequence[Row]) -> Iterator[Fault]:
    first: dict[Path, Row] = {}
    for row in rows:
        before = first.setdefault(row.image.resolve(), row)
        if before is not row:
            yield row, f"the same image as {_name(before)}", "Delete one of the rows"


def _need_two_classes(rows: Sequence[Row], target: str | None) -> None:
    found = sorted({row.label for row in rows})
    if len(found) > 1 and (target is None or target in found):
        return
    thing, wanted = (f"target '{target}'", "it and something else") if target else ("the labels", "two classes")
    raise BadManifest(thing, f"the rows must hold {wanted}, they hold: {', '.join(found)}", "Choose other rows")


def _files(row: Row) -> Iterator[Fault]:
    """At most one fault of the image, or else of its mask."""
    if not row.image.is_file():
        yield row, f"{row.image}: there is no such file", "Mend the image column: it is relative to the table"
        return
    try:
        size = read_size(row.image)
    except ValueError as error:
        yield row, str(error), "Replace the file, or delete the row"
        return
    if not SMALLEST_SIDE <= min(size) <= max(size) <= LARGEST_SIDE:
        allowed = f"{SMALLEST_SIDE} to {LARGEST_SIDE} px a side"
        yield row, f"{_words(size)} px, allowed are {allowed}", "Replace the file, or delete the row"
    elif row.mask is not None:
        yield from _mask(row, row.mask, size)


def _mask(row: Row, mask: Path, size: Size) -> Iterator[Fault]:
    step = "Mend the mask column, or leave it empty where there is no mask"
    if not mask.is_file():
        yield row, f"its mask {mask}: there is no such file", step
        return
    try:
        found = read_size(mask)
        if found != size:  # a camera's JPEG may be turned when it is decoded: only then are both decoded
            found, size = decoded_size(mask), decoded_size(row.image)
    except ValueError as error:
        yield row, f"its mask {mask.name}: {error}", step
        return
    if found != size:
        yield row, f"its mask is {_words(found)} px, the image is {_words(size)} px", "Give the mask the image's size"


def _words(size: Size) -> str:
    return f"{size[1]}x{size[0]}"


def _name(row: Row) -> str:
    return row.at or str(row.image)


def _raise_first(faults: Sequence[Fault]) -> None:
    if not faults:
        return
    row, reason, step = faults[0]
    others = len({id(other) for other, _, _ in faults} - {id(row)})
    more = f" ({others} more rows are at fault)" if others else ""
    shown = row.columns.get("image", "")
    thing = f"{row.at} ({shown})" if row.at and shown else _name(row)
    raise BadManifest(thing, reason + more, step)
