"""Fit a recipe: a fixed number of epochs, a checkpoint after each, resumable, one log line an epoch."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from sono_training.data import STRIDE, Batch, as_input, batches, load
from sono_training.net import SaliencyNet, pretrained

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sono_models.inputs import Grey
    from sono_models.saliency import Pooling
    from sono_training.recipe import Recipe, Split

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Fit:
    """A network being trained, its moving average, and how far it is."""

    net: SaliencyNet
    average: SaliencyNet
    optimizer: torch.optim.AdamW
    epoch: int = 0


def fit(recipe: Recipe, split: Split, out: Path) -> SaliencyNet:
    """Train, or go on from `out`/checkpoint.pt; returns the averaged network (eval mode)."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    state = _start(recipe)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        _resume(state, checkpoint)
        log.info("resuming after epoch %d", state.epoch)
    samples = load(split.fit)
    while state.epoch < recipe.epochs:
        started = time.monotonic()
        loss = _epoch(state, samples, recipe)
        state.epoch += 1
        _save(state, checkpoint)
        line = {"epoch": state.epoch, "loss": round(loss, 4), "seconds": round(time.monotonic() - started, 1)}
        with (out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    torch.save(state.average.state_dict(), out / "net.pt")
    return state.average.eval()


def _start(recipe: Recipe) -> Fit:
    net, average = pretrained(), pretrained()
    average.load_state_dict(net.state_dict())
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for part in net.frozen_parts(recipe.frozen_blocks):
        part.requires_grad_(requires_grad=False)
    new = ("coarse.", "fine.", "saliency.")
    heads = [p for name, p in net.named_parameters() if name.startswith(new)]
    body = [p for name, p in net.named_parameters() if not name.startswith(new) and p.requires_grad]
    groups = [
        {"params": heads, "lr": recipe.learning_rate, "share": 1.0},
        {"params": body, "lr": recipe.learning_rate, "share": recipe.backbone_rate},
    ]
    return Fit(net, average.eval(), torch.optim.AdamW(groups, weight_decay=recipe.weight_decay))


def _epoch(state: Fit, samples: list, recipe: Recipe) -> float:  # type: ignore[type-arg]
    state.net.train()
    for part in state.net.frozen_parts(recipe.frozen_blocks):
        part.eval()
    steps = math.ceil(len(samples) / recipe.batch)
    losses: list[float] = []
    stream = batches(samples, recipe, state.epoch)
    for step, batch in enumerate(tqdm(stream, total=steps, desc=f"epoch {state.epoch + 1}/{recipe.epochs}")):
        rate = _rate((state.epoch + step / steps) / recipe.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * group["share"] * rate
        loss = objective(state.net(batch.x), batch, recipe)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
        state.optimizer.step()
        _average(state, recipe.ema)
        losses.append(float(loss.detach()))
    return float(np.mean(losses))


def _rate(progress: float) -> float:
    """A short warm-up, then half a cosine."""
    return min(1.0, progress / 0.05) * 0.5 * (1 + math.cos(math.pi * progress)) + 0.002


def _average(state: Fit, decay: float) -> None:
    with torch.no_grad():
        ours, theirs = state.average.state_dict(), state.net.state_dict()
        for name, value in ours.items():
            if value.is_floating_point():
                value.lerp_(theirs[name], 1 - decay)
            else:
                value.copy_(theirs[name])


def pooled(logits: Tensor, pooling: Pooling) -> Tensor:
    """Top-t % pooling of saliency logits (n, 2, h, w): probabilities (n, 2)."""
    flat = torch.sigmoid(logits).flatten(2)
    return flat.topk(pooling.cells(flat.shape[2]), dim=2).values.mean(dim=2)


def objective(logits: Tensor, batch: Batch, recipe: Recipe) -> Tensor:
    """Image-level cross-entropy on the pooled scores, and on the maps where a mask says where."""
    scores = pooled(logits, recipe.pooling).clamp(1e-5, 1 - 1e-5)
    image = functional.binary_cross_entropy(scores, batch.targets)
    known = ~torch.isnan(batch.cover)
    if not bool(known.any()):
        return image
    maps = functional.binary_cross_entropy_with_logits(logits[known], batch.cover[known])
    return image + recipe.mask_weight * maps


@torch.no_grad()
def predict(net: SaliencyNet, pictures: list[Grey], *, size: int = 32) -> NDArray[np.float32]:
    """Float saliency logits (n, 2, h/16, w/16) of letterboxed pictures."""
    net.eval()
    parts = [net(as_input(pictures[start : start + size])).numpy() for start in range(0, len(pictures), size)]
    height, width = pictures[0].shape
    assert parts[0].shape[2:] == (height // STRIDE, width // STRIDE)
    return np.concatenate(parts)


def _save(state: Fit, path: Path) -> None:
    fresh = path.with_suffix(".new")
    torch.save(
        {
            "net": state.net.state_dict(),
            "average": state.average.state_dict(),
            "optimizer": state.optimizer.state_dict(),
            "epoch": state.epoch,
        },
        fresh,
    )
    fresh.replace(path)


def _resume(state: Fit, path: Path) -> None:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    state.net.load_state_dict(saved["net"])
    state.average.load_state_dict(saved["average"])
    state.optimizer.load_state_dict(saved["optimizer"])
    state.epoch = int(saved["epoch"])
