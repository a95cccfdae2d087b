"""What the int8 network sees of pictures, on the device's own path: embeddings, and the figures of frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

from sono_models.errors import BadBundle
from sono_models.heads import FIGURES, LIMIT, Linear, either, frame_figures
from sono_models.inputs import letterbox
from sono_models.saliency import BENIGN, MALIGNANT, Calibration, frame_scores, sigmoid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sono_models.heads import Matrix
    from sono_models.inputs import Grey, InputSpec
    from sono_models.runtime import Runtime
    from sono_models.saliency import Pooling

PLAIN = Calibration()


@dataclass(frozen=True, slots=True)
class Sights:
    """Of n pictures the embeddings (n, d), their frame figures (n, len(FIGURES)) and pooled raw scores (n, 2)."""

    embeddings: Matrix
    figures: Matrix
    scores: Matrix

    def __len__(self) -> int:
        return len(self.embeddings)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Sights:
        return Sights(self.embeddings[rows], self.figures[rows], self.scores[rows])

    def judged(self, quality: Linear | None) -> Sights:
        """The same, the quality head's word among the figures."""
        figures = self.figures.copy()
        bound = float(np.log((1 - LIMIT) / LIMIT))
        said = np.zeros(len(self)) if quality is None else np.clip(quality.logit(self.embeddings), -bound, bound)
        figures[:, FIGURES.index("quality")] = said
        return Sights(self.embeddings, figures, self.scores)


def together(parts: Sequence[Sights]) -> Sights:
    """One after the other."""
    return Sights(
        np.concatenate([part.embeddings for part in parts]),
        np.concatenate([part.figures for part in parts]),
        np.concatenate([part.scores for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class Seer:
    """A runtime with what it takes to read its maps. `benign` and `malignant` calibrate its scores."""

    runtime: Runtime
    spec: InputSpec
    pooling: Pooling
    benign: Calibration = PLAIN
    malignant: Calibration = PLAIN

    def see(self, pictures: Iterable[Grey], *, title: str = "pictures", total: int | None = None) -> Sights:
        """Any grey pictures, of any size. Raises BadBundle when the network gives no features."""
        watched = tqdm(pictures, desc=title, total=total, unit="picture", disable=None)
        parts = [self._one(picture) for picture in watched]
        embeddings, figures, scores = zip(*parts, strict=True)
        return Sights(np.stack(embeddings), np.stack(figures), np.stack(scores))

    def _one(self, picture: Grey) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        raw = self.runtime.run(letterbox(picture, self.spec)[0])
        if raw.features is None:
            raise BadBundle("the network", "gives no features, heads need them", "Train and quantize it again")
        maps = sigmoid(raw.saliency)
        benign, malignant = frame_scores(maps, self.pooling)
        finding = either(maps) if raw.lesion is None else sigmoid(raw.lesion)
        told = frame_figures(self.benign.apply(benign), self.malignant.apply(malignant), maps[MALIGNANT], finding)
        return raw.features.mean(axis=(1, 2), dtype=np.float64), told, np.array([benign, malignant])


def calibrate(scores: Matrix, labels: Sequence[str], names: Sequence[str]) -> tuple[Calibration, Calibration]:
    """Platt scaling of pooled scores (n, 2) on the dev split, as packing freezes it: (benign, malignant)."""
    truth = np.asarray(labels)
    fitted = [platt(scores[:, index], truth == names[index]) for index in (BENIGN, MALIGNANT)]
    return fitted[0], fitted[1]


def platt(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Calibration:
    """sigmoid(slope * logit(score) + offset), by maximum likelihood."""
    kept = np.clip(scores, 1e-6, 1 - 1e-6)
    fitted = LogisticRegression(C=1e4).fit(np.log(kept / (1 - kept))[:, None], positive)
    return Calibration(round(float(fitted.coef_[0, 0]), 6), round(float(fitted.intercept_[0]), 6))


def fit_linear(vectors: Matrix, wanted: NDArray[np.float64], weights: NDArray[np.float64], strength: float) -> Linear:
    """Logistic regression towards probabilities `wanted` (n,), each row with its weight; `strength` of the L2 prior."""
    mean = vectors.mean(axis=0)
    scale = np.maximum(vectors.std(axis=0), 1e-3)
    standard = (vectors - mean) / scale
    both = np.concatenate([wanted * weights, (1 - wanted) * weights])
    kept = both > 0
    truth = np.repeat([True, False], len(vectors))
    fitted = LogisticRegression(C=1.0 / strength, max_iter=2000)
    fitted.fit(np.concatenate([standard, standard])[kept], truth[kept], sample_weight=both[kept])
    return Linear(rounded(fitted.coef_[0]), round(float(fitted.intercept_[0]), 6), rounded(mean), rounded(scale))


def rounded(values: NDArray[np.floating]) -> tuple[float, ...]:
    """Six digits: enough for a head, and the manifest stays short."""
    return tuple(float(f"{value:.6g}") for value in np.asarray(values, np.float64))
