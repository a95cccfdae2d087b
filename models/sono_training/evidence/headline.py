"""The headline: rows a to j from score tables and the results of other commands. Pure: the same in, the same out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from sono_models.resampling import RESAMPLES
from sono_training.evidence import figures as fig
from sono_training.evidence.figures import Interval
from sono_training.evidence.results import ROWS, UNCOUNTED, Reached, Results
from sono_training.evidence.results import reached as other
from sono_training.evidence.tables import (
    FOLDS,
    TO_BUSBRA,
    TO_BUSI,
    ScoreTable,
    comparable_busi,
    pooled,
    thresholds,
    two_classes,
)
from sono_training.evidence.targets import NOT_MEASURED, TARGETS, Line

Tables = Mapping[str, ScoreTable]
MIN_PARITY_IMAGES = 1000
MIN_SENSITIVITY = 0.90
Found = Reached | str
"""A figure, or why there is none."""


def headline(tables: Tables, results: Results, *, resamples: int = RESAMPLES) -> list[Line]:
    """Every row of TARGETS, in its order."""
    found: dict[str, Found] = {}
    for part in (_five_fold, _transfer, _parity):
        found |= part(tables, resamples)
    found |= {row: other(row, results) for row in ROWS}
    return [_line(row, found[row]) for row in TARGETS]


def external(tables: Tables) -> dict[str, ScoreTable]:
    """The two tables of another hospital, as rows b, c, e and f count them; without those that are not there."""
    found: dict[str, ScoreTable] = {}
    if TO_BUSI in tables:
        found["b"] = comparable_busi(tables[TO_BUSI])
    if TO_BUSBRA in tables:
        found["c"] = two_classes(tables[TO_BUSBRA])
    return found


def folds(tables: Tables) -> list[ScoreTable] | None:
    """The five tables of row a; None when one is missing."""
    return [tables[name] for name in FOLDS] if all(name in tables for name in FOLDS) else None


def _five_fold(tables: Tables, resamples: int) -> dict[str, Found]:
    """Rows a, e.in and g."""
    five = folds(tables)
    if five is None:
        missing = ", ".join(name for name in FOLDS if name not in tables)
        return dict.fromkeys(("a", "e.in", "g.pointing", "g.box"), f"no table of {missing}")
    pool = pooled("busbra-5fold", five)
    wanted = {"pooled": fig.auroc_of(pool), "ece": fig.ece_of(pool)}
    if pool.has("hit"):
        wanted["hit"] = fig.share(pool.numbers["hit"])
    if pool.has("iou"):
        wanted["box"] = fig.share(fig.at_least(pool.numbers["iou"], fig.IOU))
    each = fig.intervals(wanted, pool, resamples=resamples)
    one = [fig.auroc_of(table)(np.arange(len(table))) for table in five]
    note = f"folds {', '.join(f'{value:.3f}' for value in one)}; pooled {_words(each['pooled'])}"
    floor = f"perfectly calibrated scores would show {fig.ece_floor(pool):.3f} at this n"
    return {
        "a": _reached(fig.mean_over(five, resamples=resamples), pool, note),
        "e.in": _reached(each["ece"], pool, floor),
        "g.pointing": _reached(each["hit"], pool) if "hit" in each else "no column hit",
        "g.box": _reached(each["box"], pool) if "box" in each else "no column iou",
    }


def _transfer(tables: Tables, resamples: int) -> dict[str, Found]:
    """Rows b, c, e.b, e.c, f.b, f.c."""
    found: dict[str, Found] = {}
    ready = external(tables)
    for row, name in (("b", TO_BUSI), ("c", TO_BUSBRA)):
        rows = (row, f"e.{row}", f"f.{row}")
        found |= (
            _one_transfer(ready[row], rows, resamples) if row in ready else dict.fromkeys(rows, f"no table of {name}")
        )
    return found


def _one_transfer(table: ScoreTable, rows: tuple[str, str, str], resamples: int) -> dict[str, Found]:
    wanted = {"auroc": fig.auroc_of(table), "ece": fig.ece_of(table)}
    if table.threshold is not None:
        wanted["sens"] = fig.sensitivity(table, table.threshold)
        wanted["spec"] = fig.specificity(table, table.threshold)
    each = fig.intervals(wanted, table, resamples=resamples)
    counts = f"{len(set(table.group))} groups, {int(table.truth.sum())} malignant"
    floor = f"perfectly calibrated scores would show {fig.ece_floor(table):.3f} at this n"
    point: Found = "the sidecar has no threshold"
    if table.threshold is not None:
        point = _reached(each["spec"], table, f"sensitivity {_words(each['sens'])} at {table.threshold:.4f}")
        if each["sens"]["value"] < MIN_SENSITIVITY:
            point = _uncounted(point, f"{UNCOUNTED}: sensitivity below {MIN_SENSITIVITY:.2f}")
    return {
        rows[0]: _reached(each["auroc"], table, counts),
        rows[1]: _reached(each["ece"], table, floor),
        rows[2]: point,
    }


def _parity(tables: Tables, resamples: int) -> dict[str, Found]:
    """Row d: every table that has the float network's scores, pooled; an image counts once a table."""
    rows = ("d.auroc", "d.decisions", "d.runtimes")
    paired = [table for table in tables.values() if table.has("float")]
    if not paired:
        return dict.fromkeys(rows, "no table has the float network's scores")
    pool = pooled("paired", paired)
    limits = thresholds(pool, paired)
    wanted = {"delta": fig.delta_auroc(pool)}
    if limits is not None:
        wanted["same"] = fig.decisions_equal(pool, limits)
    each = fig.intervals(wanted, pool, resamples=resamples)
    delta = each["delta"]
    lower = Reached(
        delta["lo"], delta["lo"], delta["hi"], len(pool), f"ΔAUROC {delta['value']:+.4f} over {len(paired)} tables"
    )
    apart = float(np.abs(pool.numbers["onnx"] - pool.numbers["litert"]).max())
    found: dict[str, Found] = {
        "d.auroc": lower,
        "d.decisions": _reached(each["same"], pool) if "same" in each else "a sidecar has no threshold",
        "d.runtimes": Reached(apart, n=len(pool), note="bit-equal" if apart == 0 else ""),
    }
    if len(pool) < MIN_PARITY_IMAGES:
        short = f"{UNCOUNTED}: {len(pool)} images, {MIN_PARITY_IMAGES} are asked for"
        found = {row: _uncounted(each, short) if isinstance(each, Reached) else each for row, each in found.items()}
    return found


def _reached(interval: Interval, table: ScoreTable, note: str = "") -> Reached:
    return Reached(interval["value"], interval["lo"], interval["hi"], len(table), note)


def _uncounted(found: Reached, why: str) -> Reached:
    return Reached(found.value, found.lo, found.hi, found.n, f"{why}; {found.note}".rstrip("; "))


def _words(interval: Interval) -> str:
    return f"{interval['value']:.3f} ({interval['lo']:.3f} to {interval['hi']:.3f})"


def _line(row: str, found: Found) -> Line:
    target = TARGETS[row]
    limits = (target.row, target.what, target.goal, target.at_least, target.higher)
    if isinstance(found, str):
        return Line(*limits, None, None, None, NOT_MEASURED, None, found, target.elsewhere)
    met = "no" if found.note.startswith(UNCOUNTED) else target.met(found.value)
    return Line(*limits, found.value, found.lo, found.hi, met, found.n, found.note, target.elsewhere)


def worst(lines: Sequence[Line]) -> list[Line]:
    """The rows that miss what they must at least reach."""
    return [line for line in lines if line.met == "no"]
