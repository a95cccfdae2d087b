"""The child of trial.py: `python -m sono_edge.slots.trial_child ORDER`. Frames in, a JSON line out for each."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import cv2
import msgspec
import numpy as np

from sono_edge.site_profile import under_profile
from sono_edge.slots.trial import Against, Scored, SelfTest, TrialOrder
from sono_models import __version__
from sono_models.bundle import Bundle, read
from sono_models.errors import BadConfig, BadProfile, Refused
from sono_models.inputs import Grey
from sono_models.reader import Reader, golden_difference
from sono_models.runtime import Runtime

WARM_UP, ROUNDS = 3, 3
SIDE_MOST = 10_000


class Unfit(Exception):
    """What stands against the candidate before anything of it is run."""

    def __init__(self, code: str, reason: str, *, lasting: bool) -> None:
        super().__init__(reason)
        self.against = Against(code, reason, lasting)


def main(argument: str, frames: IO[bytes], say: Callable[[msgspec.Struct], None]) -> None:
    order = msgspec.json.decode(argument, type=TrialOrder)
    cv2.setNumThreads(1)
    try:
        bundle = admitted(order)
        runtime = _opened(bundle, order)
    except Unfit as unfit:
        say(unfit.against)
        return
    say(self_test(bundle, runtime, order))
    manifest = read(Path(order.candidate)).manifest if order.bare else bundle.manifest
    reader, threshold = Reader(manifest, runtime), manifest.law.t_hi
    while (picture := _next(frames)) is not None:
        score = reader.read(picture).malignant
        say(Scored(score, score >= threshold))


def admitted(order: TrialOrder) -> Bundle:
    """The candidate under the site's profile. Raises Unfit where it is not for this board."""
    try:
        bundle = read(Path(order.candidate))
    except Refused as damage:
        raise Unfit("damaged", damage.reason, lasting=False) from damage
    manifest = bundle.manifest
    if manifest.name != order.name:
        raise Unfit("other-model", f"it is {manifest.name}, this board runs {order.name}", lasting=False)
    if manifest.version != order.version:
        raise Unfit("other-version", f"announced as {order.version}, it is {manifest.version}", lasting=True)
    if _parts(manifest.min_agent) > _parts(__version__):
        raise Unfit("agent", f"it needs agent {manifest.min_agent}, this is {__version__}", lasting=False)
    try:
        return under_profile(bundle, order.profile, order.profile_key, site=order.site)[0]
    except (BadProfile, BadConfig) as unfit:
        reason = f"the site profile in force does not go with it: {unfit.reason}"
        raise Unfit("profile", reason, lasting=False) from unfit


def self_test(bundle: Bundle, runtime: Runtime, order: TrialOrder) -> SelfTest:
    """Times are CPU time of this process, so that another one's load does not count; the two take turns."""
    current = read(Path(order.current))
    theirs = _runtime(current, order)
    golden = golden_difference(bundle, runtime)
    pairs = [(runtime, bundle.golden().frames), (theirs, current.golden().frames)]
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(WARM_UP + ROUNDS * len(pairs[0][1])):
        for (one, frames), times in zip(pairs, took, strict=True):
            at = time.process_time()
            one.run(frames[number % len(frames)])
            if number >= WARM_UP:
                times.append((time.process_time() - at) * 1e3)
    candidate_ms, current_ms = (statistics.median(times) for times in took)
    allowed = bundle.manifest.golden_tolerance[runtime.name]
    envelope = bundle.manifest.envelope
    missed = tuple(bound.metric for bound in envelope if not bound.met())
    return SelfTest(golden, allowed, candidate_ms, current_ms, missed, envelope)


def _opened(bundle: Bundle, order: TrialOrder) -> Runtime:
    try:
        return _runtime(bundle, order)
    except Refused as refusal:
        raise Unfit("runtime", refusal.reason, lasting=True) from refusal


def _runtime(bundle: Bundle, order: TrialOrder) -> Runtime:
    return bundle.runtime("litert" if order.runtime == "litert" else "onnx", threads=order.threads)


def _next(frames: IO[bytes]) -> Grey | None:
    head = frames.read(8)
    if len(head) < 8:
        return None
    height, width = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
    if not (0 < height <= SIDE_MOST and 0 < width <= SIDE_MOST):
        return None
    data = frames.read(height * width)
    if len(data) < height * width:
        return None
    return np.frombuffer(data, np.uint8).reshape(height, width)


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _say(answer: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.stdin.buffer, _say)
