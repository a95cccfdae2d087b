"""A recipe: what is trained, from where, how long, with which seed. One small TOML file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sono_models.errors import BadConfig
from sono_models.inputs import InputSpec
from sono_models.options import read_groups
from sono_models.saliency import Pooling
from sono_models.table import Row, read_table, where
from sono_training.windows import Windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Rows of one table. `table` is ROOT:PATH; a root is given on the command line."""

    name: str
    table: str
    where: dict[str, list[str]] = {}
    without_groups: str | None = None
    fold_column: str | None = None
    """Rows whose value here is the fold that is left out (`--fold`) are not read at all."""
    evidence: bool = True


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """See models/recipes/ for one with every line explained."""

    name: str
    labels: tuple[str, str]
    """In the order of the maps; the second is the one that alerts. Any other label of a table is neither."""
    seed: int
    epochs: int
    views: int
    """Augmented views a picture; plain ones and, at the end, hard ones: see sono_training.fit.schedule."""
    batch: int
    learning_rate: float
    backbone_rate: float
    weight_decay: float
    mask_weight: float
    lesion_weight: float
    """0: a network without a lesion map, for data without masks."""
    ema: float
    dev_share: float
    input: InputSpec
    pooling: Pooling
    source: list[Source]
    mixup: tuple[float, ...] = (0.0,)
    """A fit each, whose weights are averaged (sono_training.fit): by which beta distribution it mixes two pictures
    into one; 0: not at all.
    """
    windows: Windows | None = None
    """None: every view shows the whole still."""


@dataclass(frozen=True, slots=True)
class Split:
    """The rows to fit on, and the rows (whole groups) kept for calibration and the threshold."""

    fit: list[Row]
    dev: list[Row]
    every: dict[str, list[Row]]
    """All rows of every table that was read, by its name in the recipe."""
    tables: dict[str, str]
    """sha256 of the same tables."""


def read_recipe(path: Path) -> Recipe:
    """Raises BadConfig naming the key."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Recipe)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(str(path), str(error), "See models/recipes/ for recipes") from error


def gather(recipe: Recipe, recipe_path: Path, roots: Mapping[str, Path], fold: str | None = None) -> Split:
    """The rows of a recipe without `fold`, split by group: no group is on both sides. Raises BadConfig, BadManifest."""
    if fold is not None and not any(source.fold_column for source in recipe.source):
        raise BadConfig(f"--fold {fold}", f"no source of {recipe_path.name} has a fold_column", "Leave --fold out")
    fit: list[Row] = []
    dev: list[Row] = []
    every: dict[str, list[Row]] = {}
    tables: dict[str, str] = {}
    for source in recipe.source:
        path = _resolve(source.table, roots)
        every[source.table] = read_table(path)
        rows = _leave_out(where(every[source.table], source.where), source.fold_column, fold)
        if source.without_groups:
            left_out = read_groups(recipe_path.parent / source.without_groups)
            rows = [row for row in rows if row.group not in left_out]
        share = recipe.dev_share if source.evidence else 0.0
        chosen = choose_groups(rows, share=share, seed=recipe.seed)
        fit += [row for row in rows if row.group not in chosen]
        dev += [row for row in rows if row.group in chosen]
        tables[source.table] = hashlib.sha256(path.read_bytes()).hexdigest()
    return Split(fit, dev, every, tables)


def _leave_out(rows: list[Row], column: str | None, fold: str | None) -> list[Row]:
    if column is None or fold is None:
        return rows
    kept = [row for row in rows if row.columns.get(column) != fold]
    if len(kept) == len(rows):
        have = ", ".join(sorted({row.columns.get(column, "") for row in rows}))
        raise BadConfig(f"--fold {fold}", f"column '{column}' has no such fold", f"It has: {have}")
    return kept


def choose_groups(rows: Sequence[Row], *, share: float, seed: int) -> frozenset[str]:
    """A share of the groups of each label, chosen by a hash of seed and group: the same on every machine."""
    by_label: dict[str, set[str]] = {}
    for row in rows:
        by_label.setdefault(row.label, set()).add(row.group)
    chosen: set[str] = set()
    for groups in by_label.values():
        ordered = sorted(groups, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).hexdigest())
        chosen.update(ordered[: round(share * len(ordered))])
    return frozenset(chosen)


def _resolve(table: str, roots: Mapping[str, Path]) -> Path:
    root, _, rest = table.partition(":")
    if root not in roots:
        raise BadConfig(table, f"the root '{root}' is not given", f"Add --root {root}=DIR")
    return roots[root] / rest
