"""`sono bench alerts`: how often the alert law finds a lesion, how fast, and how often it cries wolf.

The real pipeline over scenarios (`sono_edge.bench.scenarios`) from stills without drawings of their own: a manifest's
`overlay_components` must be 0 where there is such a column, and the gates must let the still pass.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np

from sono_edge.bench import alert_laws
from sono_edge.bench.alert_figures import figures, gated_time, per_frame
from sono_edge.bench.parts import Parts
from sono_edge.bench.parts import Played as Seen
from sono_edge.bench.scenarios import FPS, SCAN_S, Played, lesion_free, lesion_free_scan, lesion_sweep, trimmed
from sono_edge.bench.timelines import Kind, Recording, Timeline, judge
from sono_edge.frames import Frame
from sono_edge.gates import Gate
from sono_edge.pipeline import Pipeline
from sono_edge.sweep import Still, write_clip
from sono_models.bundle import Bundle, read
from sono_models.errors import BadConfig
from sono_models.law import AlertLaw
from sono_models.reader import verified_reader
from sono_models.runtime import RuntimeName
from sono_models.table import Row, read_grey, read_mask

OVERLAYS = "overlay_components"
CHUNK = 6
"""So many sweeps are handed to a worker at a time."""
Told = Callable[[int], None]
"""Is told how many sweeps were played since it was last told."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """One sweep or scan to play."""

    kind: Kind
    row: Row
    seed: tuple[int, ...]
    scan_s: float = SCAN_S
    out: Path | None = None
    """Where to write the clip, without its suffix."""

    def played(self) -> Iterator[Played]:
        still = as_still(self.row)
        if self.kind == "lesion":
            return lesion_sweep(still, self.seed)
        without = lesion_free(still)
        assert without is not None, "only such stills are chosen"
        return lesion_free_scan(without, self.seed, seconds=self.scan_s)


@dataclass(frozen=True, slots=True)
class Stills:
    """What is swept, and how many of the table's rows of that kind it is."""

    lesions: list[Row]
    free: list[Row]
    counts: dict[str, int]


def as_still(row: Row) -> Still:
    masked = row.mask is not None and row.mask.is_file()
    return trimmed(Still(read_grey(row.image), row.label, read_mask(row.mask) if masked and row.mask else None))


def stills(bundle: Bundle, rows: Sequence[Row], negatives: Sequence[Row], labels: Sequence[str]) -> Stills:
    """The stills to sweep. Raises BadConfig when there are none of a kind."""
    plain = _without_drawings(bundle, rows)
    lesions = [row for row in plain if row.label in labels and _has_lesion(row)]
    free = [row for row in (*plain, *_without_drawings(bundle, negatives)) if lesion_free(as_still(row)) is not None]
    for kind, found in (("lesion", lesions), ("lesion-free", free)):
        if not found:
            raise BadConfig("--images", f"no {kind} still without drawings of its own is left", "Name more stills")
    counts = {
        "rows": len(rows) + len(negatives),
        "of_label": sum(row.label in labels for row in rows),
        "lesion_stills": len(lesions),
        "lesion_groups": len({row.group for row in lesions}),
        "free_stills": len(free),
        "free_normals": sum(row.label == "normal" for row in free),
        "free_groups": len({row.group for row in free}),
    }
    return Stills(lesions, free, counts)


def _without_drawings(bundle: Bundle, rows: Sequence[Row]) -> list[Row]:
    """By the gates' pixel rules; whether the network takes it for breast is not asked."""
    if not rows:
        return []
    pipeline = Pipeline(verified_reader(bundle, bundle.runtime("onnx")), bundle.manifest)
    return [
        row
        for row in rows
        if row.columns.get(OVERLAYS, "0") in {"", "0"}
        and pipeline.look(Frame(0, 0.0, 0.0, read_grey(row.image))).quality.gate is Gate.PASS
    ]


def _has_lesion(row: Row) -> bool:
    return row.mask is not None and row.mask.is_file() and bool(read_mask(row.mask).any())


def plan(chosen: Stills, *, sweeps: int, minutes: float, seed: int, out: Path | None = None) -> list[Sweep]:
    """So many lesion sweeps and minutes of lesion-free scans, the stills in a drawn order, again and again."""
    scans = round(np.ceil(60 * minutes / SCAN_S))
    scan_s = min(SCAN_S, 60 * minutes)
    wanted: list[tuple[Kind, list[Row], int]] = [("lesion", chosen.lesions, sweeps), ("free", chosen.free, scans)]
    found = []
    for which, (kind, rows, count) in enumerate(wanted):
        order = np.random.default_rng((seed, which)).permutation(len(rows))
        for number in range(count):
            row = rows[int(order[number % len(rows)])]
            stem = out / f"{kind}_{number:04d}" if out else None
            found.append(Sweep(kind, row, (seed, which, number), scan_s, stem))
    return found


