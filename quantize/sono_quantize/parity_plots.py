"""The plots of a parity report, as SVG files whose bytes depend on nothing but the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sono_quantize.comparison import FLOAT, SHIPPED, Compared

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

INK, FAINT, FLIP = "#2b2f36", "#9aa3ad", "#111111"
MALIGNANT, OTHER = "#c2492d", "#3d6fb0"
STEP = 1 / 255
"""One step of a score that is written as a byte."""
EDGES = (0.0, 0.05, 0.25, 0.5, 1.0, 2.0)
"""Upper edges of the runtimes' bars, in steps; the first is "the very same"."""
READERS = {FLOAT: "float", "onnx": "ONNX int8", "litert": "TFLite int8"}
_STYLE: Any = {
    "svg.hashsalt": "sonoedge",  # ids of clip paths, else drawn anew each time
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "grid.color": "#e7eaee",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "legend.fontsize": 8.5,
}


def draw_all(folder: Path, compared: Compared, figures: Mapping[str, Any]) -> None:
    """scatter.svg, bland_altman.svg, runtimes.svg and auroc.svg."""
    plots: dict[str, tuple[tuple[float, float], Callable[[Axes], None]]] = {
        "scatter.svg": ((5.0, 4.9), lambda axes: scatter(axes, compared)),
        "bland_altman.svg": ((6.6, 4.2), lambda axes: bland_altman(axes, compared)),
        "runtimes.svg": ((6.6, 3.4), lambda axes: runtimes(axes, compared)),
        "auroc.svg": ((6.6, 2.7), lambda axes: areas(axes, figures)),
    }
    for name, (size, draw) in plots.items():
        with _drawing(folder / name, size) as axes:
            draw(axes)


def scatter(axes: Axes, compared: Compared) -> None:
    """int8 over float, the threshold as a cross: a point in the two corners beside the diagonal is a flip."""
    exact, ours = compared.malignant(FLOAT), compared.malignant(SHIPPED)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=0.9, zorder=1)
    for at in (axes.axhline, axes.axvline):
        at(compared.threshold, color=INK, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    _points(axes, compared, exact, ours)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    axes.set(xlabel="float: calibrated malignant score", ylabel="ONNX int8: calibrated malignant score")
    axes.set_title("int8 against float, image by image")
    axes.annotate(f"threshold {compared.threshold:.3f}", (compared.threshold + 0.012, 0.985), va="top", fontsize=8)
    axes.legend(loc="lower right", handletextpad=0.3)


def bland_altman(axes: Axes, compared: Compared) -> None:
    """Difference over mean, the bias and the limits of agreement (Bland and Altman, Lancet 1986)."""
    exact, ours = compared.malignant(FLOAT), compared.malignant(SHIPPED)
    difference = ours - exact
    bias, low, high = limits_of_agreement(difference)
    axes.axhspan(low, high, color="#f1f3f6", zorder=0)
    for value, words in ((high, "+1.96 SD"), (bias, "bias"), (low, "-1.96 SD")):
        axes.axhline(value, color=INK, linewidth=0.9, linestyle="-" if words == "bias" else (0, (4, 3)), zorder=1)
        label = f"{words}\n{value:+.3f}".replace("-", "\N{MINUS SIGN}")
        axes.annotate(label, (1.01, value), xycoords=("axes fraction", "data"), va="center", fontsize=8)
    axes.axvline(compared.threshold, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    _points(axes, compared, (exact + ours) / 2, difference)
    reach = 1.12 * max(float(np.abs(difference).max()), abs(low), abs(high), 1e-3)
    axes.set(xlim=(-0.02, 1.02), ylim=(-reach, reach))
    axes.set(xlabel="mean of float and int8 (dotted: threshold)", ylabel="int8 \N{MINUS SIGN} float")
    axes.set_title("Score differences, and the limits within which 95 % lie")
    axes.legend(loc="upper left", ncols=3, handletextpad=0.3, columnspacing=1.2)


def runtimes(axes: Axes, compared: Compared) -> None:
    """How far the two runtimes are apart, in steps of 1/255 of a score."""
    counts = step_counts(compared)
    bars = axes.bar(
        range(len(counts)), list(counts.values()), color=[OTHER] + [MALIGNANT] * (len(counts) - 1), width=0.72
    )
    axes.bar_label(bars, padding=2, fontsize=8.5)
    axes.set_xticks(range(len(counts)), list(counts))
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 4 * len(compared.rows))
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="|ONNX \N{MINUS SIGN} TFLite|, the larger of both scores, in steps of 1/255", ylabel="images")
    axes.set_title("The two runtimes, one set of integers")


