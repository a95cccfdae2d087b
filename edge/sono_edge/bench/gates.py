"""`sono bench gates`: does each gate hold what it must, and nothing else? Real stills and clips, and made frames.

What the truth can say. Made frames: what was put there, as strong as `sono_edge.bench.gated` draws it. Real ones:
a table's `overlay_components` counts bright shapes over the picture, 3 or more being read as calipers or text over
tissue and 0 as none; it also counts some bright specks, logos and depth marks beside the tissue, and misses some
faint drawings. A table without that column says nothing of calipers: its stills take no part in that figure, and the
other gates are judged on them with the calipers' turned off, so that drawings of their own hide nothing.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.random import Generator

from sono_edge.bench import gated
from sono_edge.bench.gated_alerts import alerts_while_gated
from sono_edge.frames import Frame
from sono_edge.gates import Gate, Quality
from sono_edge.pipeline import Looked, Pipeline
from sono_edge.sources import open_source
from sono_edge.sources.images import decode_still
from sono_edge.sweep import Still, sweep_over
from sono_models.bundle import Bundle
from sono_models.inputs import Grey
from sono_models.reader import verified_reader
from sono_models.resampling import interval
from sono_models.runtime import RuntimeName
from sono_models.table import Row, read_grey, read_mask

OVERLAYS = "overlay_components"
SURE = 3
"""So many overlay components are calipers or text."""
CLIP_FRAMES = 3
"""So many frames of a clip are looked at, from its begin, middle and end."""
FREEZES = 12
"""So many stills are swept and frozen."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One frame, its truth and what the gates made of it."""

    kind: str
    group: str
    real: bool
    plain: bool
    """It is known that the still has no drawings of its own."""
    gate: Gate
    reason: str


@dataclass(frozen=True, slots=True)
class Rule:
    """Which kinds of frame a gate must hold, and how one sees that it does."""

    kinds: frozenset[str]
    holds: Callable[[Seen], bool]


def _is(gate: Gate) -> Callable[[Seen], bool]:
    return lambda seen: seen.gate is gate


THIRDS = frozenset(f"no-contact {where}" for where in (*gated.THIRDS, "whole"))
RULES = {
    "no_contact": Rule(THIRDS, lambda seen: seen.reason.startswith("no contact")),
    "doppler": Rule(frozenset({"colour", "power"}), _is(Gate.DOPPLER)),
    "low_quality": Rule(frozenset({"dim", "glaring", "blurred"}), _is(Gate.LOW_QUALITY)),
    "dual": Rule(frozenset({"side by side", "stacked"}), _is(Gate.DUAL)),
    "calipers": Rule(frozenset({"measured", "labelled", "overlays"}), _is(Gate.CALIPERS)),
}


def run(
    bundle: Bundle,
    runtime: RuntimeName,
    rows: Sequence[Row],
    *,
    cine: Path | None = None,
    lung: Path | None = None,
    seed: int = 7,
) -> dict[str, Any]:
    """The figures of every gate; `rows` are stills, `cine` a folder of clips, `lung` a table of clips."""
    reader = verified_reader(bundle, bundle.runtime(runtime))
    pipeline = Pipeline(reader, bundle.manifest)
    manifest = msgspec.structs.replace(bundle.manifest, gates=msgspec.structs.replace(bundle.manifest.gates, strokes=0))
    seen = list(_stills(pipeline, Pipeline(reader, manifest), rows, seed))
    frozen = list(_freezes(bundle, runtime, rows, seed))
    others = list(_others(pipeline, cine, lung, seed))
    figures: dict[str, Any] = {name: summary(name, seen) for name in RULES}
    figures["no_contact"]["thirds_right"] = _thirds_right(seen)
    figures["frozen"] = _scored(
        [truth for _, truth, _ in frozen], [held for *_, held in frozen], [g for g, *_ in frozen]
    )
    clean = [one for one in seen if one.kind == "clean"]
    figures["not_breast"] = _not_breast(pipeline, clean, others)
    return {
        "gates": figures,
        "kinds": _by_kind([*seen, *others]),
        "clean": _clean(clean),
        **alerts_while_gated(bundle, runtime, rows, seed=seed),
        "stills": len(rows),
        "seed": seed,
        "runtime": runtime,
    }


def _stills(whole: Pipeline, blind: Pipeline, rows: Sequence[Row], seed: int) -> Iterator[Seen]:
    """`blind` does not look for calipers."""
    pictures = [read_grey(row.image) for row in rows]
    for number, row in enumerate(rows):
        drawn = _drawn(row)
        if drawn is not None and 0 < drawn < SURE:
            continue  # it may have some: it can be neither right nor wrong
        picture, other = pictures[number], pictures[(7 * number + 1) % len(rows)]
        if drawn:
            yield _see(whole, "overlays", row.group, picture, real=True, plain=False)
            continue
        plain = drawn == 0
        if not plain:
            yield _see(whole, "unknown", row.group, picture, real=True, plain=False)
        pipeline = whole if plain else blind
        yield _see(pipeline, "clean", row.group, picture, real=True, plain=plain)
        for kind, made in made_frames(picture, other, np.random.default_rng((seed, number))):
            yield _see(pipeline, kind, row.group, made, real=False, plain=plain)


