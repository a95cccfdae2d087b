"""One candidate on its way from staged to ready: its child process, its figures and where it stands.

Where only the site profile changes there is no child: the network that judges gives the score before calibration, and
what the other profile makes of it is arithmetic.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

from sono_edge.engine import Engine
from sono_edge.slots import law
from sono_edge.slots.law import Admitted, Compared, Course, Finding, Limits, Stage, Tried
from sono_edge.slots.records import Staged
from sono_edge.slots.trial import Scored, Trial, TrialOrder
from sono_edge.slots.watch import Sample, Watch
from sono_models.manifest import Manifest
from sono_models.saliency import MALIGNANT, Calibration


class Candidate:
    """`step` takes it further (of one that is ready, nothing does); `end` ends its process. Belongs to one thread."""

    def __init__(
        self,
        order: Staged,
        bundle: Path,
        trial: TrialOrder | None,
        limits: Limits,
        stop: threading.Event,
        clock: Callable[[], float],
        engine: Engine | None = None,
        own: Manifest | None = None,
    ) -> None:
        """`engine`: of the same network under another profile, ready; then no `trial` is needed. `own`: of the bundle
        that judges, without its profile, where networks are to be compared and the profile changes too.
        """
        self.order, self.bundle = order, bundle
        self.course = Course()
        self.engine = engine
        """Loaded in the agent's own process, once it is ready."""
        self._own = own
        self._limits = limits if trial else law.for_profile(limits)
        self._stop, self._clock = stop, clock
        self._trial = Trial(trial, stop) if trial else None
        self._tested: Tried | None = None
        self._since_s = 0.0
        self._shifts: list[float] = []
        self._agreed = 0

    def step(self, watch: Watch) -> None:
        if self.course.stage is Stage.STAGED:
            self._news(Admitted(same_network=self._trial is None))
            if self._trial is not None:
                self._self_test()
            self._since_s = self._clock()
        else:
            self._shadow(watch)
        watch.wants = self.course.stage is Stage.SHADOW

    def end(self) -> None:
        trial, self._trial = self._trial, None
        if trial is not None:
            trial.end()

    def evidence(self) -> dict[str, float | int | str]:
        """What was found so far, for a report."""
        found: dict[str, float | int | str] = {}
        if self._tested is not None:
            tested = self._tested
            found |= {"golden_difference": round(tested.golden, 6), "golden_allowed": tested.golden_allowed}
            found |= {"latency_ratio": round(tested.ratio, 3)}
        if self._shifts:
            seen = self._compared()
            found |= {"shadow_frames": seen.frames, "agreement": round(seen.agreement, 4)}
            found |= {"shift": round(seen.shift, 4)}
        return found

    def _self_test(self) -> None:
        assert self._trial is not None
        found = self._trial.test()
        if isinstance(found, Tried):
            self._tested = found
            self._limits = law.with_bounds(self._limits, self._trial.bounds)
        self._news(found)

    def _shadow(self, watch: Watch) -> None:
        """One live frame, scored by both; none newer, no figure."""
        sample = watch.sample()
        if sample is not None:
            scored = self._scored(sample)
            if isinstance(scored, Finding):
                self._news(scored)
                return
            running = Scored(sample.score, sample.over) if self._own is None else _under(self._own, sample)
            self._shifts.append(scored.score - running.score)
            self._agreed += scored.over == running.over
        self._news(self._compared())

    def _scored(self, sample: Sample) -> Scored | Finding:
        if self._trial is not None:
            return self._trial.score(sample.picture)
        assert self.engine is not None
        return _under(self.engine.pipeline.manifest, sample)

    def _compared(self) -> Compared:
        shift = fmean(self._shifts) if self._shifts else 0.0
        return Compared(len(self._shifts), self._agreed, shift, self._clock() - self._since_s)

    def _news(self, news: law.News) -> None:
        if not self._stop.is_set():
            self.course = law.advance(self._limits, self.course, news)


def _under(manifest: Manifest, sample: Sample) -> Scored:
    """What a manifest makes of a frame that its network has scored."""
    calibration = manifest.calibration.get(manifest.labels[MALIGNANT], Calibration())
    score = calibration.apply(sample.pooled)
    return Scored(score, score >= manifest.law.t_hi)
