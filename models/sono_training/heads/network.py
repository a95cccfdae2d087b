"""A finished run with its int8 model, opened to learn heads on what the device will see."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sono_models.errors import BadConfig
from sono_models.handover import DEV, FIT, read_handover, read_rows
from sono_models.runtime import MODEL_FILE, open_runtime
from sono_models.table import Row, read_grey, read_mask
from sono_training.heads.embeddings import Seer, calibrate
from sono_training.heads.passes import sweep_frames
from sono_training.heads.sweep import Bag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sono_models.heads import Linear
    from sono_models.inputs import Grey

SIMULATED_ROOT = "phantom"
FRAMES = 12
"""Of one simulated sweep for training."""


@dataclass(frozen=True, slots=True)
class Network:
    """What a run was fitted on, what it kept aside, and its int8 model with the scores calibrated there."""

    seer: Seer
    fit: list[Row]
    dev: list[Row]
    labels: tuple[str, ...]
    weights_sha256: str

    def real(self) -> list[Row]:
        return [row for row in self.fit if not is_simulated(row)]

    def simulated(self) -> list[Row]:
        return [row for row in self.fit if is_simulated(row)]

    def left_out(self, rows: Iterable[Row]) -> list[Row]:
        """Of these rows those of data sets that the network knows, but of groups that it has never seen."""
        seen = {(data_set(row), row.group) for row in (*self.fit, *self.dev)}
        known = {name for name, _ in seen}
        return [row for row in rows if data_set(row) in known and (data_set(row), row.group) not in seen]


def open_network(run: Path, quantized: Path, roots: Mapping[str, Path]) -> Network:
    """Raises BadConfig when the int8 model is not of this run."""
    handover = read_handover(run)
    try:
        told = json.loads((quantized / "quantize.json").read_text("utf-8"))
        model = (quantized / MODEL_FILE["onnx"]).read_bytes()
    except (OSError, ValueError) as error:
        raise BadConfig(str(quantized), f"not a folder that quantize wrote ({error})", "Quantize the run") from error
    if told.get("weights_sha256") != handover.weights_sha256:
        raise BadConfig(str(quantized), f"was not quantized from {run}", "Quantize that run")
    seer = Seer(open_runtime("onnx", model), handover.input, handover.pooling)
    dev = read_rows(run / DEV, roots)
    scores = seer.see((read_grey(row.image) for row in dev), title="dev split", total=len(dev)).scores
    benign, malignant = calibrate(scores, [row.label for row in dev], handover.labels)
    seer = replace(seer, benign=benign, malignant=malignant)
    return Network(seer, read_rows(run / FIT, roots), dev, handover.labels, handover.weights_sha256)


def patient_bags(network: Network, rows: Sequence[Row], quality: Linear | None) -> list[Bag]:
    """Patients with several images: each a bag of its stills."""
    sights = network.seer.see((read_grey(row.image) for row in rows), title="stills", total=len(rows)).judged(quality)
    members: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        members.setdefault(row.group, []).append(index)
    return [
        Bag(sights.figures[index], any(rows[one].label == network.labels[1] for one in index), group)
        for group, index in members.items()
        if len(index) > 1
    ]


def sweep_bags(network: Network, rows: Sequence[Row], quality: Linear | None, *, seed: int) -> list[Bag]:
    """A simulated sweep over every still, a function of the still's name and the seed."""
    bags = []
    pictures = (frame for row in rows for frame in sweep_of(row, seed))
    sights = network.seer.see(pictures, title="sweeps", total=FRAMES * len(rows)).judged(quality)
    for number, row in enumerate(rows):
        figures = sights.figures[number * FRAMES : (number + 1) * FRAMES]
        bags.append(Bag(figures, row.label == network.labels[1], row.group))
    return bags


def sweep_of(row: Row, seed: int, count: int = FRAMES) -> list[Grey]:
    """`count` frames of the simulated sweep over a row's still."""
    name = np.frombuffer(row.columns["image"].encode(), np.uint8)
    mask = read_mask(row.mask) if row.mask is not None and row.mask.is_file() else None
    return sweep_frames(read_grey(row.image), mask, count, np.random.default_rng([seed, *name.tolist()]))


def is_simulated(row: Row) -> bool:
    return row.columns["image"].startswith(f"{SIMULATED_ROOT}:")


def data_set(row: Row) -> str:
    """ROOT:FOLDER of its image."""
    return row.columns["image"].split("/")[0]
