"""A finished training run without training: the ImageNet weights, 64 x 64 pictures of discs in speckle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
import torch

from sono_models.handover import DEV, FIT, Handover
from sono_models.inputs import Grey, InputSpec
from sono_models.saliency import MALIGNANT, Pooling
from sono_models.table import Row
from sono_quantize.figures import pooled
from sono_quantize.network import load_network, predict
from sono_quantize.quantization import Plan, quantize_run
from sono_training.handover import hand_over
from sono_training.net import pretrained
from sono_training.recipe import Recipe, Split

SIZE = 64
IMAGES = 48


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder, its roots, and its recipe."""

    folder: Path
    roots: dict[str, Path]
    recipe: Path
    handover: Handover


@dataclass(frozen=True, slots=True)
class Quantized:
    """What quantize wrote."""

    folder: Path
    report: dict[str, Any]


def pictures(count: int, *, seed: int) -> list[Grey]:
    """Speckle with a dark disc of random place, size and depth."""
    rng = np.random.default_rng(seed)
    made: list[Grey] = []
    for _ in range(count):
        noise = np.clip(rng.rayleigh(rng.uniform(20, 70), (SIZE, SIZE)), 0, 255).astype(np.uint8)
        centre = (int(rng.integers(16, 48)), int(rng.integers(16, 48)))
        cv2.circle(noise, centre, int(rng.integers(4, 14)), int(rng.integers(0, 60)), -1)
        made.append(np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.0), np.uint8))
    return made


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    torch.manual_seed(3)
    torch.set_num_threads(1)
    base = tmp_path_factory.mktemp("run")
    root = base / "phantom"
    (root / "images").mkdir(parents=True)
    shown = pictures(IMAGES, seed=5)
    paths = [root / "images" / f"{number:03}.png" for number in range(IMAGES)]
    for path, picture in zip(paths, shown, strict=True):
        cv2.imwrite(str(path), picture)
    recipe_path = base / "recipe.toml"
    recipe_path.write_text("# a recipe of this test\n", "utf-8")
    folder, roots = base / "out", {"phantom": root}
    net = pretrained()
    labels = ["benign"] * IMAGES
    for _ in range(2):  # first to hear what the network says, then with labels that agree with it
        rows = [
            Row(path, label, path.stem, None, {"image": path.name}) for path, label in zip(paths, labels, strict=True)
        ]
        split = Split(rows[::2], rows[1::2], {}, {"phantom:manifest.csv": "0" * 64})
        handover = hand_over(net, _recipe(), recipe_path, split, roots, folder)
        scores = pooled(predict(load_network(folder)[0], shown), handover.pooling)
        order = np.argsort(scores[:, MALIGNANT] - scores[:, 1 - MALIGNANT])
        for rank, index in enumerate(order):
            labels[index] = ("benign", "normal", "malignant")[3 * rank // IMAGES]
    assert (folder / FIT).is_file()
    assert (folder / DEV).is_file()
    return Run(folder, roots, recipe_path, handover)


@pytest.fixture(scope="session")
def quantized(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Quantized:
    folder = tmp_path_factory.mktemp("int8")
    report = quantize_run(run.folder, run.roots, folder, Plan(calibration=24, correction=24, plain=False))
    return Quantized(folder, report)


def _recipe() -> Recipe:
    plain = {"seed": 7, "epochs": 1, "views": 1, "batch": 4, "labels": ("benign", "malignant")}
    rates = dict.fromkeys(
        ("learning_rate", "backbone_rate", "weight_decay", "mask_weight", "lesion_weight", "ema", "dev_share"), 0.1
    )
    return msgspec.convert(
        {
            "name": "discs",
            **plain,
            **rates,
            "input": InputSpec(SIZE, SIZE),
            "pooling": Pooling(0.05),
            "source": [],
        },
        Recipe,
    )
