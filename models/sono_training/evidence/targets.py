"""The headline's rows: what must be reached, and the best found elsewhere. The limits were set before any result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

Met = Literal["goal", "at least", "no", "not measured"]
NOT_MEASURED: Met = "not measured"


@dataclass(frozen=True, slots=True)
class Target:
    """One line of the headline. `higher`: more is better; `form` prints a figure."""

    row: str
    what: str
    goal: float
    at_least: float
    higher: bool
    elsewhere: str
    form: str = ".3f"

    def met(self, reached: float) -> Met:
        sign = 1.0 if self.higher else -1.0
        if sign * reached >= sign * self.goal:
            return "goal"
        return "at least" if sign * reached >= sign * self.at_least else "no"


class Line(msgspec.Struct, frozen=True):
    """A row of the headline as measured. `lo`, `hi`: 95 % interval; None where the figure has none."""

    row: str
    what: str
    goal: float
    at_least: float
    higher: bool
    reached: float | None
    lo: float | None
    hi: float | None
    met: Met
    n: int | None
    note: str
    elsewhere: str


A = "0.891 (4 M net); 0.9195 fixed epoch, 0.931 best epoch (86 M)"
B = "0.934 (5 x 86 M, other keep-list)"
SILENT = "silent failure is shown elsewhere"
NOBODY = "nobody reports it"
OFFLINE = "only offline tools exist"
CHANGED = "S-Detect changed results"

TARGETS = {
    target.row: target
    for target in (
        Target("a", "BUS-BRA official patient 5-fold, mean AUROC, fixed epoch", 0.935, 0.91, True, A),
        Target("b", "trained on BUS-BRA only → BUSI, benign against malignant, AUROC", 0.935, 0.905, True, B),
        Target("c", "trained on BUSI only → BUS-BRA, AUROC", 0.85, 0.80, True, "0.776"),
        Target("d.auroc", "int8 minus float, paired ΔAUROC, lower bound", -0.003, -0.01, True, NOBODY, "+.4f"),
        Target("d.decisions", "int8 against float, decisions equal", 0.99, 0.975, True, NOBODY, ".4f"),
        Target(
            "d.runtimes",
            "ONNX Runtime against LiteRT, largest score difference",
            1 / 255,
            1 / 255,
            False,
            NOBODY,
            ".6f",
        ),
        Target("e.in", "ECE in-domain (BUS-BRA 5-fold)", 0.025, 0.04, False, "0.040 in-domain"),
        Target("e.b", "ECE of b, no labels used", 0.06, 0.10, False, "-"),
        Target("e.c", "ECE of c, no labels used", 0.06, 0.10, False, "-"),
        Target(
            "f.b", "b: specificity at the frozen threshold while sensitivity ≥ 0.90", 0.70, 0.55, True, "0.41 to 0.63"
        ),
        Target(
            "f.c", "c: specificity at the frozen threshold while sensitivity ≥ 0.90", 0.70, 0.55, True, "0.41 to 0.63"
        ),
        Target("g.pointing", "lesion pointing hit (BUS-BRA 5-fold)", 0.92, 0.80, True, "Grad-CAM 0.77 to 0.82"),
        Target("g.box", "box recall at IoU 0.5 (BUS-BRA 5-fold)", 0.90, 0.80, True, "-"),
        Target("h.drop", "worst AUROC drop over 12 corruptions at severity 3", 0.03, 0.07, False, SILENT),
        Target("h.caliper", "95th percentile of the score change from a pasted caliper", 0.05, 0.10, False, SILENT),
        Target("i.f1", "gates, F1 on held-out frames (the worst gate)", 0.95, 0.85, True, OFFLINE),
        Target("i.alerts", "alerts from gated frames", 0.0, 0.0, False, OFFLINE, ".0f"),
        Target(
            "j.repeat",
            "largest score difference over repeats, restarts, thread counts",
            0.0,
            0.0,
            False,
            CHANGED,
            ".6f",
        ),
        Target("j.arm", "x86-64 against aarch64, largest score difference", 1e-3, 1e-3, False, CHANGED, ".6f"),
    )
}
