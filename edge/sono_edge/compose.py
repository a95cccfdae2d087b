"""The composition root of the agent: builds the parts, wires them, and takes them down again."""

from __future__ import annotations

import ctypes
import gc
import queue
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from sono_edge.agent import Agent, Parts
from sono_edge.capture import Capture
from sono_edge.config import AgentConfig
from sono_edge.drift import Counter, NoDrift
from sono_edge.engine import Engine
from sono_edge.making import Making
from sono_edge.recorder import AlertWriter
from sono_edge.scan.sight import NoScans, Scans
from sono_edge.scene import Scene
from sono_edge.slots.means import Around
from sono_edge.slots.reports import Reports
from sono_edge.slots.wiring import start
from sono_edge.sources import open_source
from sono_edge.view.presses import Press
from sono_edge.watchdog import notifier

if TYPE_CHECKING:
    from sono_edge.scan.exporter import Exporter
    from sono_edge.scan.summary import System
    from sono_edge.scan.writer import ScanWriter
    from sono_edge.view.server import View

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


def _scan_writer(config: AgentConfig, engine: Engine, writer: AlertWriter) -> ScanWriter:
    from sono_edge.scan.store import Store  # noqa: PLC0415  (start-up that an agent without scans saves)
    from sono_edge.scan.writer import Means, ScanWriter  # noqa: PLC0415

    store = Store(config.state.scans, config.scan.quota_mb)
    kept = config.scan
    spec, system = engine.pipeline.reader.spec, _system(engine)
    return ScanWriter(Means(store, spec, system, kept.preroll_s, keep_days=kept.keep_days, acknowledged=writer.put))


def _scans(config: AgentConfig, stack: ExitStack, engine: Engine, writer: AlertWriter) -> tuple[ScanWriter, Exporter]:
    from sono_edge.scan.exporter import Exporter  # noqa: PLC0415  (start-up that an agent without scans saves)

    exporter = stack.enter_context(Exporter(Path(config.state.folder), config.scan.export_folder))
    return stack.enter_context(_scan_writer(config, engine, writer)), exporter


def _view(config: AgentConfig, engine: Engine, shelf: ScanWriter | None, drive: Exporter | None) -> View:
    from sono_edge.view.server import View  # noqa: PLC0415  (0.1 s that a board without a page saves)

    where = (config.view.host, config.view.port, config.view.token or None)
    return View(*where, scans=shelf, drive=drive, card=engine.card)


def _system(engine: Engine) -> System:
    from sono_edge.scan.summary import System  # noqa: PLC0415  (as above)

    heads = engine.pipeline.manifest.heads
    return System(engine.told.shown, heads.sweep if heads else None, engine.told.interval)


def _around(reports: Reports, shelf: ScanWriter | None, view: View | None) -> Around:
    """Who is told when another bundle judges: the scans, and the page for its model card."""

    def changed(engine: Engine) -> None:
        if shelf is not None:
            shelf.judged_by(engine.pipeline.reader.spec, _system(engine))
        if view is not None:
            view.card = engine.card

    return Around(reports, changed, lambda: shelf is not None and shelf.running, _trim)


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
        scans: Scans = NoScans()
        shelf: ScanWriter | None = None
        drive: Exporter | None = None
        kept = source.kind == "scan"
        writer = stack.enter_context(AlertWriter(config.state.outbox, config.device.site, config.device.id))
        if config.scan.enabled and not kept:  # who practises on a scan makes no new one
            shelf, drive = _scans(config, stack, engine, writer)
            scans = shelf
        view = stack.enter_context(_view(config, engine, shelf, drive)) if config.view.enabled else None
        commands: queue.SimpleQueue[Press] = view.commands if view else queue.SimpleQueue()
        capture = stack.enter_context(Capture(source, loop=loop, longest_wait_s=KEPT_GAP_S if kept else inf))
        updates = stack.enter_context(begun.beside(_around(writer, shelf, view)))
        notify = notifier()
        parts = Parts(
            capture,
            engine.pipeline,
            writer,
            view or Nobody(),
            commands,
            engine.told,
            view.url if view else "",
            scans,
            updates,
            lambda: notify("WATCHDOG=1"),
            drift=NoDrift() if kept else Counter(writer, engine.told, writer.kept_drift),
        )
        agent = Agent(parts)
        del parts, engine, begun  # who holds the first engine keeps its memory after a swap
        _settle()
        notify("READY=1")
        yield agent
