"""A runtime without a network: its features are what a person could compute of every place of the picture."""

from __future__ import annotations

import cv2
import numpy as np

from sono_models.inputs import Grey
from sono_models.runtime import Raw, RuntimeName

CELL = 16


class PlainFeatures:
    """Six channels (brightness, darkness, contrast, edges across and down, fine grain); findings are bright spots."""

    name: RuntimeName = "onnx"
    version = "plain"

    def __init__(self, *, features: bool = True) -> None:
        self._features = features

    def run(self, picture: Grey) -> Raw:
        light = picture.astype(np.float32) / 255.0
        grain = light - cv2.GaussianBlur(light, (0, 0), 1.0)
        across, down = cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)
        seen = [_cells(light), _cells(np.maximum(0.05 - light, 0) * 20), _cells(np.square(light - light.mean())) * 10]
        seen += [_cells(np.abs(across)), _cells(np.abs(down)), _cells(np.abs(grain)) * 10]
        bright = 12.0 * _cells((light > 0.85).astype(np.float32)) - 3.0
        return Raw(np.stack([-bright, bright]), np.stack(seen) if self._features else None)


def _cells(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    size = (values.shape[1] // CELL, values.shape[0] // CELL)
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
