"""The reader: a picture in, two calibrated scores and a place out. The device, evaluation and comparison share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sono_models.errors import BadBundle
from sono_models.inputs import Box, Grey, Placement, letterbox
from sono_models.saliency import BENIGN, MALIGNANT, Calibration, frame_scores, outline, point, sigmoid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from sono_models.bundle import Bundle
    from sono_models.manifest import Manifest
    from sono_models.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Reading:
    """One picture as the model sees it. Scores are calibrated, 0 to 1; the box is where it points."""

    benign: float
    malignant: float
    box: Box
    saliency: NDArray[np.float32]
    """(findings, rows, columns), probabilities, in the model's input."""
    lesion: NDArray[np.float32] | None = None
    """(rows, columns), probabilities that a lesion of whichever finding is there; None for a network without."""
    embedding: NDArray[np.float32] | None = None
    """The features' mean over the picture, (channels,)."""
    pooled: float = 0.0
    """The malignant score before calibration."""


class Reader:
    """Letterbox, one pass of the network, pooling, calibration."""

    def __init__(self, manifest: Manifest, runtime: Runtime) -> None:
        self.spec = manifest.input
        self.runtime = runtime
        self._pooling = manifest.pooling
        self._benign = manifest.calibration.get(manifest.labels[BENIGN], Calibration())
        self._malignant = manifest.calibration.get(manifest.labels[MALIGNANT], Calibration())

    def read(self, picture: Grey) -> Reading:
        """Any grey picture (height, width)."""
        return self.read_boxed(*letterbox(picture, self.spec))

    def read_boxed(self, boxed: Grey, placement: Placement) -> Reading:
        """A picture that `letterbox` has already placed."""
        raw = self.runtime.run(boxed)
        maps = sigmoid(raw.saliency)
        benign, malignant = frame_scores(maps, self._pooling)
        lesion = sigmoid(raw.lesion) if raw.lesion is not None else None
        box = outline(lesion) if lesion is not None else point(maps[MALIGNANT])
        return Reading(
            self._benign.apply(benign),
            self._malignant.apply(malignant),
            placement.to_picture(box),
            maps,
            lesion,
            raw.features.mean(axis=(1, 2)) if raw.features is not None else None,
            malignant,
        )


def golden_difference(bundle: Bundle, runtime: Runtime) -> float:
    """The largest difference of a frame score from the golden one, over the bundle's golden frames."""
    golden = bundle.golden()
    worst = 0.0
    for frame, expected in zip(golden.frames, golden.logits[runtime.name], strict=True):
        ours = frame_scores(sigmoid(runtime.run(frame).saliency), bundle.manifest.pooling)
        theirs = frame_scores(sigmoid(expected), bundle.manifest.pooling)
        worst = max(worst, *(abs(a - b) for a, b in zip(ours, theirs, strict=True)))
    return worst


def verified_reader(bundle: Bundle, runtime: Runtime) -> Reader:
    """A reader whose runtime gave the golden scores. Raises BadBundle with the figure when it did not."""
    difference = golden_difference(bundle, runtime)
    allowed = bundle.manifest.golden_tolerance[runtime.name]
    if difference > allowed:
        raise BadBundle(
            str(bundle.path),
            f"{runtime.name} ({runtime.version}) differs from the golden vectors by {difference:.4f}, "
            f"allowed is {allowed:.4f}",
            "Choose the other --runtime, and report the machine and versions",
        )
    return Reader(bundle.manifest, runtime)
