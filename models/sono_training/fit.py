"""Fit a recipe: some members from one start, a fixed number of epochs each, and the mean of their weights.

The members differ in what they see when. Their mean reads like their ensemble and costs what one of them costs
("model soups": Wortsman et al., ICML 2022). A checkpoint after each epoch, resumable, one log line an epoch.
"""

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

from sono_training.data import Batch, as_input, batches, mixed, samples
from sono_training.net import Maps, SaliencyNet, pretrained
from sono_training.views import Views, is_hard

if TYPE_CHECKING:
    from collections.abc import Iterator
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


def fit(recipe: Recipe, split: Split, cache: Path, out: Path) -> SaliencyNet:
    """Train, or go on where `out` ends; returns the mean of the members (eval mode), which is `out`/net.pt."""
    members = [
        _fit_member(recipe, split, cache, out / f"member-{number}", number) for number in range(len(recipe.mixup))
    ]
    first, *others = (member.state_dict() for member in members)
    mean = {
        name: torch.stack([value, *(other[name] for other in others)]).mean(0) if value.is_floating_point() else value
        for name, value in first.items()
    }
    members[0].load_state_dict(mean)
    torch.save(mean, out / "net.pt")
    return members[0].eval()


def _fit_member(recipe: Recipe, split: Split, cache: Path, out: Path, member: int) -> SaliencyNet:
    """Its moving average. Goes on from `out`/checkpoint.pt."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)  # the same start for all: only then do their weights have a mean
    state = _start(recipe)
    checkpoint = out / "checkpoint.pt"
    if checkpoint.is_file():
        _resume(state, checkpoint)
        log.info("resuming after epoch %d", state.epoch)
    every = samples(split.every, split.fit, recipe.labels)
    views = {
        name: Views(rows, split.tables[name], recipe.input, recipe.seed, cache, recipe.windows)
        for name, rows in split.every.items()
    }
    order = schedule(recipe.epochs, recipe.views, member)
    while state.epoch < recipe.epochs:
        started = time.monotonic()
        rng = np.random.default_rng([recipe.seed, state.epoch, member])
        seen = {name: each.view(order[state.epoch]) for name, each in views.items()}
        stream = _mixing(batches(every, seen, recipe.batch, rng), recipe.mixup[member], rng)
        losses = _epoch(state, stream, recipe, len(every))
        state.epoch += 1
        _save(state, checkpoint)
        line = {"epoch": state.epoch, **losses, "seconds": round(time.monotonic() - started, 1)}
        with (out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    return state.average.eval()


def schedule(epochs: int, views: int, member: int) -> list[int]:
    """Which view each epoch sees: the plain ones first, then the hard ones; every member begins at another."""
    plain, hard = ([view for view in range(views) if is_hard(view) is wanted] for wanted in (False, True))
    hard_epochs = round(epochs * len(hard) / views)
    begin = epochs - hard_epochs
    return [plain[(epoch + member) % len(plain)] for epoch in range(begin)] + [
        hard[(epoch + member) % len(hard)] for epoch in range(hard_epochs)
    ]


def _start(recipe: Recipe) -> Fit:
    net, average = (pretrained(len(recipe.labels), lesion=recipe.lesion_weight > 0) for _ in range(2))
    average.load_state_dict(net.state_dict())
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.freeze_front()
    new = ("coarse.", "fine.", "saliency.", "lesion.")
    heads = [p for name, p in net.named_parameters() if name.startswith(new)]
    body = [p for name, p in net.named_parameters() if not name.startswith(new) and p.requires_grad]
    groups = [
        {"params": heads, "lr": recipe.learning_rate, "share": 1.0},
        {"params": body, "lr": recipe.learning_rate, "share": recipe.backbone_rate},
    ]
    return Fit(net, average.eval(), torch.optim.AdamW(groups, weight_decay=recipe.weight_decay))


def _mixing(stream: Iterator[Batch], alpha: float, rng: np.random.Generator) -> Iterator[Batch]:
    return (mixed(batch, alpha, rng) if alpha else batch for batch in stream)


def _epoch(state: Fit, stream: Iterator[Batch], recipe: Recipe, pictures: int) -> dict[str, float]:
    """The means of the loss and its parts."""
    state.net.train()
    state.net.freeze_front()
    steps = math.ceil(pictures / recipe.batch)
    seen: list[list[float]] = []
    for step, batch in enumerate(tqdm(stream, total=steps, desc=f"epoch {state.epoch + 1}/{recipe.epochs}")):
        rate = _rate((state.epoch + step / steps) / recipe.epochs)
        for group in state.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * group["share"] * rate
        parts = objective(state.net.back(batch.front), batch, recipe)
        loss = torch.stack(list(parts.values())).sum()
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(state.net.parameters(), 5.0)
        state.optimizer.step()
        _average(state, recipe.ema)
        seen.append([float(part.detach()) for part in parts.values()])
    means = dict(zip(parts, np.mean(seen, axis=0).tolist(), strict=True))
    return {"loss": round(sum(means.values()), 4)} | {name: round(mean, 4) for name, mean in means.items()}


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
    """Top-t % pooling of saliency logits (n, findings, h, w): probabilities (n, findings)."""
    flat = torch.sigmoid(logits).flatten(2)
    return flat.topk(pooling.cells(flat.shape[2]), dim=2).values.mean(dim=2)


def objective(maps: Maps, batch: Batch, recipe: Recipe) -> dict[str, Tensor]:
    """Weighted parts: image-level cross-entropy on the pooled scores; where the lesion's place is known, the
    same on each cell of the maps, and cross-entropy with soft Dice (Milletari et al. 2016) on the lesion map.
    """
    scores = pooled(maps.saliency, recipe.pooling).clamp(1e-5, 1 - 1e-5)
    parts = {"image": functional.binary_cross_entropy(scores, batch.targets)}
    known = batch.outlined
    if not bool(known.any()):
        return parts
    cells = functional.binary_cross_entropy_with_logits(maps.saliency[known], batch.cover[known])
    parts["cells"] = recipe.mask_weight * cells
    if maps.lesion is not None:
        parts["lesion"] = recipe.lesion_weight * _outline(maps.lesion[known].squeeze(1), batch.fine[known])
    return parts


def _outline(logits: Tensor, cover: Tensor) -> Tensor:
    entropy = functional.binary_cross_entropy_with_logits(logits, cover)
    found = torch.sigmoid(logits)
    overlap = (found * cover).sum((1, 2))
    dice = (2 * overlap + 1) / (found.sum((1, 2)) + cover.sum((1, 2)) + 1)
    shown = cover.amax((1, 2)) > 0
    return entropy + ((1 - dice) * shown).sum() / shown.sum().clamp_min(1)


@torch.no_grad()
def predict(net: SaliencyNet, pictures: list[Grey], *, size: int = 32) -> NDArray[np.float32]:
    """Float saliency logits (n, findings, h/16, w/16) of letterboxed pictures."""
    net.eval()
    parts = [net(as_input(pictures[start : start + size]))[0].numpy() for start in range(0, len(pictures), size)]
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
