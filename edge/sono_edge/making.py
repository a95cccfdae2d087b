"""From a bundle to an engine that may judge frames."""

from __future__ import annotations

import secrets
from pathlib import Path

import cv2

from sono_edge.alerts import Provenance, model_used
from sono_edge.config import AgentConfig
from sono_edge.engine import Engine
from sono_edge.frames import SourceKind
from sono_edge.meter import Intervals
from sono_edge.pipeline import Pipeline
from sono_edge.site_profile import under_profile
from sono_models.bundle import Bundle
from sono_models.reader import verified_reader


class Making:
    """Makes engines for one stream and one configuration; alerts of all of them count on in one run."""

    def __init__(self, config: AgentConfig, source: SourceKind) -> None:
        self._model, self._site, self._source = config.model, config.device.site, source
        self._profile_key = config.profile_key
        self._run = secrets.token_hex(4)

    def engine_of(self, bundle: Bundle, rolled_out: Path | None = None) -> Engine:
        """With the runtime that gave the bundle's golden vectors, under the site's profile: the one that the fleet
        brought with this bundle, else model.profile. Raises Refused.
        """
        cv2.setNumThreads(1)  # a board's second core is for decoding
        chosen = self._model
        sealed = (chosen.profile, chosen.profile_key) if rolled_out is None else (str(rolled_out), self._profile_key)
        bundle, profile = under_profile(bundle, *sealed, site=self._site)
        runtime = bundle.runtime(chosen.runtime, threads=chosen.threads)
        pipeline = Pipeline(verified_reader(bundle, runtime), bundle.manifest)
        told = Provenance(self._run, self._source, model_used(bundle, runtime), profile, pipeline.interval)
        card = bundle.content("card.md").decode("utf-8", "replace")
        return Engine(pipeline, told, Intervals(told.interval), card)
