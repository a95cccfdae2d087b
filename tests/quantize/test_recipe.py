"""Quantization recipes: what is read, what an option beats, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from sono_models.errors import BadConfig
from sono_quantize.recipe import Plan, read_plan

RECIPES = Path(__file__).resolve().parents[2] / "quantize" / "recipes"
pytestmark = pytest.mark.train


def test_without_a_recipe_it_is_the_post_training_one() -> None:
    assert read_plan(None) == read_plan(RECIPES / "ptq.toml") == Plan()


def test_the_aware_recipe_learns_and_an_option_beats_it() -> None:
    assert read_plan(RECIPES / "qat.toml").finetune == 1024
    plan = read_plan(RECIPES / "qat.toml", finetune=512, epochs=None, plain=False)
    assert (plan.name, plan.finetune, plan.epochs, plan.plain) == ("qat", 512, 3, False)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("calibration = 4", "calibration"),
        ("epoch = 3", "unknown field `epoch`"),
        ("finetune = 4", "less than one batch"),
        ("rate = 0.0", "rate"),
        ("finetune =", "Invalid"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "wrong.toml").write_text(text, "utf-8")
    with pytest.raises(BadConfig, match=reason):
        read_plan(tmp_path / "wrong.toml")


def test_a_recipe_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        read_plan(tmp_path / "absent.toml")