def play(
    bundle: Path,
    runtime: RuntimeName,
    sweeps: Sequence[Sweep],
    *,
    workers: int = 1,
    parts: Parts | None = None,
    told: Told = lambda _: None,
) -> list[Seen]:
    """What the pipeline saw of each sweep, and the frames that raised an alert. Frames are not kept.

    What `parts` hold already is not played again; what is played is put there.
    """
    wanted = [sweeps[at : at + CHUNK] for at in range(0, len(sweeps), CHUNK)]
    kept = [parts.load(number) if parts else None for number in range(len(wanted))]
    told(sum(len(one) for one in kept if one is not None))
    open_ones = {number: wanted[number] for number, one in enumerate(kept) if one is None}
    for number, played in _play_each(bundle, runtime, open_ones, workers):
        if parts:
            parts.keep(number, played)
        kept[number] = played
        told(len(played))
    return [one for part in kept if part is not None for one in part]


def _play_each(
    bundle: Path, runtime: RuntimeName, wanted: Mapping[int, Sequence[Sweep]], workers: int
) -> Iterator[tuple[int, list[Seen]]]:
    """Every part as it is done, by its number."""
    if workers == 1:
        for number, part in wanted.items():
            yield number, _play_part(bundle, runtime, part)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running = {pool.submit(_play_part, bundle, runtime, part): number for number, part in wanted.items()}
        for done in as_completed(running):
            yield running[done], done.result()


def run_key(bundle: Bundle, runtime: RuntimeName, sweeps: Sequence[Sweep]) -> str:
    """A digest of all that what is seen depends on, but the code."""
    told = [(one.kind, one.row.image.name, one.row.group, one.seed, one.scan_s) for one in sweeps]
    return hashlib.sha256(repr((bundle.sha256, runtime, told)).encode()).hexdigest()


def _play_part(bundle: Path, runtime: RuntimeName, sweeps: Sequence[Sweep]) -> list[Seen]:
    cv2.setNumThreads(1)
    opened = read(bundle)
    reader = verified_reader(opened, opened.runtime(runtime))
    return [_observe(Pipeline(reader, opened.manifest), sweep) for sweep in sweeps]


def _observe(pipeline: Pipeline, sweep: Sweep) -> Seen:
    recording, raised = Recording(), []
    for played in sweep.played():
        judged = pipeline.step(played.frame)
        recording.add(judged.seen, played.box, played.cause)
        if any(event.kind == "raised" for event in judged.decision.events):
            raised.append(played.frame.index)
    if sweep.out is not None:
        _write(sweep, sweep.out)
    return recording.timeline(sweep.kind, sweep.row.group, sweep.row.label), tuple(raised)


def _write(sweep: Sweep, stem: Path) -> None:
    """STEM.mp4 (luma only: a colour box is grey in it), for which each pass has one size, and STEM.truth.jsonl."""
    with stem.with_suffix(".truth.jsonl").open("wb") as truth:

        def told() -> Iterator[Any]:
            size = None
            for played in sweep.played():
                picture = played.frame.picture
                size = size or picture.shape[::-1]
                line = {"index": played.frame.index, "captured_s": round(played.frame.captured_s, 6)}
                truth.write(msgspec.json.encode({**line, "box": played.box, "cause": played.cause}) + b"\n")
                yield picture if picture.shape[::-1] == size else np.asarray(cv2.resize(picture, size), np.uint8)

        write_clip(stem.with_suffix(".mp4"), told(), FPS)


def report(law: AlertLaw, timelines: Sequence[Timeline]) -> dict[str, Any]:
    """Every figure of one law over what was seen."""
    (outcomes,) = alert_laws.under_each([law], timelines)
    found = figures(outcomes)
    alone = per_frame(timelines, outcomes.sensitivity(outcomes.everyone()))
    return {
        **found,
        "false_alerts": outcomes.false_alerts(),
        "sweeps": sum(one.kind == "lesion" for one in timelines),
        "scans": sum(one.kind == "free" for one in timelines),
        "frames": sum(len(one) for one in timelines),
        **gated_time(timelines),
        "fp_cut": round(1 - outcomes.false_alerts() / alone[1], 4) if alone and alone[1] else None,
        "per_frame": {"threshold": alone[0], "activations": alone[1]} if alone else None,
        "law": msgspec.to_builtins(law),
        "curve": alert_laws.curve(law, timelines),
    }


def law_differs(law: AlertLaw, played: Sequence[Seen]) -> int:
    """In how many sweeps the law over what was recorded raised other alerts than it did live. Must be 0."""
    return sum(judge(law, timeline, timeline.observations()).raised != raised for timeline, raised in played)
