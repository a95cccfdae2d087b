"""Quantization-aware fine-tuning towards the network's own float logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sono_models.runtime import LiteRuntime
from sono_quantize.bias_correction import correct_biases, on_grid
from sono_quantize.distil import Schedule, distil
from sono_quantize.export import float_tflite
from sono_quantize.figures import logits_of, snr_db
from sono_quantize.integers import int8_tflite
from sono_quantize.network import convolutions, load_network, parameter, predict, tensor
from tests.support.runs import Run, pictures

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def test_it_brings_int8_nearer_to_the_float_network(run: Run) -> None:
    network, handover = load_network(run.folder)
    shown, unseen = pictures(48, seed=8), pictures(16, seed=9)
    corrected = correct_biases(network, shown[:24])
    learnt = distil(network, corrected, shown, Schedule(epochs=3))
    for conv in convolutions(learnt):
        weight = tensor(learnt, parameter(conv, 1))
        assert torch.allclose(on_grid(weight), weight, atol=1e-6)
    exact = predict(network, unseen)
    before, after = (
        snr_db(exact, logits_of(LiteRuntime(int8_tflite(float_tflite(each, handover.input, 3), shown, (0, 2))), unseen))
        for each in (corrected, learnt)
    )
    assert after > before


def test_the_rate_warms_up_and_falls(run: Run) -> None:
    schedule = Schedule(epochs=2, batch=8)
    rates = np.array([schedule.at(step, 400) for step in range(schedule.steps(400))])
    assert len(rates) == 100
    assert 10 < int(rates.argmax()) < 25
    assert rates[0] < rates.max() / 5
    assert rates[-1] < rates.max() / 100
