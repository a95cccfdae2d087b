"""A clip's region is followed from frame to frame: nothing that is no longer tissue is kept, whatever came before."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sono_edge.scan import region
from sono_edge.scan.kept import Cleaner, storable
from sono_edge.scan.region import find, follow
from sono_models.inputs import Grey
from tests.support.scans import screen, tissue

SIZE = (280, 340)
AT = (40, 70)


def moved(seed: int, size: tuple[int, int] = SIZE, at: tuple[int, int] = AT) -> Grey:
    """A screen whose tissue is another one for every seed."""
    made = np.zeros((360, 480), np.uint8)
    made[at[0] : at[0] + size[0], at[1] : at[1] + size[1]] = tissue(size, seed)
    return made


def named(picture: Grey, at: tuple[int, int], ground: int | None = None) -> tuple[Grey, Grey]:
    """The picture with a name written over it, on a panel of this grey where one is given, and the letters."""
    made, letters = picture.copy(), np.zeros_like(picture)
    cv2.putText(letters, "ROSSI MARIA", at, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2)
    if ground is not None:
        made[at[1] - 30 : at[1] + 16, at[0] - 8 : at[0] + 160] = ground
    made[letters > 0] = 235
    return made, letters


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often a region is looked for from nothing."""
    real, count = region.find, [0]

    def counted(picture: Grey) -> region.Region | None:
        count[0] += 1
        return real(picture)

    monkeypatch.setattr(region, "find", counted)
    return count


def test_a_region_that_stays_is_found_once(finds: list[int]) -> None:
    cleaner = Cleaner()
    for seed in range(12):
        assert cleaner.storable(moved(seed)) is not None
    assert finds == [1]


@pytest.mark.parametrize("ground", [0, 60, None])
@pytest.mark.parametrize("at", [(80, 90), (200, 180), (230, 310)])
def test_a_followed_region_keeps_no_more_of_a_name_than_one_found_anew(at: tuple[int, int], ground: int | None) -> None:
    cleaner = Cleaner()
    assert cleaner.storable(moved(1)) is not None
    made, letters = named(moved(2), at, ground)
    followed, found = cleaner.storable(made), storable(made)
    assert followed is not None
    assert found is not None
    assert np.count_nonzero(followed[letters > 0]) <= np.count_nonzero(found[letters > 0])


def test_a_name_in_the_place_of_tissue_that_went_is_not_kept() -> None:
    """The depth grows: the picture is narrower, and the scanner writes where tissue was before."""
    cleaner = Cleaner()
    assert cleaner.storable(moved(1)) is not None
    made, letters = named(moved(2, (280, 160), (40, 70)), (240, 200))
    kept = cleaner.storable(made)
    assert kept is not None
    assert np.count_nonzero(kept[letters > 0]) == 0
    assert np.count_nonzero(kept) > 0


def test_what_goes_leaves_the_region_before_it_is_found_anew(finds: list[int]) -> None:
    first = follow(None, moved(1))
    assert first is not None
    second = moved(2)
    second[AT[0] : AT[0] + 40, AT[1] : AT[1] + 60] = 0  # less than MOVED_SHARE of it
    after = follow(first, second)
    assert after is not None
    assert finds == [1]
    corner = after.mask[AT[0] + 8 : AT[0] + 24, AT[1] + 8 : AT[1] + 36]
    assert np.count_nonzero(corner) == 0
    again = follow(after, moved(3))
    assert again is not None
    assert np.count_nonzero(again.mask[AT[0] + 8 : AT[0] + 24, AT[1] + 8 : AT[1] + 36]) == 0, "it waits"


def test_a_picture_of_another_size_is_another_region() -> None:
    first = follow(None, screen())
    other = np.zeros((720, 960), np.uint8)
    other[100:500, 200:700] = tissue((400, 500))
    second = follow(first, other)
    assert second is not None
    assert second.mask.shape == other.shape


def test_followed_or_found_the_same_is_kept_of_a_still_screen() -> None:
    cleaner, picture = Cleaner(), moved(4)
    for _ in range(3):
        followed = cleaner.storable(picture)
    alone = storable(picture)
    assert alone is not None
    assert followed is not None
    assert np.array_equal(alone, followed)


def test_the_border_is_as_deep_as_it_is_said_to_be() -> None:
    found = find(moved(1))
    assert found is not None
    depth = cv2.distanceTransform(cv2.copyMakeBorder(found.mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_C, 3)
    _, _, across, down = cv2.boundingRect(found.mask)
    reach = max(2, round(region.BORDER_SHARE * min(across, down)))
    inner = depth[1:-1, 1:-1]
    assert np.array_equal(found.border > 0, (inner > 0) & (inner <= reach))
