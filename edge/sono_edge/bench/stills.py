"""Which stills of a table a benchmark runs on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sono_models.errors import BadConfig
from sono_models.options import pairs, read_groups
from sono_models.table import Row, read_table, where


def stills(table: Path, conditions: Sequence[str], groups: Path | None, *, count: int | None, seed: int) -> list[Row]:
    """The rows that fit `--where` and `--groups`, at most `count` of them, drawn. Raises BadConfig for none."""
    rows = where(read_table(table), pairs(list(conditions), "--where"))
    if groups is not None:
        wanted = read_groups(groups)
        rows = [row for row in rows if row.group in wanted]
    if not rows:
        raise BadConfig(str(table), "no row is left after --where and --groups", "Loosen them")
    if count is None or count >= len(rows):
        return rows
    drawn = np.random.default_rng(seed).permutation(len(rows))[:count]
    return [rows[index] for index in sorted(drawn)]
