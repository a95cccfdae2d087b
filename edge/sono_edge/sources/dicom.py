"""A DICOM ultrasound cine or still, read by pydicom one frame at a time."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from sono_edge.frames import Frame, SourceKind
from sono_edge.sources.images import decode_still, share_of_colours
from sono_edge.sources.luma import THUMBNAIL_PX, coloured_share
from sono_models.errors import BadConfig, BadSource

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from sono_models.inputs import Grey

log = logging.getLogger(__name__)

ULTRASOUND = ("US", "IVUS")
FPS = 30.0
"""Assumed where no attribute tells."""
PIXEL_DATA = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
"""The tag (7FE0,0010) as it stands in a file, little and big endian."""
IMAGE_CODECS = ("JPEG", "HTJ2K", "High-Throughput")
"""How the transfer syntaxes begin whose frames are complete image files, which OpenCV decodes."""
ELEMENT_BYTES = 12
"""Tag, VR, two reserved bytes and length of an explicit element with a long value (DICOM PS3.5, 7.1.2)."""
Look = tuple["Grey", float]


class DicomSource:
    """Frames of one DICOM file, timed by its own attributes; the file is never held in memory whole.

    Raises BadConfig without pydicom; BadSource for what is not DICOM, not ultrasound, or has no picture.
    Luma is Y (of RGB: ITU-R BT.601); MONOCHROME1 is turned over; more than 8 bits lose the lowest.
    """

    kind: SourceKind = "dicom"
    live = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._header: Dataset | None = None
        self._pixels_at = 0

    def __enter__(self) -> Self:
        self._header, self._pixels_at = read_header(self.path)
        return self

    def __exit__(self, *exc: object) -> None:
        self._header = None

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        assert self._header is not None, "enter the source first"
        promised = int(self._header.get("NumberOfFrames", None) or 1)
        times_s = frame_times(self._header, promised)
        looks = _looks(self.path, self._header, self._pixels_at, promised)
        index, reason = 0, ""
        while index < promised and not stop.is_set():
            try:
                found = next(looks, None)
            except _DECODE_ERRORS as error:
                reason = str(error).splitlines()[0] if str(error) else type(error).__name__
                break
            if found is None:
                break
            yield Frame(index, times_s[index], 0.0, found[0], found[1])
            index += 1
        if stop.is_set() or index == promised:
            return
        if index == 0:
            raise _bad(self.path, f"no frame in it decodes ({reason or 'its pixel data is empty'})", EXPORT)
        log.warning(
            "%s breaks off: %d of %d frames decoded%s", self.path.name, index, promised, reason and f" ({reason})"
        )


EXPORT = "Export it again from the scanner, uncompressed or as JPEG baseline"
_DECODE_ERRORS = (ValueError, RuntimeError, NotImplementedError, AttributeError, OSError, EOFError, cv2.error)
"""What pydicom and OpenCV raise for damaged pixel data and for codecs they lack."""


def read_header(path: Path) -> tuple[Dataset, int]:
    """Everything but the pixels, and where in the file their element begins.

    Raises BadConfig without pydicom, BadSource unless it holds ultrasound pictures.
    """
    try:
        import pydicom  # noqa: PLC0415  (an extra)
        from pydicom.errors import InvalidDicomError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise BadConfig("DICOM", "pydicom is not installed", "pip install 'sonoedge[dicom]'") from error
    try:
        with path.open("rb") as file:
            header = pydicom.dcmread(file, stop_before_pixels=True)
            pixels_at = file.tell()
            has_pixels = file.read(4) in PIXEL_DATA
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise _bad(path, "cannot be read as DICOM", "Copy it again from where it came") from error
    modality = str(header.get("Modality", "") or "")
    if modality not in ULTRASOUND:
        raise _bad(path, f"is not ultrasound (Modality {modality or 'is missing'})", "Name an ultrasound cine")
    missing = [word for word in ("Rows", "Columns", "PhotometricInterpretation") if word not in header]
    if missing or not has_pixels:
        raise _bad(path, f"holds no picture (lacks {', '.join(missing) or 'PixelData'})", "Name an ultrasound cine")
    if "TransferSyntaxUID" not in header.file_meta:
        raise _bad(path, "does not say how its pixels are stored (TransferSyntaxUID)", EXPORT)
    return header, pixels_at


def frame_times(header: Dataset, count: int) -> list[float]:
    """Seconds of every frame from the first on (DICOM PS3.3 C.7.6.5), by FrameTimeVector, FrameTime or a rate."""
    vector = header.get("FrameTimeVector", None)
    if vector is not None and len(vector) == count:
        return [float(value) / 1000 for value in np.cumsum(np.asarray(vector, float)) - float(vector[0])]
    interval_s = float(header.get("FrameTime", None) or 0) / 1000
    if interval_s <= 0:
        rate = header.get("CineRate", None) or header.get("RecommendedDisplayFrameRate", None) or FPS
        interval_s = 1 / float(rate)
    return [index * interval_s for index in range(count)]


def _looks(path: Path, header: Dataset, pixels_at: int, count: int) -> Iterator[Look]:
    """Every frame's grey picture and coloured share."""
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated and syntax.name.startswith(IMAGE_CODECS):
        looks = _compressed(path, header, pixels_at, count)
    else:
        looks = _raw(path, header)
    for picture, coloured in looks:
        yield (255 - picture if header.PhotometricInterpretation == "MONOCHROME1" else picture), coloured


def _compressed(path: Path, header: Dataset, pixels_at: int, count: int) -> Iterator[Look]:
    """Frames that are image files. What they are coloured in, the files themselves say."""
    from pydicom.encaps import generate_frames  # noqa: PLC0415

    with path.open("rb") as file:
        file.seek(pixels_at + ELEMENT_BYTES)
        for packed in islice(generate_frames(file, number_of_frames=count), count):
            still = decode_still(np.frombuffer(packed, np.uint8))
            if still is None:
                raise ValueError(f"{header.file_meta.TransferSyntaxUID.name} that OpenCV cannot decode")
            yield still


def _raw(path: Path, header: Dataset) -> Iterator[Look]:
    from pydicom.pixels.utils import iter_pixels  # noqa: PLC0415

    for pixels in iter_pixels(path, raw=True):
        yield _look(pixels, header)


def _look(pixels: NDArray[Any], header: Dataset) -> Look:
    """One frame's stored values (rows, columns[, 3]) as grey and coloured share."""
    photometric, bits = str(header.PhotometricInterpretation), int(header.BitsStored)
    if photometric == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut  # noqa: PLC0415

        pixels = apply_color_lut(pixels, header)
        bits = pixels.dtype.itemsize * 8
    eight = np.asarray(pixels >> (bits - 8) if bits > 8 else pixels, np.uint8)
    if eight.ndim == 2:
        return np.ascontiguousarray(eight), 0.0
    step = max(1, eight.shape[1] // THUMBNAIL_PX[0] // 2)
    small = np.ascontiguousarray(eight[::step, ::step])
    if photometric.startswith("YBR"):
        return np.ascontiguousarray(eight[..., 0]), coloured_share(small[..., 1], small[..., 2])
    grey = cv2.cvtColor(np.ascontiguousarray(eight), cv2.COLOR_RGB2GRAY)
    return np.asarray(grey, np.uint8), share_of_colours(np.ascontiguousarray(small[..., ::-1]))


def _bad(path: Path, reason: str, next_step: str) -> BadSource:
    return BadSource(str(path), reason, next_step)