def made_frames(picture: Grey, other: Grey, rng: Generator) -> Iterator[tuple[str, gated.Colour]]:
    """Of every kind one frame that must be held, or must name the third without contact."""
    for where in (*gated.THIRDS, "whole"):
        yield f"no-contact {where}", gated.lifted(picture, where, rng)
    yield "dim", gated.dim(picture, rng)
    yield "glaring", gated.glaring(picture, rng)
    yield "blurred", gated.blurred(picture, rng)
    yield "colour", gated.flowing(picture, rng)
    yield "power", gated.powered(picture, rng)
    yield "side by side", gated.paired(picture, other, rng, stacked=False)
    yield "stacked", gated.paired(picture, other, rng, stacked=True)
    yield "measured", gated.measured(picture, rng)
    yield "labelled", gated.labelled(picture, rng)


def _drawn(row: Row) -> int | None:
    return int(row.columns[OVERLAYS]) if row.columns.get(OVERLAYS, "").isdigit() else None


def as_frame(picture: gated.Colour, index: int = 0, at_s: float = 0.0) -> Frame:
    """A grey picture as it is; one in colour by way of JPEG and our decoder, as a camera's comes."""
    if picture.ndim == 2:
        return Frame(index, at_s, 0.0, picture)
    still = decode_still(np.asarray(cv2.imencode(".jpg", picture)[1], np.uint8))
    assert still is not None, "OpenCV reads what it wrote"
    return Frame(index, at_s, 0.0, *still)


def _see(pipeline: Pipeline, kind: str, group: str, picture: gated.Colour, *, real: bool, plain: bool) -> Seen:
    quality = _judge(pipeline, as_frame(picture))
    return Seen(kind, group, real, plain, quality.gate, quality.reason)


def _judge(pipeline: Pipeline, frame: Frame) -> Quality:
    """The whole pipeline where the organ is told by the network; else only what comes before it."""
    return pipeline.look(frame).quality if pipeline.not_breast is None else pipeline.step(frame).quality


def _freezes(bundle: Bundle, runtime: RuntimeName, rows: Sequence[Row], seed: int) -> Iterator[tuple[str, bool, bool]]:
    """(group, truth, found) of frames: a simulated sweep, then its last picture for a second with a grabber's noise."""
    pipeline = Pipeline(verified_reader(bundle, bundle.runtime(runtime)), bundle.manifest)
    hold_s = bundle.manifest.gates.frozen_s
    rng = np.random.default_rng((seed, 1))
    for number in rng.permutation(len(rows))[:FREEZES]:
        row = rows[int(number)]
        still = Still(read_grey(row.image), row.label, read_mask(row.mask) if row.mask else None)
        swept = list(islice(sweep_over(still, seed=(seed, int(number))), 45))
        for frame in swept:
            yield row.group, False, _look(pipeline, frame.picture, frame.captured_s).frozen
        for index in range(30):
            grain = rng.normal(0, 1.5, swept[-1].picture.shape)
            picture = np.clip(swept[-1].picture + grain, 0, 255).astype(np.uint8)
            at_s = (index + 1) / 30
            frozen = _look(pipeline, picture, swept[-1].captured_s + at_s).frozen
            if abs(at_s - hold_s) > 1.5 / 30:
                yield row.group, at_s > hold_s, frozen


def _look(pipeline: Pipeline, picture: Grey, at_s: float) -> Looked:
    return pipeline.look(Frame(0, at_s, 0.0, picture))


def _others(pipeline: Pipeline, cine: Path | None, lung: Path | None, seed: int) -> Iterator[Seen]:
    """What is no breast: clips of other organs, cards, menus, black screens."""
    clips = (
        [("cine", path.stem, path) for path in sorted(cine.iterdir()) if path.suffix in {".mp4", ".mov"}]
        if cine
        else []
    )
    clips += [("lung", row["patient"], Path(row["clip"])) for row in (_lung_rows(lung) if lung else [])]
    clips += [("cardiac", path.name, path) for path in _cardiac()]
    for kind, group, path in clips:
        for frame in _frames_of(path):
            quality = _judge(pipeline, frame)
            yield Seen(kind, f"{kind} {group}", True, False, quality.gate, quality.reason)
    rng = np.random.default_rng((seed, 2))
    for kind, draw in gated.SCREENS.items():
        for number in range(10):
            yield _see(pipeline, kind, f"{kind} {number}", draw(rng), real=False, plain=False)


