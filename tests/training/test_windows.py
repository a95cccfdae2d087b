"""What part of a still a view shows, and that a view of the tissue beside a lesion teaches no finding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sono_edge.phantom import still
from sono_models.inputs import Grey, InputSpec
from sono_models.table import Row, read_table
from sono_training.data import batches, samples
from sono_training.views import Views, shown
from sono_training.windows import MARGIN, NARROWEST, Windows, cut

pytestmark = pytest.mark.train

BESIDE, AROUND = Windows(beside=1.0, around=0.0), Windows(beside=0.0, around=1.0)
LABELS = ("benign", "malignant")
LESION = 255
PLACES = [(0, 40), (120, 200), (140, 141), (260, 300), (10, 290)]
"""From which column to which the lesion goes, of 300."""


def a_still(first: int, last: int) -> tuple[Grey, Grey]:
    """Tissue that is brighter from column to column, and a lesion in it."""
    picture = np.tile(np.linspace(20, 200, 300).astype(np.uint8), (120, 1))
    mask = np.zeros_like(picture)
    mask[30:90, first:last] = 255
    picture[mask > 0] = LESION
    return picture, mask


@pytest.mark.parametrize("place", PLACES)
def test_tissue_beside_a_lesion_shows_none_of_it(place: tuple[int, int]) -> None:
    picture, mask = a_still(*place)
    room = max(place[0], 300 - place[1]) - MARGIN * 300 >= NARROWEST * 300
    widths = set()
    for seed in range(60):
        seen, inside = cut(picture, mask, BESIDE, np.random.default_rng(seed))
        assert seen.shape == inside.shape
        if not room:
            assert np.array_equal(seen, picture)
            assert np.array_equal(inside, mask)
            continue
        assert not inside.any()
        assert not (seen == LESION).any()
        assert NARROWEST * 300 <= seen.shape[1] <= 300
        assert np.isin(seen[0], picture[0]).all()
        widths.add(seen.shape[1])
    assert not room or len(widths) > 20


@pytest.mark.parametrize("place", PLACES)
def test_a_window_around_a_lesion_shows_all_of_it_once(place: tuple[int, int]) -> None:
    picture, mask = a_still(*place)
    widths = set()
    for seed in range(60):
        seen, inside = cut(picture, mask, AROUND, np.random.default_rng(seed))
        assert seen.shape == inside.shape
        assert seen.shape[0] == 120
        assert place[1] - place[0] <= seen.shape[1] <= 300
        assert int((inside > 0).sum()) == int((mask > 0).sum())
        assert np.array_equal(seen == LESION, inside > 0)
        widths.add(seen.shape[1])
    assert len(widths) > 2


def test_a_still_without_a_lesion_is_cut_like_tissue_beside_one() -> None:
    picture, _ = a_still(0, 0)
    for shares in (BESIDE, AROUND):
        widths = {
            cut(picture, np.zeros_like(picture), shares, np.random.default_rng(seed))[0].shape[1] for seed in range(60)
        }
        assert len(widths) > 20
        assert min(widths) >= NARROWEST * 300


def test_the_shares_are_of_all_views() -> None:
    picture, mask = a_still(180, 240)
    rng = np.random.default_rng(3)
    seen = [cut(picture, mask, Windows(beside=0.25, around=0.15), rng) for _ in range(2000)]
    assert np.mean([not inside.any() for _, inside in seen]) == pytest.approx(0.25, abs=0.03)
    assert np.mean([part is picture for part, _ in seen]) == pytest.approx(0.60, abs=0.035)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """A malignant still with tissue at its right, one without a mask, and a normal one."""
    import cv2  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("stills")
    picture, mask = a_still(40, 120)
    normal, nothing = still(seed=1, kind="normal")
    for name, content in (("lesion", picture), ("mask", mask), ("normal", normal), ("nothing", nothing)):
        cv2.imwrite(str(folder / f"{name}.png"), content)
    lines = ["image,label,group,mask", "lesion.png,malignant,a,mask.png", "lesion.png,malignant,b,"]
    (folder / "manifest.csv").write_text("\n".join([*lines, "normal.png,normal,c,nothing.png", ""]), "utf-8")
    return read_table(folder / "manifest.csv")


def test_a_view_beside_the_lesion_teaches_no_finding(rows: list[Row], tmp_path: Path) -> None:
    every = {"t": rows}
    for shares, target in ((BESIDE, 0.0), (AROUND, 1.0), (None, 1.0)):
        view = Views(rows, "hash", InputSpec(96, 96), 5, tmp_path, shares).view(0)
        (batch,) = batches(samples(every, rows, LABELS)[:1], {"t": view}, 4, np.random.default_rng(0))
        assert batch.targets.tolist() == [[0.0, target]]
        assert bool(batch.cover.any()) is bool(target)
        assert bool(batch.fine.any()) is bool(target)
        assert batch.outlined.tolist() == [True]


def test_a_still_without_a_mask_is_shown_whole(rows: list[Row]) -> None:
    spec = InputSpec(96, 96)
    for view in range(4):
        cut_or_not = [shown(rows[1], view, spec, 5, shares) for shares in (BESIDE, None)]
        assert cut_or_not[0].shows
        assert np.array_equal(cut_or_not[0].picture, cut_or_not[1].picture)


def test_a_normal_still_shows_what_it_is_labelled_however_it_is_cut(rows: list[Row]) -> None:
    assert all(shown(rows[2], view, InputSpec(96, 96), 5, BESIDE).shows for view in range(8))
