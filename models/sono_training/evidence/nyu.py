"""Published figures beside ours, with the words that say what may be compared. Sources: docs of each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sono_models.resampling import RESAMPLES
from sono_training.evidence import figures as fig
from sono_training.evidence.tables import TO_BUSI, ScoreTable
from sono_training.evidence.targets import Line

Compare = Literal["no", "in form", "nearly"]
NYU = "Shen et al., Nature Communications 12:5645 (2021)"
ALL_BUSI = 780


@dataclass(frozen=True, slots=True)
class Published:
    """One published figure. `ours`: a row of the headline, ALL_IMAGES, or "" where there is nothing beside it."""

    source: str
    what: str
    figure: str
    ours: str
    compare: Compare
    words: str


ALL_IMAGES = "all of BUSI"
PUBLISHED = (
    Published(
        NYU,
        "own test set, 44,755 exams, AUROC",
        "0.976 (0.972 to 0.980)",
        "a",
        "no",
        "Theirs reads a whole exam of stored stills, after training on 288,767 exams of one health system, and counts "
        "women without any lesion. Ours reads one still of a woman who has a lesion. Other question, other patients.",
    ),
    Published(
        NYU,
        "external BUSI, all 780 images, malignant against rest, AUROC",
        "0.927 (0.907 to 0.959)",
        ALL_IMAGES,
        "in form",
        "Same images, same question (normals and near-duplicates included, no training on BUSI). Ours was trained on "
        "1,875 stills of one other hospital. Intervals of images: neither knows BUSI's patients.",
    ),
    Published(
        NYU,
        "the same figure beside benign against malignant on curated BUSI",
        "0.927 (0.907 to 0.959)",
        "b",
        "no",
        "Row b leaves out normals (easy negatives), conflicting labels and near-duplicates. The number may not be put "
        "beside theirs.",
    ),
    Published(
        NYU,
        "ten readers against the system, AUROC",
        "0.924 against 0.962",
        "",
        "no",
        "No reader study was made here. Nothing of ours stands against a radiologist.",
    ),
    Published(
        NYU,
        "with the system: false positives, biopsies, at equal sensitivity",
        "-37.3 %, -27.8 %",
        "",
        "no",
        "No workflow was studied here, and no claim about biopsies is made.",
    ),
    Published(
        "EfficientNet-B0 (4.0 M)",
        "BUS-BRA official 5-fold, AUROC",
        "0.891 ± 0.027",
        "a",
        "nearly",
        "Same images, same folds, a net of the same size. Ours adds BUSI to training and is measured in int8.",
    ),
    Published(
        "ViT-B/16 (86 M)",
        "BUS-BRA official 5-fold, AUROC, fixed epoch (best epoch)",
        "0.9195 (0.931)",
        "a",
        "nearly",
        "Same folds. Ours has a fixed epoch, so 0.9195 is the figure to hold it against; the best epoch was chosen on "
        "the test fold. Theirs trains on BUS-BRA alone, ours adds BUSI.",
    ),
    Published(
        "ViT-B/16, five (one)",
        "BUS-BRA → curated BUSI (379 images), AUROC",
        "0.934 (0.907)",
        "b",
        "nearly",
        "Same question; another choice of images to keep, so differences below the interval mean nothing. Ours is one "
        "net: the single ViT is its peer.",
    ),
    Published(
        "DenseNet121, five; with mask guidance",
        "BUSI → BUS-BRA, AUROC",
        "0.750; 0.776",
        "c",
        "nearly",
        "Same test images. Which BUSI images were trained on may differ.",
    ),
)


def all_busi(tables: Mapping[str, ScoreTable], *, resamples: int = RESAMPLES) -> dict[str, float] | None:
    """AUROC on all 780 BUSI images, malignant against rest, of the net that never saw BUSI; None without them all."""
    table = tables.get(TO_BUSI)
    if table is None or len(table) != ALL_BUSI:
        return None
    return fig.intervals({"auroc": fig.auroc_of(table)}, table, resamples=resamples)["auroc"]


def beside(lines: Sequence[Line], everything: dict[str, float] | None) -> list[tuple[Published, str]]:
    """Every published figure with ours in words."""
    reached = {line.row: line for line in lines}
    return [(each, _ours(each.ours, reached, everything)) for each in PUBLISHED]


def _ours(row: str, reached: Mapping[str, Line], everything: dict[str, float] | None) -> str:
    if not row:
        return "nothing"
    if row == ALL_IMAGES:
        found = everything
    else:
        line = reached[row]
        found = None if line.reached is None else {"value": line.reached, "lo": line.lo or 0.0, "hi": line.hi or 0.0}
    return f"{found['value']:.3f} ({found['lo']:.3f} to {found['hi']:.3f})" if found else "not measured"
