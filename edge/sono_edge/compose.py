"""The composition root of the agent: builds the parts, wires them, and takes them down again."""

from __future__ import annotations

import ctypes
import gc
import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from sono_edge.agent import Agent, Parts
from sono_edge.capture import Capture
from sono_edge.config import AgentConfig
from sono_edge.engine import Engine
from sono_edge.making import Making
from sono_edge.recorder import AlertWriter
from sono_edge.scan.sight import NoScans, Scans
from sono_edge.scene import Scene, Viewer
from sono_edge.slots.means import Around
from sono_edge.slots.wiring import start
from sono_edge.sources import open_source
from sono_edge.view.presses import Press
from sono_edge.watchdog import notifier

if TYPE_CHECKING:
    from sono_edge.scan.summary import System
    from sono_edge.scan.writer import ScanWriter

M_MMAP_THRESHOLD = -3
"""Its number in glibc's malloc.h."""
LARGE_BYTES = 128 * 1024
"""glibc's own first limit, which it would raise to the largest block that was ever freed."""


class Nobody:
    """The viewer when the page is switched off."""

    def show(self, scene: Scene) -> None:
        pass


def _scan_writer(config: AgentConfig, engine: Engine) -> ScanWriter:
    from sono_edge.scan.store import Store  # noqa: PLC0415  (start-up that an agent without scans saves)
    from sono_edge.scan.writer import Means, ScanWriter  # noqa: PLC0415

    store = Store(config.state.scans, config.scan.quota_mb)
    return ScanWriter(Means(store, engine.pipeline.reader.spec, _system(engine), config.scan.preroll_s))


def _system(engine: Engine) -> System:
    from sono_edge.scan.summary import System  # noqa: PLC0415  (as above)

    heads = engine.pipeline.manifest.heads
    return System(engine.told.shown, heads.sweep if heads else None, engine.told.interval)


def _around(shelf: ScanWriter | None) -> Around:
    if shelf is None:
        return Around(tidy=_trim)
    scans = shelf

    def changed(engine: Engine) -> None:
        scans.judged_by(engine.pipeline.reader.spec, _system(engine))

    return Around(changed=changed, scan_runs=lambda: scans.running, tidy=_trim)


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
    _trim()


def _trim() -> None:
    """What was freed goes back to the system."""
    with suppress(OSError, AttributeError):  # a libc without it (musl) keeps the memory
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def running(config: AgentConfig, *, loop: bool = False) -> Iterator[Agent]:
    """The agent, verified and ready; everything is closed when the block ends. Raises SonoError."""
    _map_large_blocks()
    source = open_source(config.source.uri)
    begun = start(config, Making(config, source.kind).engine_of)
    engine = begun.engine
    with ExitStack() as stack:
        viewer: Viewer = Nobody()
        scans: Scans = NoScans()
        shelf: ScanWriter | None = None
        if config.scan.enabled:
            scans = shelf = stack.enter_context(_scan_writer(config, engine))
        commands: queue.SimpleQueue[Press] = queue.SimpleQueue()
        url = ""
        if config.view.enabled:
            from sono_edge.view.server import View  # noqa: PLC0415  (0.1 s that a board without a page saves)

            view = stack.enter_context(View(config.view.host, config.view.port, config.view.token or None, scans=shelf))
            viewer, commands, url = view, view.commands, view.url
        writer = stack.enter_context(AlertWriter(config.state.outbox, config.device.site, config.device.id))
        capture = stack.enter_context(Capture(source, loop=loop))
        updates = stack.enter_context(begun.beside(_around(shelf)))
        notify = notifier()
        parts = Parts(
            capture,
            engine.pipeline,
            writer,
            viewer,
            commands,
            engine.told,
            url,
            scans,
            updates,
            lambda: notify("WATCHDOG=1"),
        )
        agent = Agent(parts)
        del parts, engine, begun  # who holds the first engine keeps its memory after a swap
        _settle()
        notify("READY=1")
        yield agent