def _lung_rows(table: Path) -> list[dict[str, str]]:
    """The patients whose sha256 is odd: the even ones were for choosing."""
    import csv  # noqa: PLC0415

    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    odd = [row for row in rows if hashlib.sha256(row["patient"].encode()).digest()[-1] % 2]
    return [{**row, "clip": str(table.parent / row["clip"])} for row in odd]


def _cardiac() -> list[Path]:
    try:
        from pydicom.data import get_testdata_file  # noqa: PLC0415
    except ImportError:
        return []
    names = ("examples_ybr_color.dcm", "color3d_jpeg_baseline.dcm")
    found = [get_testdata_file(name, download=False) for name in names]
    return [Path(str(path)) for path in found if path]


def _frames_of(path: Path) -> list[Frame]:
    stop = threading.Event()
    with open_source(str(path)) as source:
        frames = list(islice(source.frames(stop), 60))
    return [frames[place * (len(frames) - 1) // (CLIP_FRAMES - 1)] for place in range(CLIP_FRAMES)] if frames else []


def summary(name: str, seen: Sequence[Seen]) -> dict[str, Any]:
    """F1, precision and recall of one of RULES over all frames whose truth is known for it."""
    rule = RULES[name]
    judged = [one for one in seen if one.kind in rule.kinds or one.kind not in {"overlays", "unknown"}]
    if name == "calipers":
        judged = [one for one in judged if one.plain or one.kind == "overlays"]
    truth = [one.kind in rule.kinds for one in judged]
    if not any(truth):
        return {"status": f"no truth: the table has no column {OVERLAYS}"}
    found = _scored(truth, [rule.holds(one) for one in judged], [one.group for one in judged])
    positives = [one for one in judged if one.kind in rule.kinds]
    return {**found, "n_real": sum(one.real for one in positives), "n_made": sum(not one.real for one in positives)}


def _scored(truth: Sequence[bool], held: Sequence[bool], groups: Sequence[str]) -> dict[str, Any]:
    is_so, said = np.asarray(truth, np.bool_), np.asarray(held, np.bool_)
    hits, alarms, misses = int((is_so & said).sum()), int((~is_so & said).sum()), int((is_so & ~said).sum())

    def f1(index: np.ndarray[Any, Any]) -> float:
        there, told = is_so[index], said[index]
        return float(2 * (there & told).sum() / max(1, there.sum() + told.sum()))

    return {
        "f1": {name: round(value, 4) for name, value in interval(f1, is_so, list(groups)).items()},
        "precision": round(hits / max(1, hits + alarms), 4),
        "recall": round(hits / max(1, hits + misses), 4),
        "n": len(is_so),
        "false": alarms,
        "missed": misses,
    }


def _thirds_right(seen: Sequence[Seen]) -> float:
    """The share of the frames without contact whose reason names exactly what is off."""
    off = [one for one in seen if one.kind in THIRDS]
    right = sum(
        one.reason.removeprefix("no contact: ").split()[0:1] == one.kind.split()[1:] and " and " not in one.reason
        for one in off
    )
    return round(right / max(1, len(off)), 4)


def _not_breast(pipeline: Pipeline, clean: Sequence[Seen], others: Sequence[Seen]) -> dict[str, Any]:
    withheld = round(sum(one.gate is not Gate.PASS for one in others) / max(1, len(others)), 4)
    told = {"n_real": sum(one.real for one in others), "withheld_by_any": withheld}
    if pipeline.not_breast is None:
        return {"status": "not yet: the bundle has no head for its organ", **told}
    judged = [one for one in (*clean, *others) if one.gate in (Gate.PASS, Gate.NOT_BREAST)]
    truth = [one not in clean for one in judged]
    return {**_scored(truth, [one.gate is Gate.NOT_BREAST for one in judged], [one.group for one in judged]), **told}


def _clean(clean: Sequence[Seen]) -> dict[str, Any]:
    """How many clean stills a gate held, and how many passed with a third named that touches."""
    false = Counter(one.gate.value for one in clean if one.gate is not Gate.PASS)
    named = sum(one.gate is Gate.PASS and one.reason != "" for one in clean)
    return {
        "n": len(clean),
        "false_gate_share": round(sum(false.values()) / max(1, len(clean)), 4),
        "false": dict(false),
        "false_reason_share": round(named / max(1, len(clean)), 4),
    }


def _by_kind(seen: Sequence[Seen]) -> dict[str, dict[str, int]]:
    kinds: dict[str, Counter[str]] = {}
    for one in seen:
        kinds.setdefault(one.kind, Counter())[one.gate.value] += 1
    return {kind: dict(counts.most_common()) for kind, counts in kinds.items()}
