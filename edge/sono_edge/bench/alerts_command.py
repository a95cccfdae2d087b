"""What `sono bench alerts` is asked for, and the order in which it is done."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import typer

from sono_edge.bench import alert_laws, timelines
from sono_edge.bench.alert_figures import write_outcomes
from sono_edge.bench.alerts import law_differs, plan, play, report, run_key, stills
from sono_edge.bench.parts import Parts
from sono_edge.bench.timelines import Timeline
from sono_models.atomic import writing
from sono_models.bundle import Bundle, default_path, read
from sono_models.errors import BadConfig
from sono_models.handover import read_rows
from sono_models.law import read_law
from sono_models.options import pairs, read_groups, roots
from sono_models.runtime import RuntimeName
from sono_models.table import Row, read_table, where


@dataclass(frozen=True, slots=True)
class Order:
    """The options of the command, by its names."""

    images: Sequence[Path]
    where: Sequence[str]
    groups: Path | None
    negatives: Sequence[Path]
    root: Sequence[str]
    label: Sequence[str]
    sweeps: int
    minutes: float
    seed: int
    workers: int
    out: Path | None
    observations: Path | None
    outcomes: Path | None
    again: Path | None
    law: Path | None
    choose: Path | None


def run(order: Order, bundle: Path | None, runtime: RuntimeName) -> dict[str, Any]:
    """The figures, under the law that was chosen or named, or under the bundle's."""
    opened = read(bundle or default_path())
    law = read_law(order.law) if order.law else opened.manifest.law
    seen, about = timelines.load(order.again) if order.again else _played(order, opened, runtime)
    best: list[dict[str, Any]] = []
    if order.choose is not None:
        law, best = alert_laws.choose(law, seen)
        with writing(order.choose) as file:
            file.write(msgspec.json.format(msgspec.json.encode(law), indent=1).decode() + "\n")
    if order.outcomes is not None:
        write_outcomes(order.outcomes, alert_laws.outcomes(law, seen))
    return {**report(law, seen), **({"best": best} if best else {}), **about}


def _played(order: Order, bundle: Bundle, runtime: RuntimeName) -> tuple[list[Timeline], dict[str, Any]]:
    if not order.images:
        raise BadConfig("--images", "is missing", "Name a table of stills, or --again with what was seen before")
    if order.out is not None:
        order.out.mkdir(parents=True, exist_ok=True)
    chosen = stills(bundle, _rows(order, order.images, order.where), _rows(order, order.negatives, ()), order.label)
    planned = plan(chosen, sweeps=order.sweeps, minutes=order.minutes, seed=order.seed, out=order.out)
    parts = None
    if order.observations is not None:
        parts = Parts(order.observations.with_suffix(".parts"), run_key(bundle, runtime, planned))
    with typer.progressbar(
        length=len(planned), label="sweeps", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as progress:
        played = play(bundle.path, runtime, planned, workers=order.workers, parts=parts, told=progress.update)
    about = {
        "stills": chosen.counts,
        "labels": list(order.label),
        "seed": order.seed,
        "law_differs": law_differs(bundle.manifest.law, played),
        "bundle": f"{bundle.manifest.name}-{bundle.manifest.version}",
        "bundle_sha256": bundle.sha256,
        "weights_sha256": bundle.manifest.provenance.weights_sha256,
        "runtime": runtime,
    }
    seen = [timeline for timeline, _ in played]
    if order.observations is not None and parts is not None:
        timelines.save(order.observations, seen, about)
        parts.drop()
    return seen, about


def _rows(order: Order, tables: Sequence[Path], conditions: Sequence[str]) -> list[Row]:
    """The tables' rows that fit --where and --groups. Raises BadConfig when a table has none."""
    named, wanted = roots(list(order.root)), pairs(list(conditions), "--where")
    only = read_groups(order.groups) if order.groups else None
    found: list[Row] = []
    for table in tables:
        rows = where(read_rows(table, named) if named else read_table(table), wanted)
        rows = [row for row in rows if only is None or row.group in only]
        if not rows:
            raise BadConfig(str(table), "no row is left after --where and --groups", "Loosen them")
        found += rows
    return found
