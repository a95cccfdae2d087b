"""The small heads: what their numbers mean, and that they survive the manifest."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_models.errors import BadBundle
from sono_models.heads import (
    FIGURES,
    Distance,
    Domain,
    Heads,
    Linear,
    SweepAttention,
    either,
    frame_figures,
    reading_figures,
    within_sweep,
)
from sono_models.inputs import Box
from sono_models.reader import Reading

LINEAR = Linear(weights=(2.0, -1.0), bias=0.5, mean=(1.0, 0.0), scale=(2.0, 0.5))


def attention(sharpness: float) -> SweepAttention:
    """Looks at the malignant logit alone, the sharper the more; scores by it."""
    return SweepAttention(
        figures=("malignant",),
        mean=(0.0,),
        scale=(1.0,),
        tanh=((0.1,),),
        gate=((0.0,),),
        attend=(sharpness,),
        weights=(1.0,),
        bias=0.0,
    )


def sweep(*malignant: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    frames = np.zeros((len(malignant), len(FIGURES)))
    frames[:, FIGURES.index("malignant")] = malignant
    return frames


def test_a_linear_head_is_logistic_regression_on_the_standardised_embedding() -> None:
    x = np.array([2.0, 1.0], np.float32)
    logit = 2.0 * (2.0 - 1.0) / 2.0 - 1.0 * (1.0 - 0.0) / 0.5 + 0.5
    assert LINEAR.apply(x) == pytest.approx(1 / (1 + np.exp(-logit)))
    assert LINEAR.logit(np.stack([x, x])) == pytest.approx([logit, logit])


def test_a_head_of_another_network_is_refused() -> None:
    with pytest.raises(BadBundle, match="2 weights"):
        LINEAR.apply(np.zeros(96, np.float32))
    with pytest.raises(ValueError, match="one length"):
        Linear(weights=(1.0,), bias=0.0, mean=(0.0, 0.0), scale=(1.0,))


def test_the_distance_is_mahalanobis_when_no_axis_is_left_out() -> None:
    rng = np.random.default_rng(3)
    seen = rng.standard_normal((400, 4)) @ rng.standard_normal((4, 4)) + 5.0
    covariance = np.cov(seen.T)
    variances, axes = np.linalg.eigh(covariance)
    head = Distance(
        tuple(seen.mean(axis=0)), tuple(tuple(axis) for axis in axes.T), tuple(variances), 1.0, slope=2.0, bias=1.0
    )
    away = seen[:7] - seen.mean(axis=0)
    theirs = np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away) / 4
    assert head.squared(seen[:7]) == pytest.approx(theirs)
    assert float(head.squared(seen).mean()) == pytest.approx(1.0, abs=0.05)
    far, near = head.logit(seen.mean(axis=0) + 50.0), head.logit(seen[0])
    assert far < near


def test_what_the_axes_leave_has_one_variance() -> None:
    head = Distance((0.0, 0.0), ((1.0, 0.0),), (4.0,), 0.25, slope=1.0, bias=0.0)
    assert float(head.squared(np.array([2.0, 0.5]))) == pytest.approx((2.0**2 / 4.0 + 0.5**2 / 0.25) / 2)


def test_the_less_sure_part_of_the_domain_speaks() -> None:
    near = Distance((0.0, 0.0), ((1.0, 0.0),), (1.0,), 1.0, slope=4.0, bias=4.0)
    both = Domain(threshold=0.5, kept=0.99, linear=LINEAR, distance=near)
    inside, outside = np.array([1.5, 0.1]), np.array([40.0, 0.0])
    assert LINEAR.apply(outside) > 0.99
    assert both.admits(inside)
    assert not both.admits(outside)
    assert both.apply(outside) == pytest.approx(Domain(0.5, 0.99, distance=near).apply(outside))


@settings(deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=1, max_size=20), st.floats(-20, 20))
def test_attention_is_a_share_and_the_score_lies_between_the_frames(malignant: list[float], sharpness: float) -> None:
    found = attention(sharpness).apply(sweep(*malignant))
    assert found.weights.sum() == pytest.approx(1.0)
    assert (found.weights >= 0).all()
    low, high = 1 / (1 + np.exp(-min(malignant))), 1 / (1 + np.exp(-max(malignant)))
    assert low - 1e-9 <= found.score <= high + 1e-9


def test_even_attention_is_the_mean_of_the_logits_and_sharp_attention_their_maximum() -> None:
    frames = sweep(-3.0, 2.0, 0.5)
    even, sharp = attention(0.0).apply(frames), attention(1e4).apply(frames)
    assert even.score == pytest.approx(1 / (1 + np.exp(0.5 / 3)))
    assert sharp.score == pytest.approx(1 / (1 + np.exp(-2.0)), abs=1e-4)
    assert sharp.best(2) == [1, 2] or sharp.best() == [1]


def test_the_order_of_the_frames_does_not_matter() -> None:
    rng = np.random.default_rng(7)
    figures = (*FIGURES, "rank", "excess")
    head = SweepAttention(
        figures=figures,
        mean=(0.0,) * len(figures),
        scale=(1.0,) * len(figures),
        tanh=tuple(tuple(row) for row in rng.normal(size=(4, len(figures)))),
        gate=tuple(tuple(row) for row in rng.normal(size=(4, len(figures)))),
        attend=tuple(rng.normal(size=4)),
        weights=tuple(rng.normal(size=len(figures))),
        bias=0.1,
    )
    frames = rng.normal(size=(9, len(FIGURES)))
    turned = rng.permutation(9)
    one, other = head.apply(frames), head.apply(frames[turned])
    assert other.score == pytest.approx(one.score)
    assert other.weights == pytest.approx(one.weights[turned])


def test_ties_share_a_rank_and_a_lone_frame_has_none() -> None:
    told = within_sweep(sweep(1.0, 3.0, 1.0))
    assert told[:, -2] == pytest.approx([-1 / 6, 1 / 3, -1 / 6])
    assert told[:, -1] == pytest.approx([-2 / 3, 4 / 3, -2 / 3])
    assert within_sweep(sweep(2.0))[0, -2:] == pytest.approx([0.0, 0.0])


def test_a_frames_figures_stay_finite_and_tell_a_spot_from_a_haze() -> None:
    spot, haze = np.full((2, 8, 8), 1e-3), np.full((2, 8, 8), 0.3)
    spot[1, 2, 3] = 0.9
    dark = np.zeros((2, 8, 8))
    told = {
        name: dict(zip(FIGURES, frame_figures(0.0, 1.0, maps[1], either(maps)), strict=True))
        for name, maps in (("spot", spot), ("haze", haze), ("dark", dark))
    }
    assert all(np.isfinite(list(figures.values())).all() for figures in told.values())
    assert told["spot"]["finding"] > told["haze"]["finding"] > told["dark"]["finding"]
    assert told["spot"]["area"] == pytest.approx(np.log(1 / 64))
    assert told["spot"]["spread"] < told["haze"]["spread"] == pytest.approx(0.0)
    assert told["spot"]["quality"] == 0.0


def test_a_reading_tells_the_lesion_map_where_there_is_one() -> None:
    maps = np.full((2, 4, 4), 0.2, np.float32)
    plain = Reading(0.3, 0.6, Box(0, 0, 1, 1), maps)
    lesion = np.full((8, 8), 0.1, np.float32)
    lesion[2, 2] = 0.8
    told = reading_figures(plain, 0.7), reading_figures(replace(plain, lesion=lesion), 0.7)
    place = FIGURES.index("finding")
    assert told[0][place] == pytest.approx(np.log(0.2 / 0.8), abs=1e-5)
    assert told[1][place] == pytest.approx(np.log(0.8 / 0.2), abs=1e-5)
    assert told[0][FIGURES.index("quality")] == pytest.approx(np.log(0.7 / 0.3))


def test_a_figure_that_is_not_known_asks_for_a_newer_agent() -> None:
    head = msgspec.structs.replace(attention(1.0), figures=("colour",))
    with pytest.raises(BadBundle, match="Update the agent"):
        head.apply(sweep(1.0))


def test_heads_survive_the_manifest_and_may_be_left_out() -> None:
    distance = Distance((0.0, 0.0), ((1.0, 0.0),), (1.0,), 1.0, slope=4.0, bias=4.0)
    heads = Heads(LINEAR, Domain(0.4, 0.995, LINEAR, distance), attention(2.0))
    again = msgspec.json.decode(msgspec.json.encode(heads), type=Heads)
    assert again == heads
    assert again.domain is not None
    assert again.domain.apply(np.array([1.0, 1.0])) == heads.domain.apply(np.array([1.0, 1.0]))  # type: ignore[union-attr]
    assert msgspec.json.decode(b"{}", type=Heads) == Heads()
    assert "Linear" in msgspec.json.schema(Heads)["$defs"]
