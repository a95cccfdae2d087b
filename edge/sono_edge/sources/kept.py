"""A kept scan as a source: its clips, in order, at the times at which they were captured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sono_edge.frames import Frame, SourceKind
from sono_edge.scan.records import CaptureRecord, ScanRecord
from sono_edge.scan.store import read_record
from sono_edge.sources.video import VideoSource
from sono_models.errors import BadSource

if TYPE_CHECKING:
    import threading


class KeptScan:
    """The clips of a scan's folder, on the device or exported to a drive.

    `captured_s` counts from the scan's beginning. Where two clips overlap each moment is shown once; between clips
    nothing was kept, and nothing is shown. Raises BadSource for a folder that holds no scan, or a scan without a clip.
    """

    kind: SourceKind = "scan"
    live = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        record = read_record(folder)
        if record is None:
            raise BadSource(f"scan {folder.name}", "there is no whole scan in this folder", "See sono scans list")
        self._clips = clips_of(record)
        if not self._clips:
            reason = "it has no clip: nothing was captured by hand, and no alert was raised"
            raise BadSource(f"scan {record.id}", reason, "Choose another: see sono scans list")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        last_s, index = float("-inf"), 0
        for capture in self._clips:
            with VideoSource(self.folder / f"{capture.id}.mp4") as clip:
                for frame in clip.frames(stop):
                    at_s = begins_s(capture) + frame.captured_s
                    if at_s > last_s:
                        yield replace(frame, index=index, captured_s=at_s)
                        last_s, index = at_s, index + 1


def clips_of(record: ScanRecord) -> tuple[CaptureRecord, ...]:
    """The captures that have a clip, the earliest first."""
    return tuple(sorted((one for one in record.captures if one.clip), key=begins_s))


def begins_s(capture: CaptureRecord) -> float:
    """When a capture's clip begins, since its scan began; one of an older scan, at its capture."""
    return capture.captured_s if capture.clip_from_s is None else capture.clip_from_s
