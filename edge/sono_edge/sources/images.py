"""Still pictures one after the other: a folder, a table, or one picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import cv2
import numpy as np

from sono_edge.frames import Frame, SourceKind
from sono_edge.sources.luma import coloured_share
from sono_models.errors import BadSource
from sono_models.table import read_table

if TYPE_CHECKING:
    import threading

    from sono_models.inputs import Grey

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})
FPS = 30.0


class ImageSource:
    """Pictures in a given order, 1/30 s apart. Raises BadSource at the first that cannot be read."""

    kind: SourceKind = "images"
    live = False

    def __init__(self, paths: Sequence[Path], *, fps: float = FPS) -> None:
        self.paths = tuple(paths)
        self._fps = fps

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def frames(self, stop: threading.Event) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            if stop.is_set():
                return
            picture, coloured = read_still(path)
            yield Frame(index, index / self._fps, 0.0, picture, coloured, path.name)


def folder_source(folder: Path) -> ImageSource:
    """The pictures of a folder, by name; its own folders are not looked into. Raises BadSource for none."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        kinds = ", ".join(sorted(suffix.removeprefix(".") for suffix in SUFFIXES))
        raise BadSource(str(folder), "there is no picture in this folder", f"Name one that holds {kinds} files")
    return ImageSource(paths)


def table_source(table: Path) -> ImageSource:
    """The pictures of a manifest, in its order. Raises BadManifest for a table that cannot be read."""
    return ImageSource([row.image for row in read_table(table)])


def read_still(path: Path) -> tuple[Grey, float]:
    """An image file as grey (height, width), as training reads it, and its coloured share. Raises BadSource."""
    try:
        packed = np.fromfile(path, np.uint8)
    except OSError as error:
        raise BadSource(str(path), f"cannot be read ({error.strerror})", "Check the file and the table") from error
    still = decode_still(packed)
    if still is None:
        raise BadSource(str(path), "is empty or not an image", "Copy it again, or take it out of the folder or table")
    return still


def decode_still(packed: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> tuple[Grey, float] | None:
    """An image file's bytes as grey and coloured share; None when they are no image."""
    if packed.size == 0:
        return None
    picture = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    if picture is None:
        return None
    small = cv2.imdecode(packed, cv2.IMREAD_REDUCED_COLOR_4)
    if small is None:  # Lossless JPEG knows no smaller size, and a grey one no colours.
        small = cv2.imdecode(packed, cv2.IMREAD_UNCHANGED)
    coloured = small is not None and small.ndim == 3
    return np.asarray(picture, np.uint8), share_of_colours(np.asarray(small, np.uint8)) if coloured else 0.0


def share_of_colours(blue_green_red: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> float:
    """The coloured share of a picture (height, width, 3), blue first."""
    chroma = cv2.cvtColor(blue_green_red, cv2.COLOR_BGR2YCrCb)
    return coloured_share(np.asarray(chroma[..., 1], np.uint8), np.asarray(chroma[..., 2], np.uint8))
