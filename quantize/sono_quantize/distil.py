"""Quantization-aware fine-tuning by self-distillation: the network learns to give its float outputs on the int8 grid.

Weights and activations are rounded on the way forward, gradients pass as if they were not (straight-through:
Bengio et al. 2013; Jacob et al., CVPR 2018). The teacher is the float network itself, so no label is needed
and what is learnt is only how to live with integers. The first convolutions keep their corrected weights: on
their large maps a step costs most, and what their activations lose in rounding can only be met further on.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from tqdm import tqdm

from sono_models.inputs import Grey
from sono_quantize.bias_correction import on_grid, with_grid_weights
from sono_quantize.network import BATCH, CONV, as_input, convolutions, parameter, predict_all, tensor

log = logging.getLogger(__name__)

RELU6 = torch.ops.aten.relu6.default
ADD = torch.ops.aten.add.Tensor
STEPS = 255


@dataclass(frozen=True, slots=True)
class Schedule:
    """`rate` is a share of a channel's largest weight a step: 1/127 of it is one step of the grid."""

    epochs: int = 2
    batch: int = 8
    rate: float = 3e-4
    seed: int = 0
    kept: int = 18
    """Convolutions from the input on that learn nothing: EfficientNet-Lite0's stem and first six blocks."""

    def steps(self, pictures: int) -> int:
        return self.epochs * (pictures // self.batch)

    def at(self, step: int, pictures: int) -> float:
        """A short warm-up, then half a cosine."""
        return self.rate * min(1.0, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * step / self.steps(pictures)))


def distil(
    exact: fx.GraphModule, start: fx.GraphModule, pictures: Sequence[Grey], schedule: Schedule
) -> fx.GraphModule:
    """A copy of `start` on the weights' grid, fine-tuned so that int8 gives the outputs of `exact`."""
    student = _Student(copy.deepcopy(start), schedule.kept)
    student.observe(pictures[:128])
    wanted = [torch.from_numpy(output) for output in predict_all(exact, pictures)]
    optimizer = torch.optim.Adam(student.learnt())
    bar = tqdm(total=schedule.steps(len(pictures)), desc="fine-tuning", unit="step", disable=None)
    step = 0
    for epoch in range(schedule.epochs):
        order = np.random.default_rng([schedule.seed, epoch]).permutation(len(pictures))
        for first in range(0, len(order) - schedule.batch + 1, schedule.batch):
            optimizer.param_groups[0]["lr"] = schedule.at(step, len(pictures))
            chosen = order[first : first + schedule.batch]
            ours = student.outputs(as_input([pictures[index] for index in chosen]))
            loss = _distance(ours, [output[chosen] for output in wanted])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            step += 1
            bar.update()
    bar.close()
    return student.finished()


def _distance(ours: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    return torch.stack([((mine - theirs) ** 2).mean() for mine, theirs in zip(ours, wanted, strict=True)]).sum()


class _Rounded(torch.autograd.Function):
    """An activation as uint8 over low to high would hold it; the gradient stops where it saturates."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, low: float, high: float) -> Tensor:
        scale = (high - low) / STEPS
        zero = round(-low / scale)
        steps = torch.round(value / scale) + zero
        ctx.save_for_backward((steps >= 0) & (steps <= STEPS))
        return (steps.clamp(0, STEPS) - zero) * scale

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside, None, None


@dataclass(frozen=True, slots=True)
class _Learnt:
    """A weight or bias as a multiple of its own size, so that one rate fits channels of any size."""

    share: nn.Parameter
    size: Tensor

    def value(self) -> Tensor:
        return self.share * self.size


class _Student(fx.Interpreter):
    """Runs the network with weights and, once ranges are known, activations on their grids."""

    def __init__(self, network: fx.GraphModule, kept: int) -> None:
        super().__init__(network)
        self._network = network
        self._learnt: dict[fx.Node, _Learnt] = {}
        for conv in convolutions(network)[kept:]:
            weight, bias = (tensor(network, parameter(conv, which)) for which in (1, 2))
            size = weight.abs().amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8)
            self._learnt[parameter(conv, 1)] = _Learnt(nn.Parameter(weight / size), size)
            mean = bias.abs().mean().clamp_min(1e-3)
            self._learnt[parameter(conv, 2)] = _Learnt(nn.Parameter(bias / mean), mean)
        self._rounded = {node for node in network.graph.nodes if _leaves_integers(node)}
        self._seen: dict[fx.Node, tuple[float, float]] = {}
        self._observing = False

    def outputs(self, x: Tensor) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = self.run(x, enable_io_processing=False)
        return found

    def learnt(self) -> list[nn.Parameter]:
        return [each.share for each in self._learnt.values()]

    @torch.no_grad()
    def observe(self, pictures: Sequence[Grey]) -> None:
        """Fix each activation's range to the smallest and largest value seen."""
        self._observing = True
        for first in range(0, len(pictures), BATCH):
            self.outputs(as_input(pictures[first : first + BATCH]))
        self._observing = False

    @torch.no_grad()
    def finished(self) -> fx.GraphModule:
        """The network with what was learnt, its weights on the grid."""
        for node, each in self._learnt.items():
            tensor(self._network, node).copy_(each.value())
        return with_grid_weights(self._network)

    def run_node(self, n: fx.Node) -> Any:
        match n.op:
            case "get_attr":
                return self._stored(n)
            case "call_module":  # the exported program's check of its input's shape
                return None
            case "output":
                return tuple(self.env[result] for result in n.all_input_nodes)
            case _:
                value = super().run_node(n)
        return self._activation(n, value) if n in self._rounded else value

    def _stored(self, node: fx.Node) -> Tensor:
        if node not in self._learnt:
            return tensor(self._network, node)
        value = self._learnt[node].value()
        if value.dim() == 1:
            return value
        return value + (on_grid(value) - value).detach()

    def _activation(self, node: fx.Node, value: Tensor) -> Tensor:
        if self._observing:
            low, high = self._seen.get(node, (0.0, 0.0))
            self._seen[node] = min(low, float(value.min())), max(high, float(value.max()))
            return value
        rounded: Tensor = _Rounded.apply(value, *self._seen[node])  # type: ignore[no-untyped-call]
        return rounded


def _leaves_integers(node: fx.Node) -> bool:
    """Where int8 rounds: after each convolution and addition, past its ReLU6 when that is fused with it."""
    if node.target is RELU6:
        return True
    return node.target in {CONV, ADD} and not any(user.target is RELU6 for user in node.users)
