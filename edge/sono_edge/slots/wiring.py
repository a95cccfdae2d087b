"""What the composition root needs of the slots: the engine of the start, and the thread beside the loop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from sono_edge.config import AgentConfig, Trial
from sono_edge.engine import Engine, NoUpdates, Updates
from sono_edge.slots.boot import Load, boot
from sono_edge.slots.folder import Slots
from sono_edge.slots.law import Limits
from sono_edge.slots.means import Around, Means
from sono_edge.slots.trial import TrialOrder
from sono_edge.slots.updates import BesideLoop
from sono_models.bundle import default_path, read
from sono_models.errors import BadBundle

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Start:
    """What a start took, and the maker of what stands beside the loop."""

    engine: Engine
    beside: Callable[[Around], AbstractContextManager[Updates]]


def start(config: AgentConfig, engine_of: Load[Engine]) -> Start:
    """Raises Refused where not even the bundle that ships is fit."""
    shipped = shipped_path(config)
    folder = config.slots
    if folder is None or _of_another_model(Slots(folder), config):
        return Start(engine_of(read(shipped), None), lambda _: NoUpdates())
    slots = Slots(folder)
    booted = boot(slots, engine_of, shipped)
    means = Means(
        slots,
        limits_of(config.trial),
        engine_of,
        shipped,
        trial_of(config),
        config.trial.shadow_per_s,
        config.trial.quiet_s,
        profile_key=config.profile_key,
    )
    return Start(booted.loaded, lambda around: BesideLoop(means, booted, around))


def shipped_path(config: AgentConfig) -> Path:
    return Path(config.model.bundle) if config.model.bundle else default_path()


def _of_another_model(slots: Slots, config: AgentConfig) -> bool:
    """A board that was told another model keeps the slots of the one before, and does not use them."""
    current = slots.current()
    if current is None or not config.model.bundle:
        return False
    try:
        name = read(Path(config.model.bundle)).manifest.name
    except BadBundle:
        return False
    if name != current.name:
        log.warning("slots: they hold %s, model.bundle says %s: not used", current.name, name)
    return name != current.name


def limits_of(trial: Trial) -> Limits:
    return Limits(
        latency_ratio=trial.latency_ratio_max,
        agreement=trial.shadow_agreement,
        shift=trial.shadow_shift,
        shadow_frames=trial.shadow_frames,
        shadow_wait_s=trial.shadow_wait_s,
        probation_s=trial.probation_s,
        probation_frames=trial.probation_frames,
        probation_ratio=trial.probation_latency_ratio_max,
        hang_s=trial.hang_s,
    )


def trial_of(config: AgentConfig) -> TrialOrder:
    """Of any candidate: its own files and version are filled in for each."""
    chosen = config.model
    site = config.device.site
    return TrialOrder("", "", "", "", chosen.runtime, chosen.threads, chosen.profile, chosen.profile_key, site)
