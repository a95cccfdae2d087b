"""The torch network as a float TFLite model that takes and gives NHWC, as TFLite's kernels want it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import fx

    from sono_models.inputs import InputSpec


def float_tflite(network: fx.GraphModule, spec: InputSpec, outputs: int) -> bytes:
    """(1, height, width, 1) in (pixel - 127) / 128 → each output (1, rows, columns, channels), all float32."""
    import litert_torch  # noqa: PLC0415  (5 s)

    litert_torch.config.show_progress = False  # it would print on stdout
    channels_last = litert_torch.to_channel_last_io(network, args=[0], outputs=list(range(outputs)))
    channels_last.training = False  # eval() would descend into the exported program, which refuses it
    model = litert_torch.convert(channels_last, (torch.zeros(1, spec.height, spec.width, 1),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        model.export(str(path))
        return path.read_bytes()
