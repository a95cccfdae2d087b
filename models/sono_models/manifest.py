"""What a bundle says of itself: `manifest.json`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from sono_models.heads import Heads
from sono_models.inputs import InputSpec
from sono_models.law import AlertLaw, Gates
from sono_models.saliency import Calibration, Pooling
from sono_models.uncertainty import Uncertainty

SCHEMA = "sonoedge.bundle/1"


class FileEntry(msgspec.Struct, frozen=True):
    sha256: str
    size: int


class OperatingPoint(msgspec.Struct, frozen=True):
    """A threshold on the calibrated score, frozen before any test set was opened."""

    label: str
    threshold: float
    frozen_for_sensitivity: float
    frozen_on: str
    assumed_prevalence: float
    sensitivity_lower_bound: float | None = None
    """One-sided, at the confidence that `rule` states: of the sensitivity on the split that it was frozen on."""
    rule: str = ""
    """How the threshold was found, in words."""


class Bound(msgspec.Struct, frozen=True):
    """A figure that this release had to meet."""

    metric: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def met(self) -> bool:
        low = self.at_least is None or self.value >= self.at_least
        return low and (self.at_most is None or self.value <= self.at_most)


class Provenance(msgspec.Struct, frozen=True):
    commit: str
    recipe: str
    tables: dict[str, str]
    seed: int
    weights_sha256: str
    made_with: dict[str, str]
    repacked_from: str = ""
    """sha256 of the bundle whose models, heads and thresholds these are, where it was packed again from one."""


class Manifest(msgspec.Struct, frozen=True):
    """Fields may be added; none is changed or dropped without a new `schema`."""

    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    input: InputSpec
    outputs: dict[str, str]
    pooling: Pooling
    calibration: dict[str, Calibration]
    operating_points: tuple[OperatingPoint, ...]
    law: AlertLaw
    gates: Gates
    golden_tolerance: dict[str, float]
    """By runtime: largest difference of a frame score from the golden one."""
    files: dict[str, FileEntry]
    min_agent: str
    provenance: Provenance
    envelope: tuple[Bound, ...]
    precision: Literal["int8", "float32"] = "int8"
    license: str = ""
    intended_use: str = "Research prototype, not a medical device."
    schema: str = SCHEMA
    uncertainty: Uncertainty | None = None
    heads: Heads | None = None


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of `manifest.json`."""
    return msgspec.json.schema(Manifest)
