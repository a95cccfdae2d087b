"""Put the weights on their int8 grid and take the shift that this causes out of the biases.

Rounding a depthwise kernel's nine weights moves its channel's mean, and the moves add up: that, not noise, is
what plain post-training quantization loses (Nagel et al., ICCV 2019, "Data-free quantization through weight
equalization and bias correction", section 4.2, here with measured means).
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, fx

from sono_quantize.network import CONV, as_input, convolutions, parameter, tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sono_models.inputs import Grey

LEVELS = 127
"""Weights are symmetric: -127 to 127, the zero point is 0."""
BIAS_MOST = 2**28
"""What a bias may be in steps of input scale times weight scale: an eighth of int32, the rest is for the sums."""
INPUT_STEPS = 255
"""No activation's scale is finer than one part in so many."""


def on_grid(weight: Tensor) -> Tensor:
    """The nearest weights (out, in, h, w) that int8 with one scale an output channel can hold: max |w| / 127."""
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / LEVELS
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return torch.round(weight / scale).clamp(-LEVELS, LEVELS) * scale


def lift_weak_channels(network: fx.GraphModule) -> int:
    """Make the largest weight of each all but dead channel just large enough for its bias; returns how many.

    Batch norm folds a channel that it switched off to weights of 1e-9 beside a bias of ordinary size. On so fine a
    grid that bias lies beyond int32, and the accumulator wraps: what should be 0 came out a hundred steps high.
    The lift moves the channel by less than a step of its output.
    """
    lifted = 0
    for conv in convolutions(network):
        weight, bias = (tensor(network, parameter(conv, which)) for which in (1, 2))
        least = bias.abs() * (LEVELS * INPUT_STEPS / BIAS_MOST)
        flat = weight.view(weight.shape[0], -1)
        largest, where = flat.abs().max(dim=1)
        for channel in torch.nonzero(largest < least).flatten().tolist():
            place = (channel, int(where[channel]))
            flat[place] = torch.copysign(least[channel], flat[place])
            lifted += 1
    return lifted


def with_grid_weights(network: fx.GraphModule) -> fx.GraphModule:
    """A copy of the network whose weights are on the grid."""
    quantized = copy.deepcopy(network)
    for conv in convolutions(quantized):
        weight = tensor(quantized, parameter(conv, 1))
        weight.copy_(on_grid(weight))
    return quantized


@torch.no_grad()
def correct_biases(network: fx.GraphModule, pictures: Sequence[Grey]) -> fx.GraphModule:
    """A copy with grid weights, each bias moved so that its channel's mean over the pictures is the float one's.

    One pass: both networks run side by side over all pictures, layer by layer, and a layer is corrected before
    the next one sees its output. Takes 15 MB of memory a picture at 256 x 256.
    """
    corrected = with_grid_weights(network)
    _SideBySide(network, corrected).run(as_input(pictures), enable_io_processing=False)
    return corrected


class _Pair(NamedTuple):
    """One value in the float network and in the corrected one."""

    exact: Any
    grid: Any


class _SideBySide(fx.Interpreter):
    """Runs two networks of one graph at once, correcting the biases of the second on the way."""

    def __init__(self, network: fx.GraphModule, corrected: fx.GraphModule) -> None:
        super().__init__(network)
        self._corrected = corrected
        self._biases = {conv: parameter(conv, 2) for conv in convolutions(network)}

    def run_node(self, n: fx.Node) -> Any:
        match n.op:
            case "placeholder":
                value = super().run_node(n)
                return _Pair(value, value)
            case "get_attr":
                return _Pair(tensor(self.module, n), tensor(self._corrected, n))  # type: ignore[arg-type]
            case "call_function":
                return self._call(n)
            case "output":
                return None
            case "call_module":  # the exported program's check of its input's shape
                return None
            case other:
                raise NotImplementedError(f"{other} {n.name} in an exported network")

    def _call(self, node: fx.Node) -> _Pair:
        exact, grid = (
            node.target(*self._arguments(node.args, side), **self._arguments(node.kwargs, side))  # type: ignore[operator]
            for side in (0, 1)
        )
        if node.target is CONV:
            shift = exact.double().mean(dim=(0, 2, 3)) - grid.double().mean(dim=(0, 2, 3))
            self.env[self._biases[node]].grid.add_(shift.float())
            grid = grid + shift.float()[None, :, None, None]
        return _Pair(exact, grid)

    def _arguments(self, arguments: Any, side: int) -> Any:
        return fx.node.map_arg(arguments, lambda node: self.env[node][side])
