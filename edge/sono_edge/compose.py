"""The composition root of the agent: builds the parts, wires them, and takes them down again."""

from __future__ import annotations

import ctypes
import gc
import queue
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from sono_edge.agent import Agent, Parts
from sono_edge.alerts import Provenance, model_used
from sono_edge.capture import Capture
from sono_edge.config import AgentConfig, Model
from sono_edge.pipeline import Pipeline
from sono_edge.recorder import AlertWriter
from sono_edge.scan.sight import NoScans, Scans
from sono_edge.scene import Scene, Viewer
from sono_edge.site_profile import under_profile
from sono_edge.sources import open_source
from sono_edge.view.presses import Press
from sono_models.bundle import default_path, read
from sono_models.messages import ModelUsed
from sono_models.reader import verified_reader

if TYPE_CHECKING:
    from sono_edge.scan.writer import ScanWriter

M_MMAP_THRESHOLD = -3
"""Its number in glibc's malloc.h."""
LARGE_BYTES = 128 * 1024
"""glibc's own first limit, which it would raise to the largest block that was ever freed."""
KEPT_GAP_S = 1.5
"""What nobody kept between two clips of a scan, which may be minutes, is played as so long."""


class Nobody:
    """The viewer when the page is switched off."""

    def show(self, scene: Scene) -> None:
        pass


def _verified(chosen: Model, site: str) -> tuple[Pipeline, ModelUsed, str]:
    """The bundle, checked, with the runtime that gave its golden vectors, under the site's profile; that one's name."""
    cv2.setNumThreads(1)  # a board's second core is for decoding
    bundle, profile = under_profile(
        read(Path(chosen.bundle) if chosen.bundle else default_path()), chosen.profile, chosen.profile_key, site=site
    )
    runtime = bundle.runtime(chosen.runtime, threads=chosen.threads)
    return Pipeline(verified_reader(bundle, runtime), bundle.manifest), model_used(bundle, runtime), profile


def _scan_writer(config: AgentConfig, pipeline: Pipeline, told: Provenance) -> ScanWriter:
    from sono_edge.scan.store import Store  # noqa: PLC0415  (start-up that an agent without scans saves)
    from sono_edge.scan.summary import System  # noqa: PLC0415
    from sono_edge.scan.writer import Means, ScanWriter  # noqa: PLC0415

    heads = pipeline.manifest.heads
    system = System(told.shown, heads.sweep if heads else None, told.interval)
    store = Store(config.state.scans, config.scan.quota_mb)
    return ScanWriter(Means(store, pipeline.reader.spec, system, config.scan.preroll_s))


def _map_large_blocks() -> None:
    """What is large is mapped by itself and leaves when it is freed, also after larger blocks were: 5 MB, measured."""
    with suppress(OSError, AttributeError):  # a libc without it (musl) keeps the memory
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)


def _settle() -> None:
    """What start-up made stays for life: keep the collector from walking it again in the middle of a frame.

    And hand what loading the model freed back to the system: 4 to 6 MB of the agent, measured.
    """
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):  # a libc without it (musl) keeps the memory
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def running(config: AgentConfig, *, loop: bool = False) -> Iterator[Agent]:
    """The agent, verified and ready; everything is closed when the block ends. Raises SonoError."""
    _map_large_blocks()
    source = open_source(config.source.uri)
    pipeline, model, profile = _verified(config.model, config.device.site)
    told = Provenance(secrets.token_hex(4), source.kind, model, profile, pipeline.interval)
    with ExitStack() as stack:
        viewer: Viewer = Nobody()
        scans: Scans = NoScans()
        shelf: ScanWriter | None = None
        kept = source.kind == "scan"
        if config.scan.enabled and not kept:  # who practises on a scan makes no new one
            scans = shelf = stack.enter_context(_scan_writer(config, pipeline, told))
        commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
        url = ""
        if config.view.enabled:
            from sono_edge.view.server import View  # noqa: PLC0415  (0.1 s that a board without a page saves)

            view = stack.enter_context(View(config.view.host, config.view.port, config.view.token or None, scans=shelf))
            viewer, commands, url = view, view.commands, view.url
        writer = stack.enter_context(AlertWriter(config.state.outbox, config.device.site, config.device.id))
        capture = stack.enter_context(Capture(source, loop=loop, longest_wait_s=KEPT_GAP_S if kept else inf))
        parts = Parts(capture, pipeline, writer, viewer, commands, told, url, scans)
        _settle()
        yield Agent(parts)
