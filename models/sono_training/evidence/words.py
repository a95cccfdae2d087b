"""Figures as Markdown: the tables that stand in the README and on the cards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sono_training.evidence.gallery import Failure
from sono_training.evidence.nyu import Published
from sono_training.evidence.tables import FOLDS, HELD_OUT, TO_BUSBRA, TO_BUSI
from sono_training.evidence.targets import TARGETS, Line

NAMES = {
    **{name: f"BUS-BRA fold {name[-1]}" for name in FOLDS},
    TO_BUSI: "BUS-BRA only → all of BUSI, malignant against rest",
    TO_BUSBRA: "BUSI only → BUS-BRA",
    HELD_OUT: "BUSI held out, with normals",
}
MET = {"goal": "goal", "at least": "at least", "no": "**no**", "not measured": "not measured"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([f"| {' | '.join(head)} |", "|" + "---|" * len(head), *lines])


def headline(lines: Sequence[Line]) -> str:
    """Rows a to j: goal, at least, reached with its interval, and what was found elsewhere."""
    head = ("row", "what", "goal", "at least", "reached (95 %)", "met", "n", "best found elsewhere", "note")
    return table(head, (_line(line) for line in lines))


def _line(line: Line) -> tuple[str, ...]:
    target = TARGETS[line.row]
    sign = "≥" if line.higher else "≤"
    limits = (f"{sign} {_plain(line.goal, target.form)}", f"{sign} {_plain(line.at_least, target.form)}")
    count = "" if line.n is None else f"{line.n:,}"
    shown = "-" if line.reached is None else reached(line, target.form)
    return (line.row, line.what, *limits, shown, MET[line.met], count, line.elsewhere, line.note)


def _plain(value: float, form: str) -> str:
    return format(value, form.replace("+", "") if value >= 0 else form)


def reached(line: Line, form: str) -> str:
    assert line.reached is not None
    value = format(line.reached, form)
    if line.lo is None or line.hi is None:
        return value
    return f"{value} ({format(line.lo, form)} to {format(line.hi, form)})"


def interval(found: Mapping[str, float] | None, form: str = ".3f") -> str:
    if not found:
        return "-"
    return f"{format(found['value'], form)} ({format(found['lo'], form)} to {format(found['hi'], form)})"


def protocols(found: Mapping[str, Mapping[str, Any]], released: Sequence[str]) -> str:
    """Every score table as it lies; a star marks the tests of the released bundle."""
    head = (
        "test",
        "images, groups, malignant",
        "AUROC",
        "ECE",
        "threshold: sensitivity",
        "specificity",
        "lesion pointing",
        "box recall, IoU 0.5",
        "int8 minus float",
    )
    return table(head, (_protocol(name, each, name in released) for name, each in found.items()))


def _protocol(name: str, found: Mapping[str, Any], released: bool) -> tuple[str, ...]:
    point = "" if found["threshold"] is None else f"{found['threshold']:.4f}: "
    return (
        NAMES.get(name, name) + (" ★" if released else ""),
        f"{found['n']:,}, {found['groups']:,}, {found['malignant']}",
        interval(found["auroc"]),
        interval(found["ece"]),
        point + interval(found.get("sens")),
        interval(found.get("spec")),
        interval(found.get("pointing_hit")),
        interval(found.get("box_recall_iou50")),
        interval(found.get("delta_auroc"), "+.4f"),
    )


def published(rows: Sequence[tuple[Published, str]]) -> str:
    head = ("published", "what", "theirs", "ours", "may be compared?", "because")
    return table(head, ((p.source, p.what, p.figure, ours, p.compare, p.words) for p, ours in rows))


def gallery(found: Sequence[Failure]) -> str:
    """The failures' ids."""
    head = ("test", "frame", "what", "score", "the map's peak on the lesion")
    return table(head, ((f.protocol, f.image, f.kind, f"{f.score:.3f}", _hit(f.hit)) for f in found))


def _hit(hit: float) -> str:
    return "yes" if hit == 1.0 else "no" if hit == 0.0 else "no lesion"
