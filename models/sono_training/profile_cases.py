"""Where a profile's cases come from: pictures that the bundle scores now, a table of scores, or the bundle itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from tqdm import tqdm

from sono_models.bundle import Bundle
from sono_models.errors import BadConfig, BadManifest
from sono_models.manifest import OperatingPoint
from sono_models.reader import verified_reader
from sono_models.runtime import RuntimeName
from sono_models.saliency import MALIGNANT
from sono_models.table import Row, read_grey, read_table
from sono_models.uncertainty import logit
from sono_training.profile import Cases
from sono_training.profile_label_free import Expected

DEV_SCORES = "evidence/dev_scores.json"
"""The member of a bundle that holds its own scores on its dev split: what label-free cases are held against."""
Score = Annotated[float, msgspec.Meta(ge=0, le=1)]


class DevScores(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bundle's calibrated malignant scores on its dev split. Groups are numbers: no names travel."""

    scores: tuple[Score, ...]
    positive: tuple[bool, ...]
    groups: tuple[int, ...]

    def cases(self) -> Cases:
        """Raises BadManifest when the columns differ in length, or one class is missing."""
        truth = np.array(self.positive, np.bool_)
        if not len(self.scores) == len(truth) == len(self.groups) or truth.all() or not truth.any():
            raise BadManifest(DEV_SCORES, "not scores of two classes", "Make it with `sono model profile reference`")
        return Cases(logit(np.array(self.scores)), truth, tuple(map(str, self.groups)))


def dev_scores(cases: Cases) -> DevScores:
    """Scores to six decimals, as the score tables have them."""
    number = {group: index for index, group in enumerate(dict.fromkeys(cases.groups))}
    scores = 1.0 / (1.0 + np.exp(-cases.z))
    return DevScores(
        tuple(round(float(score), 6) for score in scores),
        tuple(bool(positive) for positive in cases.truth),
        tuple(number[group] for group in cases.groups),
    )


def operating_point(bundle: Bundle) -> OperatingPoint:
    """The bundle's own, of its malignant finding. Raises BadConfig when it has none."""
    label = bundle.manifest.labels[MALIGNANT]
    for point in bundle.manifest.operating_points:
        if point.label == label:
            return point
    raise BadConfig(str(bundle.path), f"has no operating point for {label}", "Name another bundle")


def scored(bundle: Bundle, runtime: RuntimeName, rows: Sequence[Row]) -> Cases:
    """The rows as the device would score them, with their labels as truth: what is not malignant is negative."""
    reader = verified_reader(bundle, bundle.runtime(runtime))
    shown = tqdm(rows, desc="cases", unit="image", disable=None)
    scores = np.array([reader.read(read_grey(row.image)).malignant for row in shown])
    label = bundle.manifest.labels[MALIGNANT]
    return Cases(logit(scores), np.array([row.label == label for row in rows]), tuple(row.group for row in rows))


def unlabelled(path: Path) -> list[Row]:
    """The rows of a CSV that needs no column but `image`; labels are not looked at. Raises BadManifest."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            found = [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadManifest(str(path), f"not a readable CSV ({error})", "Name a CSV with the column image") from error
    if not found or not all(row.get("image") for row in found):
        raise BadManifest(str(path), "has no rows, or a row without an image", "Name a CSV with the column image")
    return [
        Row(path.parent / row["image"], "", row.get("patient") or row.get("group") or row["image"], None, row)
        for row in found
    ]


def table_of_scores(path: Path, column: str, target: str) -> Cases:
    """A score table: image,group,label and a column of calibrated scores. Raises BadManifest."""
    rows = read_table(path)
    try:
        scores = np.array([float(row.columns[column]) for row in rows])
    except (KeyError, ValueError) as error:
        have = ", ".join(rows[0].columns)
        raise BadManifest(str(path), f"column '{column}' does not hold scores", f"The columns are: {have}") from error
    if not ((scores >= 0) & (scores <= 1)).all():
        raise BadManifest(str(path), f"column '{column}' holds scores outside 0 to 1", "Give calibrated scores")
    truth = np.array([row.label == target for row in rows])
    if truth.all() or not truth.any():
        raise BadManifest(str(path), f"must hold {target!r} and something else", "Choose another table or --target")
    return Cases(logit(scores), truth, tuple(row.group for row in rows))


def expected(bundle: Bundle, dev: Path | None) -> Expected:
    """What unlabelled cases are held against: the bundle's own member, or a file in its stead. Raises BadConfig."""
    point = operating_point(bundle)
    if dev is not None:
        return Expected(read_dev(dev), float(logit(np.array(point.threshold))), point.assumed_prevalence)
    if DEV_SCORES not in bundle.members:
        reason = f"has no {DEV_SCORES}, which label-free cases are held against"
        raise BadConfig(str(bundle.path), reason, "Give it with --dev, made by `sono model profile reference`")
    found = msgspec.json.decode(bundle.content(DEV_SCORES), type=DevScores)
    return Expected(found.cases(), float(logit(np.array(point.threshold))), point.assumed_prevalence)


def read_dev(path: Path) -> Cases:
    """Raises BadManifest for a file that is not what `reference` writes."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=DevScores).cases()
    except (OSError, msgspec.DecodeError) as error:
        again = "Make it with `sono model profile reference`"
        raise BadManifest(str(path), f"not the scores of a dev split ({error})", again) from error


def threshold_beside(scores: Path, given: float | None) -> float:
    """The threshold of a score table: as given, or of the PROTOCOL.json beside it. Raises BadConfig."""
    if given is not None:
        return given
    sidecar = scores.with_suffix(".json")
    try:
        return float(json.loads(sidecar.read_text("utf-8"))["threshold"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadConfig(str(sidecar), "does not say the table's threshold", "Give it with --threshold") from error