def areas(axes: Axes, figures: Mapping[str, Any]) -> None:
    """AUROC of each reader with its interval."""
    names = [name for name in READERS if name in figures["auroc"]]
    colours = {FLOAT: INK, "onnx": MALIGNANT, "litert": OTHER}
    for place, name in enumerate(names):
        found = figures["auroc"][name]
        axes.plot(
            [found["lo"], found["hi"]], [place, place], color=colours[name], linewidth=2.2, solid_capstyle="round"
        )
        axes.plot(found["value"], place, "o", color=colours[name], markersize=6)
        axes.annotate(
            f"{found['value']:.4f}",
            (found["value"], place),
            (0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
        )
    axes.set_yticks(range(len(names)), [READERS[name] for name in names])
    axes.set_ylim(len(names) - 0.5, -0.7)
    axes.grid(visible=False, axis="y")
    delta = figures["delta_auroc"]
    interval = f"{delta['lo']:+.4f} to {delta['hi']:+.4f}"
    words = f"int8 \N{MINUS SIGN} float: {delta['value']:+.4f} ({interval}), on the same draws"
    axes.set_xlabel(words.replace("-0.", "\N{MINUS SIGN}0."))
    axes.set_title("AUROC with its 95 % interval (bootstrap of groups)")


def limits_of_agreement(difference: NDArray[np.float64]) -> tuple[float, float, float]:
    """(bias, low, high): the mean, and 1.96 standard deviations about it."""
    bias, spread = float(difference.mean()), 1.96 * float(difference.std(ddof=1))
    return bias, bias - spread, bias + spread


def step_counts(compared: Compared) -> dict[str, int]:
    """How many images have runtimes that are apart by no more than each edge, in steps of 1/255; none is left out."""
    steps = apart(compared) / STEP
    places = np.searchsorted(np.asarray(EDGES), steps, side="left")
    names = ["0", *(f"\N{LESS-THAN OR EQUAL TO} {edge:g}" for edge in EDGES[1:]), f"> {EDGES[-1]:g}"]
    return {name: int((places == place).sum()) for place, name in enumerate(names)}


def apart(compared: Compared) -> NDArray[np.float64]:
    """Of each image the larger difference of its two scores between the runtimes."""
    return np.asarray(np.abs(compared.scores["onnx"] - compared.scores["litert"]).max(axis=1), np.float64)


def _points(axes: Axes, compared: Compared, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    for called, colour, words in ((~compared.truth, OTHER, "not malignant"), (compared.truth, MALIGNANT, "malignant")):
        axes.scatter(x[called], y[called], s=13, color=colour, alpha=0.55, linewidths=0, label=words, zorder=2)
    flipped = flips(compared)
    words = f"decision flipped ({int(flipped.sum())})"
    axes.scatter(
        x[flipped], y[flipped], s=38, facecolors="none", edgecolors=FLIP, linewidths=1.0, label=words, zorder=3
    )


def flips(compared: Compared) -> NDArray[np.bool_]:
    """The images on which float and int8 decide differently."""
    exact, ours = compared.malignant(FLOAT), compared.malignant(SHIPPED)
    return np.asarray((exact >= compared.threshold) != (ours >= compared.threshold))


@contextmanager
def _drawing(path: Path, size: tuple[float, float]) -> Iterator[Axes]:
    """One pair of axes that becomes an SVG file without date, version or random names."""
    import matplotlib as mpl  # noqa: PLC0415  (0.3 s)
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        yield figure.add_subplot()
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
