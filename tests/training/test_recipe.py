from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from sono_models.errors import BadConfig, BadManifest
from sono_models.options import read_groups
from sono_models.table import Row, read_table, where
from sono_training.recipe import Source, choose_groups, gather, read_recipe
from tests.support.bundles import ROOT

RECIPE = ROOT / "models" / "recipes" / "breast.toml"
HELD_OUT = ROOT / "models" / "splits" / "busi-heldout.txt"
DEV = ROOT / "models" / "splits" / "dev.txt"
DATA = ROOT.parent / "shared" / "data"


def table(path: Path, rows: list[str], head: str = "image,label,patient") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([head, *rows]) + "\n", "utf-8")
    return path


def rows(count: int) -> list[Row]:
    labels = ("benign", "malignant")
    return [Row(Path(f"{i}.jpg"), labels[i // 3 % 2], f"p{i // 3}", None, {}) for i in range(count)]


def test_groups_are_chosen_whole_by_label_and_the_same_again() -> None:
    chosen = choose_groups(rows(600), share=0.2, seed=1)
    assert len(chosen) == 40
    assert chosen == choose_groups(list(reversed(rows(600))), share=0.2, seed=1)
    assert chosen != choose_groups(rows(600), share=0.2, seed=2)


@pytest.mark.data
def test_no_group_of_the_real_sets_is_on_two_sides() -> None:
    if not DATA.is_dir():
        pytest.skip("the real data are not at ../shared/data")
    recipe = read_recipe(RECIPE)
    evidence = [source for source in recipe.source if source.evidence]
    split = gather(msgspec.structs.replace(recipe, source=evidence), RECIPE, {"data": DATA})
    fit, dev = ({row.group for row in side} for side in (split.fit, split.dev))
    assert not fit & dev
    assert dev == read_groups(DEV)
    assert len(dev) > 50
    held_out = read_groups(HELD_OUT)
    assert not (fit | dev) & held_out
    busi = where(read_table(DATA / "busi" / "manifest.csv"), {"label_conflict": ["0"]})
    assert held_out == choose_groups(busi, share=0.2, seed=recipe.seed)
    fold5 = {row.group for row in where(read_table(DATA / "bus_bra" / "manifest.csv"), {"fold": ["5"]})}
    assert not (fit | dev) & fold5


def test_a_fold_is_left_out_whole_and_only_one_that_there_is(tmp_path: Path) -> None:
    lines = [f"{i}.png,{'benign' if i % 2 else 'malignant'},p{i},{i % 3}" for i in range(12)]
    path = table(tmp_path / "m.csv", lines, head="image,label,patient,fold")
    source = Source("all", "here:m.csv", fold_column="fold")
    plan = msgspec.structs.replace(read_recipe(RECIPE), source=[source], dev_share=0.0)
    split = gather(plan, RECIPE, {"here": path.parent}, "1")
    assert {row.columns["fold"] for row in split.fit} == {"0", "2"}
    assert len(split.every["here:m.csv"]) == 12
    with pytest.raises(BadConfig, match=r"no such fold. It has: 0, 1, 2"):
        gather(plan, RECIPE, {"here": path.parent}, "7")
    with pytest.raises(BadConfig, match=r"no source of breast\.toml has a fold_column"):
        gather(read_recipe(RECIPE), RECIPE, {"data": tmp_path}, "1")


def test_a_missing_root_a_wrong_key_and_a_missing_column_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="the root 'data' is not given"):
        gather(read_recipe(RECIPE), RECIPE, {})
    wrong = tmp_path / "recipe.toml"
    wrong.write_text(RECIPE.read_text("utf-8").replace("epochs", "epoches"), "utf-8")
    with pytest.raises(BadConfig, match="epoches"):
        read_recipe(wrong)
    with pytest.raises(BadManifest, match="lacks the column label"):
        read_table(table(tmp_path / "m.csv", ["a.jpg,x"], head="image,patient"))
    with pytest.raises(BadManifest, match="no such column"):
        where(read_table(table(tmp_path / "n.csv", ["a.jpg,benign,p1"])), {"fold": ["1"]})
    with pytest.raises(BadManifest, match="has no rows"):
        read_table(table(tmp_path / "o.csv", []))
