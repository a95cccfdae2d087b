"""The plots, drawn from curves. Each panel says how many images and groups it holds and shows its 95 % band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sono_models.scoring import ece
from sono_training.evidence import curves
from sono_training.evidence.curves import Curve
from sono_training.evidence.figures import auroc_of, ece_floor, intervals
from sono_training.evidence.style import BAND, BLUE, INK, MUTED, ORANGE, PALE, PURPLE, figure, note, title
from sono_training.evidence.subgroups import ALL, Subgroup
from sono_training.evidence.tables import ScoreTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Panel:
    """One test: its name, its rows, a threshold of each row (None: not known), and the folds it is made of."""

    name: str
    table: ScoreTable
    threshold: float | NDArray[np.float64] | None = None
    parts: tuple[ScoreTable, ...] = ()

    @property
    def counts(self) -> str:
        groups = len(set(self.table.group))
        kind = "patients" if all(name.startswith("case") for name in self.table.group) else "groups"
        return f"{len(self.table):,} images, {groups:,} {kind}, {int(self.table.truth.sum())} malignant"

    def point(self) -> tuple[float, float] | None:
        """(1 - specificity, sensitivity) at the frozen threshold."""
        if self.threshold is None:
            return None
        called = self.table.scores >= self.threshold
        return float(called[~self.table.truth].mean()), float(called[self.table.truth].mean())

    def single(self) -> float | None:
        """The threshold where all rows share one."""
        return self.threshold if isinstance(self.threshold, float) else None


def draw_all(
    panels: Sequence[Panel], groups: Mapping[str, Sequence[Subgroup]], out: Path, kind: str = "svg"
) -> list[str]:
    """Every plot that the panels allow; the names of the files written."""
    made: list[str] = []
    for name, draw in (("roc", _roc), ("reliability", _reliability), ("decision-curve", _decision)):
        path = out / f"{name}.{kind}"
        _grid(path, panels, draw)
        made.append(path.name)
    marked = [panel for panel in panels if panel.table.has("hit")]
    external = [panel for panel in panels if panel.single() is not None]
    for name, chosen, draw in (("froc", marked, _froc), ("risk-coverage", external, _risk)):
        if chosen:
            path = out / f"{name}.{kind}"
            _grid(path, chosen, draw)
            made.append(path.name)
    for name, rows in groups.items():
        if rows:
            path = out / f"subgroups-{name}.{kind}"
            forest(path, rows)
            made.append(path.name)
    return made


def _grid(path: Path, panels: Sequence[Panel], draw: object) -> None:
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with figure(path, (4.4 * columns, 4.2 * rows), nrows=rows, ncols=columns) as (_, axes):
        for place, panel in zip(axes, panels, strict=False):
            title(place, panel.name, panel.counts)
            draw(place, panel)  # type: ignore[operator]
        for place in axes[len(panels) :]:
            place.set_visible(False)


def _banded(axes: Axes, curve: Curve, color: str, label: str, **more: object) -> None:
    axes.fill_between(curve.x, curve.lo, curve.hi, color=color, alpha=BAND, linewidth=0)
    axes.plot(curve.x, curve.y, color=color, label=label, **more)  # type: ignore[arg-type]


def _roc(axes: Axes, panel: Panel) -> None:
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1)
    for part in panel.parts:
        each = curves.roc(part)
        axes.plot(each.x, each.y, color=BLUE, linewidth=0.6, alpha=0.5)
    found = intervals({"auroc": auroc_of(panel.table)}, panel.table, resamples=curves.RESAMPLES)["auroc"]
    _banded(axes, curves.roc(panel.table), BLUE, f"AUROC {_short(found)}")
    point = panel.point()
    if point:
        axes.plot(*point, "o", color=ORANGE, markersize=7, markeredgecolor="white", label=_point_words(point))
    if panel.parts:
        axes.plot([], [], color=BLUE, linewidth=0.6, alpha=0.5, label="the single folds")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
    axes.legend(loc="lower right")


def _point_words(point: tuple[float, float]) -> str:
    return f"frozen threshold: sens. {point[1]:.2f}, spec. {1 - point[0]:.2f}"


def _reliability(axes: Axes, panel: Panel) -> None:
    bins = curves.reliability(panel.table)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    reach = np.abs(np.vstack([bins.share - bins.lo, bins.hi - bins.share]))
    axes.errorbar(bins.score, bins.share, reach, fmt="o", color=BLUE, ecolor=BLUE, elinewidth=1, markersize=4.5)
    counts, edges = np.histogram(panel.table.scores, bins=25, range=(0, 1))
    height = 0.12 * counts / counts.max()
    axes.bar(edges[:-1], height, width=0.04, bottom=-0.16, align="edge", color=PALE, edgecolor="white", linewidth=0.4)
    found = ece(panel.table.truth, panel.table.scores, bins=15)
    words = f"ECE {found:.3f}, {len(bins.n)} bins of about {round(float(bins.n.mean()))} images"
    note(axes, 0.98, 0.24, f"{words}\n({ece_floor(panel.table):.3f} if perfectly calibrated)", ha="right", va="bottom")
    axes.set(xlabel="calibrated malignant score (mean of the bin)", ylabel="share malignant")
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.17, 1.03), yticks=[0, 0.2, 0.4, 0.6, 0.8, 1.0])


def _decision(axes: Axes, panel: Panel) -> None:
    found = curves.decision(panel.table)
    _banded(axes, found.model, BLUE, "the model")
    axes.plot(found.model.x, found.everyone, color=ORANGE, linestyle=(0, (5, 2)), label="call all malignant")
    axes.axhline(0, color=INK, linewidth=1, linestyle=(0, (1, 1)), label="call none")
    top = max(found.prevalence, float(found.model.hi.max())) * 1.3
    axes.set(xlabel="threshold probability", ylabel="net benefit", xlim=(0, 0.8), ylim=(-0.06, top))
    axes.legend(loc="upper right", ncols=3, handlelength=1.6, columnspacing=1.2)
    note(axes, 0.98, 0.9, f"{found.prevalence:.0%} of this set is malignant", ha="right", va="top", color=MUTED)


def _froc(axes: Axes, panel: Panel) -> None:
    for by, color, words, line in (
        ("hit", BLUE, "the peak lies on the lesion", "-"),
        ("iou", PURPLE, "boxes meet, IoU ≥ 0.5", (0, (5, 2))),
    ):
        if panel.table.has(by):
            _banded(axes, curves.froc(panel.table, by=by), color, words, linestyle=line)
    axes.set(xlabel="false marks a picture (one mark at most)", ylabel="malignant lesions found and located")
    axes.set(xlim=(0, 0.7), ylim=(-0.01, 1.01))
    axes.legend(loc="lower right")


def _risk(axes: Axes, panel: Panel) -> None:
    threshold = panel.single()
    assert threshold is not None
    found = curves.risk_coverage(panel.table, threshold)
    _banded(axes, found.curve, BLUE, "surest first: least doubt")
    axes.axhline(found.overall, color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
    note(axes, 0.02, 0.95, f"all answered: {found.overall:.3f} wrong; AURC {_short(found.aurc)}", va="top", color=MUTED)
    for (name, at), shape in zip(found.rules.items(), "Ds^v", strict=False):
        axes.plot(
            *at, shape, color=ORANGE, markersize=7, markeredgecolor="white", label=f"{name}: {at[0]:.0%}, {at[1]:.3f}"
        )
    top = max(0.12, float(found.curve.hi.max()) * 1.35)
    axes.set(
        xlabel="coverage: share of images answered",
        ylabel="risk: share of answers wrong",
        xlim=(0, 1.02),
        ylim=(0, top),
    )
    axes.legend(loc="upper left", bbox_to_anchor=(0.0, 0.9))


def _short(found: Mapping[str, float]) -> str:
    return f"{found['value']:.3f} ({found['lo']:.3f} to {found['hi']:.3f})"


def forest(path: Path, rows: Sequence[Subgroup]) -> None:
    """A forest plot: subgroups down, AUROC, sensitivity and specificity at the frozen threshold across."""
    lines = _lines(rows)
    widths = {"width_ratios": [1.5, 1, 1, 1]}
    with figure(path, (10.2, 0.9 + 0.25 * len(lines)), nrows=1, ncols=4, gridspec_kw=widths) as (_, axes):
        _names(axes[0], lines)
        for place, key, color in zip(axes[1:], ("auroc", "sens", "spec"), (BLUE, ORANGE, PURPLE), strict=True):
            _forest_panel(place, lines, key, color)
        for place in axes:
            place.set_ylim(len(lines) - 0.4, -0.8)


def _lines(rows: Sequence[Subgroup]) -> list[Subgroup | str]:
    """The rows, each kind below its name."""
    lines: list[Subgroup | str] = []
    kind = ALL
    for row in rows:
        if row.kind != kind:
            lines.append(row.kind)
            kind = row.kind
        lines.append(row)
    return lines


def _names(axes: Axes, lines: Sequence[Subgroup | str]) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, 1)
    for at, line in enumerate(lines):
        if isinstance(line, str):
            axes.text(0, at, line, fontweight="bold", va="center")
            continue
        axes.text(0.0 if line.kind == ALL else 0.04, at, line.name, va="center")
        counts = f"{line.n} · {line.groups} · {line.malignant}"
        axes.text(1.0, at, counts, va="center", ha="right", color=MUTED, fontsize=8)
    axes.set_title("images · groups · malignant", loc="right", fontsize=8, color=MUTED)


_KEYS = {"auroc": "AUROC", "sens": "sensitivity", "spec": "specificity"}


def _forest_panel(axes: Axes, lines: Sequence[Subgroup | str], key: str, color: str) -> None:
    axes.set_title(_KEYS[key], fontsize=9, fontweight="bold", color=color)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    lowest = 0.8
    for at, line in enumerate(lines):
        found = None if isinstance(line, str) else getattr(line, key)
        if found is None:
            continue
        lowest = min(lowest, found["lo"])
        axes.plot([found["lo"], found["hi"]], [at, at], color=color, linewidth=1.4, solid_capstyle="butt")
        axes.plot(found["value"], at, "s", color=color, markersize=4.5)
        if isinstance(line, Subgroup) and line.kind == ALL:
            axes.axvline(found["value"], color=color, linewidth=0.9, linestyle=(0, (3, 3)), alpha=0.6)
    axes.set_xlim(np.floor(lowest * 10) / 10 - 0.01, 1.02)
