"""How every plot of the evidence looks, and how it is written: the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sono_models.errors import BadConfig

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, PALE = "#1b1f24", "#5c6570", "#d5dae0"
BLUE, ORANGE, PURPLE, SKY = "#0072b2", "#d55e00", "#8a4f9e", "#56b4e9"
"""Of Okabe and Ito's colours for all kinds of colour vision; no plot asks to tell red from green."""
BAND = 0.18

_RC: dict[str, Any] = {
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "svg.fonttype": "path",
    "svg.hashsalt": "sonoedge",
    "text.color": INK,
    "xtick.color": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": MUTED,
    "ytick.labelsize": 8,
}


def require() -> None:
    """Raises BadConfig when there is nothing to draw with."""
    if find_spec("matplotlib") is None:
        raise BadConfig("matplotlib", "is not installed", "Install the extra: pip install 'sonoedge[train]'")


@contextmanager
def figure(path: Path, size: tuple[float, float], **subplots: Any) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure and its axes, row by row; written to `path` when the block ends."""
    import matplotlib as mpl  # noqa: PLC0415  (only those who draw need it)
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure as New  # noqa: PLC0415

    with mpl.rc_context(cast("Any", _RC)):
        made = New(figsize=size, layout="constrained")
        made.get_layout_engine().set(h_pad=0.14, w_pad=0.1)  # type: ignore[union-attr, call-arg]
        FigureCanvasAgg(made)
        axes = made.subplots(squeeze=False, **subplots)
        yield made, list(axes.flat)
        path.parent.mkdir(parents=True, exist_ok=True)
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else None
        made.savefig(path, metadata=metadata, dpi=140)


def title(axes: Axes, words: str, counts: str) -> None:
    """A panel's name, and below it in small letters how many it was made from."""
    axes.set_title(words, pad=16, fontweight="bold", color=INK)
    axes.text(0.0, 1.015, counts, transform=axes.transAxes, fontsize=8, color=MUTED, va="bottom")


def note(axes: Axes, x: float, y: float, words: str, **more: Any) -> None:
    """Words inside a panel, on a white ground."""
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}
    axes.text(x, y, words, transform=axes.transAxes, fontsize=8, bbox=ground, **more)
