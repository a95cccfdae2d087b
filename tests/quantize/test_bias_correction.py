"""Weights on the int8 grid, and what the grid shifts put back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sono_quantize.bias_correction import (
    BIAS_MOST,
    INPUT_STEPS,
    LEVELS,
    correct_biases,
    lift_weak_channels,
    on_grid,
    with_grid_weights,
)
from sono_quantize.figures import snr_db
from sono_quantize.network import convolutions, load_network, parameter, predict, tensor
from tests.support.runs import Run, pictures

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


def test_the_grid_has_255_steps_a_channel_and_keeps_its_largest_weight() -> None:
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
    weight[5] = 0.0
    rounded = on_grid(weight)
    scale = weight.abs().amax(dim=(1, 2, 3), keepdim=True) / LEVELS
    steps = rounded[:5] / scale[:5]
    assert torch.allclose(steps, steps.round(), atol=1e-3)
    assert torch.allclose(rounded.abs().amax(dim=(1, 2, 3)), weight.abs().amax(dim=(1, 2, 3)))
    assert torch.equal(on_grid(rounded), rounded)
    assert not rounded[5].any()


def test_correction_brings_unseen_pictures_nearer_to_the_float_network(run: Run) -> None:
    network, _ = load_network(run.folder)
    before = {name: value.clone() for name, value in network.named_parameters()}
    corrected = correct_biases(network, pictures(24, seed=8))
    unseen = pictures(16, seed=9)
    exact = predict(network, unseen)
    plain = snr_db(exact, predict(with_grid_weights(network), unseen))
    assert snr_db(exact, predict(corrected, unseen)) > plain + 3.0
    assert all(torch.equal(value, before[name]) for name, value in network.named_parameters())


def test_on_the_pictures_it_saw_every_channel_has_the_float_mean(run: Run) -> None:
    network, _ = load_network(run.folder)
    shown = pictures(24, seed=8)
    exact, ours = predict(network, shown), predict(correct_biases(network, shown), shown)
    assert np.allclose(exact.mean(axis=(0, 2, 3)), ours.mean(axis=(0, 2, 3)), atol=1e-4)


def test_only_biases_differ_from_plain_rounding(run: Run) -> None:
    network, _ = load_network(run.folder)
    plain, corrected = with_grid_weights(network), correct_biases(network, pictures(8, seed=8))
    for a, b in zip(convolutions(plain), convolutions(corrected), strict=True):
        assert torch.equal(tensor(plain, parameter(a, 1)), tensor(corrected, parameter(b, 1)))


def test_a_channel_that_is_all_but_dead_is_lifted_until_its_bias_fits_and_changes_nothing(run: Run) -> None:
    network, _ = load_network(run.folder)
    conv = convolutions(network)[0]
    weight, bias = (tensor(network, parameter(conv, which)) for which in (1, 2))
    weight[2] *= 1e-9 / weight[2].abs().max()
    bias[2] = -0.5
    shown = pictures(4, seed=8)
    before = predict(network, shown)
    assert lift_weak_channels(network) >= 1
    grid = float(weight[2].abs().max()) / LEVELS
    assert abs(float(bias[2])) / (grid / INPUT_STEPS) == pytest.approx(BIAS_MOST, rel=1e-5)
    assert np.allclose(predict(network, shown), before, atol=1e-4)
    assert lift_weak_channels(network) == 0
