#!/usr/bin/env python3
"""What a fleet costs as it grows: `sono fleet simulate` at each size, its figures as JSON, and a plot of them.

cost.py measure OUT.json [SIZE…]   every figure of this machine, one size after the other (25 minutes)
cost.py nightly                    10,000 boards once; the exit status says whether a figure misses its limit
cost.py draw IN.json OUT.png       needs matplotlib: the extra `train`
"""

from __future__ import annotations

import json
import subprocess
import sys
from math import inf
from pathlib import Path
from typing import Any

SIZES = (100, 316, 1000, 3162, 10_000)
REPORTS_A_DEVICE = 0.2
"""Alerts a second of each board: 2,000 of 10,000. A busy clinic's has one a minute."""
SPREAD_S, DEADLINE_S, LONGEST_S = 60, 180, 900
LIMITS: dict[str, tuple[float, float]] = {
    "reports_per_s": (2000, inf),
    "commit_p99_ms": (0, 1000),
    "kb_per_device": (0, 4),
    "bad_model_share": (0, 0.01),
    "good_share": (1, 1),
    "rollback_s_max": (0, 30),
    "lost": (0, 0),
}
"""What a night has to show of the largest size: from, to."""


def measured(devices: int) -> dict[str, Any]:
    """Raises CalledProcessError when the simulation failed; it has said why."""
    command = [sys.executable, "-m", "sono_models.command", "fleet", "simulate", "--devices", str(devices)]
    command += ["--alerts", f"{devices * REPORTS_A_DEVICE:g}", "--spread", str(SPREAD_S)]
    command += ["--deadline", str(DEADLINE_S), "--longest", str(LONGEST_S), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603  (our own command)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(out: Path, sizes: tuple[int, ...]) -> None:
    rows = []
    for size in sizes:
        rows.append(measured(size))
        sys.stdout.write(json.dumps(rows[-1]) + "\n")
        sys.stdout.flush()
        out.write_text(json.dumps(rows, indent=1) + "\n", "utf-8")


def nightly() -> int:
    """The figures, and how many of them miss their limit."""
    row = measured(SIZES[-1])
    sys.stdout.write(json.dumps(row) + "\n")
    missed = [name for name, (low, high) in LIMITS.items() if not low <= row[name] <= high]
    for name in missed:
        low, high = LIMITS[name]
        sys.stderr.write(f"{name} is {row[name]:g}: {low:g} to {high:g} wanted\n")
    return len(missed)


def draw(source: Path, out: Path) -> None:
    from sono_training.evidence.style import BLUE, ORANGE, PURPLE, figure, title  # noqa: PLC0415  (only who draws)

    rows = sorted(json.loads(source.read_text("utf-8")), key=lambda row: row["devices"])
    sizes = [row["devices"] for row in rows]
    with figure(out, (8.4, 6.2), nrows=2, ncols=2) as (_, axes):
        memory, share, commit, reports = axes
        title(memory, "Engine memory, kB a board", "grown since its start, peak; wanted: at most 4")
        memory.plot(sizes, [row["kb_per_device"] for row in rows], "o-", color=BLUE)
        memory.axhline(4, color=ORANGE, linewidth=1)
        title(share, "Processor of ingest, ms a report", "with the state and health that come beside it")
        share.plot(sizes, [row["ingest_cpu_ms"] for row in rows], "o-", color=BLUE)
        title(commit, "Sent until known to be committed, ms", "p50 and p99; wanted: p99 at most 1,000")
        commit.plot(sizes, [row["commit_p50_ms"] for row in rows], "o-", color=BLUE, label="p50")
        commit.plot(sizes, [row["commit_p99_ms"] for row in rows], "o-", color=PURPLE, label="p99")
        commit.axhline(1000, color=ORANGE, linewidth=1)
        commit.legend()
        title(reports, "Reports a second, committed", "whole run: 0.2 alerts a second a board, and two roll-outs")
        reports.plot(sizes, [row["reports_per_s"] for row in rows], "o-", color=BLUE)
        for one in (memory, share, commit, reports):
            one.set_xscale("log")
            one.set_xlabel("boards")
        for one in (memory, share):
            one.set_ylim(bottom=0)
        for one in (commit, reports):
            one.set_yscale("log")


def main(arguments: list[str]) -> int:
    match arguments:
        case ["measure", out, *sizes]:
            measure(Path(out), tuple(map(int, sizes)) or SIZES)
        case ["nightly"]:
            return nightly()
        case ["draw", source, out]:
            draw(Path(source), Path(out))
        case _:
            sys.stderr.write(__doc__ or "")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
