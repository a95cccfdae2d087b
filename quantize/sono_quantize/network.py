"""The float network of a finished run, as a graph without its source."""

from __future__ import annotations

import operator
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, fx

from sono_models.errors import BadConfig
from sono_models.handover import NETWORK, Handover, read_handover

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from sono_models.inputs import Grey

CONV = torch.ops.aten.conv2d.default
BATCH = 16


def load_network(run: Path) -> tuple[fx.GraphModule, Handover]:
    """The folded network of a run folder, gradients off, and what the run says of it."""
    handover = read_handover(run)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # torch's own, about its saved format
            program = torch.export.load(run / NETWORK)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadConfig(
            str(run / NETWORK), f"not a saved network ({error})", "Train again, or copy it again"
        ) from error
    network = program.module()
    assert isinstance(network, fx.GraphModule)
    return network.requires_grad_(requires_grad=False), handover


def convolutions(network: fx.GraphModule) -> list[fx.Node]:
    """The convolutions in the order they run. Each has a weight and a bias that no other shares."""
    nodes = [node for node in network.graph.nodes if node.target is CONV]
    names = [str(parameter(node, which).target) for node in nodes for which in (1, 2)]
    assert len(set(names)) == len(names), "a weight is shared between layers"
    return nodes


def parameter(conv: fx.Node, which: int) -> fx.Node:
    """The node that fetches a convolution's weight (1) or bias (2)."""
    node = conv.args[which]
    assert isinstance(node, fx.Node)
    assert node.op == "get_attr", f"{conv.name} takes {node.name}, which is not a stored tensor"
    return node


def tensor(network: fx.GraphModule, node: fx.Node) -> Tensor:
    """The stored tensor that a get_attr node fetches (the network's own, not a copy)."""
    found = operator.attrgetter(str(node.target))(network)
    assert isinstance(found, Tensor)
    return found


def as_input(pictures: Sequence[Grey]) -> Tensor:
    """Letterboxed pictures (h, w) uint8 as the float network takes them: (pixel - 127) / 128."""
    return (torch.from_numpy(np.stack(pictures)).unsqueeze(1).float() - 127.0) / 128.0


@torch.no_grad()
def predict_all(network: fx.GraphModule, pictures: Sequence[Grey]) -> tuple[NDArray[np.float32], ...]:
    """Every float output (n, channels, rows, columns), in the order of `Raw`."""
    parts = [network(as_input(pictures[start : start + BATCH])) for start in range(0, len(pictures), BATCH)]
    return tuple(np.concatenate([each.numpy() for each in output]) for output in zip(*parts, strict=True))


def predict(network: fx.GraphModule, pictures: Sequence[Grey]) -> NDArray[np.float32]:
    """Float saliency logits (n, findings, rows, columns)."""
    return predict_all(network, pictures)[0]
