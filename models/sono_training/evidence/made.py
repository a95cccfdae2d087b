"""What the evidence says, as one value: made from the tables and results, written as `headline.json`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from sono_models.resampling import RESAMPLES, SEED
from sono_training.evidence import nyu
from sono_training.evidence.figures import of_protocol
from sono_training.evidence.headline import headline
from sono_training.evidence.nyu import Published
from sono_training.evidence.results import FILES, ON_ALERTS, Results, read_results
from sono_training.evidence.subgroups import Subgroup
from sono_training.evidence.tables import ScoreTable
from sono_training.evidence.targets import Line

SCHEMA = "sonoedge.evidence/1"


class Source(msgspec.Struct, frozen=True):
    """A score table that figures were made from."""

    sha256: str
    weights_sha256: str
    bundle: str
    recipe: str


class Evidence(msgspec.Struct, frozen=True):
    """`headline.json`. The same tables and results give the same value."""

    lines: list[Line]
    protocols: dict[str, dict[str, Any]]
    """Every table as it lies: n, groups, malignant, threshold, and {value, lo, hi} of each figure."""
    busi_all: dict[str, float] | None
    released: list[str]
    """The tables whose net is the committed bundle's."""
    tables: dict[str, Source]
    results: dict[str, str]
    """sha256 of each result file."""
    bootstrap: dict[str, Any]
    subgroups: dict[str, list[Subgroup]] = {}
    alerts: dict[str, Any] | None = None
    """results/alerts.json as it lies."""
    around_alerts: dict[str, dict[str, Any]] = {}
    """The other results that the section on alerts tells of, by their names."""
    schema: str = SCHEMA

    def published(self) -> list[tuple[Published, str]]:
        return nyu.beside(self.lines, self.busi_all)


def make(tables: Mapping[str, ScoreTable], folder: Path, weights: str, *, resamples: int = RESAMPLES) -> Evidence:
    """`folder`: where results/ are; `weights`: the sha256 of the committed bundle's weights. Without subgroups."""
    results: Results = read_results(folder)
    return Evidence(
        lines=headline(tables, results, resamples=resamples),
        protocols={name: of_protocol(table, resamples=resamples) for name, table in tables.items()},
        busi_all=nyu.all_busi(tables, resamples=resamples),
        released=released(tables, weights),
        tables={name: _source(table) for name, table in tables.items()},
        results={name: _sha256(folder / f"{name}.json") for name in FILES if name in results},
        bootstrap={"resamples": resamples, "seed": SEED, "unit": "patient (BUS-BRA), near-duplicate group (BUSI)"},
        alerts=dict(results["alerts"]) if "alerts" in results else None,
        around_alerts={name: dict(results[name]) for name in ON_ALERTS[1:] if name in results},
    )


def released(tables: Mapping[str, ScoreTable], weights: str) -> list[str]:
    """The tables that were made with these weights: the released net's tests."""
    return [name for name, table in tables.items() if table.sidecar.get("weights_sha256") == weights]


def _source(table: ScoreTable) -> Source:
    said = table.sidecar
    return Source(table.sha256, *(str(said.get(key, "")) for key in ("weights_sha256", "bundle", "recipe")))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def to_json(evidence: Evidence) -> str:
    return json.dumps(msgspec.to_builtins(evidence), indent=1, ensure_ascii=False) + "\n"


def without_subgroups(found: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key != "subgroups"}
