"""Gated attention over the frames of a sweep, trained on frames that their network had left out, and measured.

Embeddings of two networks share no axes, so the head takes FIGURES (calibrated scores, peak, area, spread,
quality), which do: frames of every fold network can be pooled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sono_models.heads import FIGURES, SweepAttention, columns, within_sweep
from sono_training.heads.embeddings import rounded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sono_models.heads import Matrix


@dataclass(frozen=True, slots=True)
class Bag:
    """A sweep, or a patient's images: frame figures (n, len(FIGURES)), whether it alerts, and who it is of."""

    frames: Matrix
    positive: bool
    group: str


@dataclass(frozen=True, slots=True)
class Plan:
    """How the head is fitted. `decay` pulls it towards the plain mean of the calibrated logits."""

    figures: tuple[str, ...] = ("malignant", "benign", "finding", "area", "spread", "quality", "rank", "excess")
    hidden: int = 8
    decay: float = 0.01
    steps: int = 100
    seeds: int = 3


class _Attention(nn.Module):
    """What sono_models.heads.SweepAttention computes, for padded sweeps (n, frames, figures) at once."""

    def __init__(self, figures: int, hidden: int) -> None:
        super().__init__()
        self.tanh = nn.Parameter(torch.randn(hidden, figures) / figures**0.5)
        self.gate = nn.Parameter(torch.randn(hidden, figures) / figures**0.5)
        self.attend = nn.Parameter(0.1 * torch.randn(hidden))
        self.weights = nn.Parameter(torch.zeros(figures))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, frames: Tensor, there: Tensor) -> Tensor:
        raised = (torch.tanh(frames @ self.tanh.T) * torch.sigmoid(frames @ self.gate.T)) @ self.attend
        share = torch.softmax(raised.masked_fill(~there, -torch.inf), dim=1)
        pooled = (share.unsqueeze(-1) * frames).sum(dim=1)
        logits: Tensor = pooled @ self.weights + self.bias
        return logits


def fit_attention(bags: Sequence[Bag], plan: Plan) -> SweepAttention:
    """The seed whose objective on these sweeps ended lowest; L-BFGS on all of them at once."""
    chosen = columns(plan.figures)
    told = [within_sweep(bag.frames)[:, chosen] for bag in bags]
    flat = np.concatenate(told)
    mean, scale = flat.mean(axis=0), np.maximum(flat.std(axis=0), 1e-3)
    frames, there = _padded([(one - mean) / scale for one in told])
    truth = torch.tensor([float(bag.positive) for bag in bags])
    best: tuple[float, _Attention] | None = None
    for seed in range(plan.seeds):
        torch.manual_seed(seed)
        net = _start(plan, mean, scale)
        ended = _descend(net, frames, there, truth, plan)
        if best is None or ended < best[0]:
            best = ended, net
    assert best is not None
    return _exported(best[1], plan, mean, scale)


def _start(plan: Plan, mean: Matrix, scale: Matrix) -> _Attention:
    """Nearly even attention, and a score that is the mean of the calibrated logits."""
    net = _Attention(len(plan.figures), plan.hidden)
    place = plan.figures.index("malignant")
    with torch.no_grad():
        net.weights[place] = float(scale[place])
        net.bias.fill_(float(mean[place]))
    return net


def _descend(net: _Attention, frames: Tensor, there: Tensor, truth: Tensor, plan: Plan) -> float:
    start = net.weights.detach().clone()
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=plan.steps, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        missed = functional.binary_cross_entropy_with_logits(net(frames, there), truth)
        pull = net.tanh.square().sum() + net.gate.square().sum() + net.attend.square().sum()
        loss = missed + plan.decay * (pull / plan.hidden + (net.weights - start).square().sum())
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return float(objective().detach())


def _padded(told: Sequence[Matrix]) -> tuple[Tensor, Tensor]:
    longest = max(len(one) for one in told)
    frames = torch.zeros(len(told), longest, told[0].shape[1])
    there = torch.zeros(len(told), longest, dtype=torch.bool)
    for index, one in enumerate(told):
        frames[index, : len(one)] = torch.from_numpy(one).float()
        there[index, : len(one)] = True
    return frames, there


def _exported(net: _Attention, plan: Plan, mean: Matrix, scale: Matrix) -> SweepAttention:
    def rows(matrix: Tensor) -> tuple[tuple[float, ...], ...]:
        return tuple(rounded(row) for row in matrix.detach().numpy())

    return SweepAttention(
        figures=plan.figures,
        mean=rounded(mean),
        scale=rounded(scale),
        tanh=rows(net.tanh),
        gate=rows(net.gate),
        attend=rounded(net.attend.detach().numpy()),
        weights=rounded(net.weights.detach().numpy()),
        bias=rounded(net.bias.detach().numpy()[None])[0],
    )


def malignant(bag: Bag) -> Matrix:
    """The frames' calibrated malignant scores, (n,)."""
    return np.asarray(1.0 / (1.0 + np.exp(-bag.frames[:, FIGURES.index("malignant")])))
