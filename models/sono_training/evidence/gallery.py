"""The failure gallery: the released net's worst errors as frame ids and saliency. No pixel of a patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sono_models.bundle import Bundle
from sono_models.inputs import Box, letterbox
from sono_models.localisation import bounds
from sono_models.reader import Reader, verified_reader
from sono_models.saliency import MALIGNANT
from sono_models.table import Row, read_grey, read_mask
from sono_training.evidence.style import INK, MUTED, ORANGE, SKY, figure
from sono_training.evidence.subgroups import Metadata
from sono_training.evidence.tables import ScoreTable, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

EACH = 6
"""So many misses, and so many false calls, a test set."""
COLUMNS = 6


_LEGEND = "malignant map, dark 0, bright 1 · grey frame: the picture · dashed: lesion's box · orange: model's box"


@dataclass(frozen=True, slots=True)
class Failure:
    """One wrong decision at the frozen threshold."""

    protocol: str
    image: str
    label: str
    score: float
    hit: float

    @property
    def kind(self) -> str:
        return "missed" if self.label == "malignant" else "false call"


def failures(table: ScoreTable, threshold: float, *, each: int = EACH) -> list[Failure]:
    """The malignant images with the lowest scores, then the others with the highest, all on the wrong side."""
    scores, truth = table.scores, table.truth
    missed = [i for i in np.argsort(scores, kind="stable") if truth[i] and scores[i] < threshold]
    called = [i for i in np.argsort(-scores, kind="stable") if not truth[i] and scores[i] >= threshold]
    hits = table.numbers.get("hit", np.full(len(table), np.nan))
    return [
        Failure(table.protocol, name_of(table.image[i]), table.label[i], float(scores[i]), float(hits[i]))
        for i in (*missed[:each], *called[:each])
    ]


def counts(table: ScoreTable, threshold: float) -> str:
    """How many decisions are wrong, in words."""
    called = table.scores >= threshold
    missed, false = int((~called & table.truth).sum()), int((called & ~table.truth).sum())
    malignant = int(table.truth.sum())
    return (
        f"{table.protocol}: {missed} of {malignant} malignant missed, {false} of {len(table) - malignant} others called"
    )


def draw(found: Sequence[Failure], bundle: Bundle, metadata: Metadata, path: Path) -> list[str]:
    """One small map a failure, as the bundle sees it now. Returns the ids whose files are not there."""
    rows = [(each, metadata[each.image][1]) for each in found if each.image in metadata]
    if not rows:
        return [each.image for each in found]
    reader = verified_reader(bundle, bundle.runtime("onnx"))
    lines = -(-len(rows) // COLUMNS)
    with figure(path, (1.75 * COLUMNS, 2.15 * lines + 0.4), nrows=lines, ncols=COLUMNS) as (made, axes):
        for place, (failure, row) in zip(axes, rows, strict=False):
            _panel(place, failure, row, reader)
        for place in axes[len(rows) :]:
            place.set_visible(False)
        made.suptitle(_LEGEND, fontsize=8, color=MUTED)
    return [each.image for each in found if each.image not in metadata]


def _panel(axes: Axes, failure: Failure, row: Row, reader: Reader) -> None:
    boxed, placement = letterbox(read_grey(row.image), reader.spec)
    reading = reader.read_boxed(boxed, placement)
    heat: NDArray[np.float32] = reading.saliency[MALIGNANT]
    axes.imshow(heat, cmap="cividis", vmin=0, vmax=1, extent=(0, 1, 1, 0), interpolation="nearest")
    within = (placement.x0, placement.y0, placement.width, placement.height)
    _outline(axes, Box(0, 0, 1, 1), within, MUTED, 0.8, "-")
    if row.mask and row.mask.is_file() and (mask := read_mask(row.mask)).any():
        _outline(axes, bounds(mask), within, SKY, 1.2, (0, (3, 2)))
    _outline(axes, reading.box, within, ORANGE, 1.4, "-")
    axes.set_axis_off()
    axes.set_title(f"{failure.kind}, {failure.score:.3f}", fontsize=8, color=INK, loc="center", pad=12)
    axes.text(0.5, -0.02, failure.image, transform=axes.transData, ha="center", va="bottom", fontsize=7, color=MUTED)


def _outline(
    axes: Axes, box: Box, within: tuple[float, float, float, float], color: str, width: float, line: Any
) -> None:
    """A box of the picture, where the picture lies in the model's input."""
    left, top, across, down = within
    xs = np.array([box.x0, box.x1, box.x1, box.x0, box.x0]) * across + left
    ys = np.array([box.y0, box.y0, box.y1, box.y1, box.y0]) * down + top
    axes.plot(xs, ys, color=color, linewidth=width, linestyle=line)
