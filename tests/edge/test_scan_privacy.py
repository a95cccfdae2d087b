"""Nothing that is written beside the ultrasound region survives; without a region nothing is stored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from sono_edge.scan.kept import storable, storable_all
from sono_edge.scan.privacy import rows_of
from sono_edge.scan.region import find, follow
from sono_models.inputs import Grey
from tests.support.scans import screen, tissue

DATA = Path(__file__).parents[3] / "shared" / "data" / "bus_bra" / "images"
NAMES = ("ROSSI MARIA 1961", "DOB 02-03-1961", "ID 8891-22", "Osp. Centrale", "02.11.26 09:41")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def furnished(still: Grey, seed: int, *, bright: int = 255) -> tuple[Grey, Grey, Grey]:
    """A scanner's screen (720, 960) around a still: the screen, where the still lies, and every pasted pixel."""
    rng = np.random.default_rng(seed)
    shape = (720, 960)
    scale = min(500 / still.shape[0], 560 / still.shape[1])
    still = np.asarray(cv2.resize(still, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), np.uint8)
    rows, columns = still.shape
    top, left = (int(rng.integers(90, side - used - 90)) for side, used in zip(shape, still.shape, strict=True))
    inside, written = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    inside[top : top + rows, left : left + columns] = 255
    for number in range(8):
        text, size, thick = NAMES[number % len(NAMES)], float(rng.uniform(0.4, 1.1)), int(rng.integers(1, 4))
        (across, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
        gap, along = int(rng.integers(1, 12)) + thick, int(rng.integers(0, columns // 2))
        down = top + high + int(rng.integers(0, rows - high))
        place = (
            (left + along, top - gap),
            (left + along, top + rows + gap + high),
            (left - across - gap, down),
            (left + columns + gap, down),
        )[number % 4]
        cv2.putText(written, text, place, cv2.FONT_HERSHEY_SIMPLEX, size, 255, thick, cv2.LINE_AA)
    written[inside > 0] = 0
    made = np.asarray(written.astype(np.float32) * (bright / 255), np.uint8)
    made[top : top + rows, left : left + columns] = still
    return made, inside, written


@pytest.mark.data
@pytest.mark.parametrize("number", [2, 90, 300, 700, 1100, 1500])
def test_no_pasted_glyph_survives_beside_a_real_still(number: int) -> None:
    if not DATA.is_dir():
        pytest.skip("needs the real data at ../shared/data")
    still = cv2.imread(str(sorted(DATA.iterdir())[number]), cv2.IMREAD_GRAYSCALE)
    assert still is not None
    made, inside, written = furnished(np.asarray(still, np.uint8), number, bright=150 + number % 100)
    kept = storable(made)
    assert kept is not None
    assert np.count_nonzero(kept[written > 0]) == 0
    assert np.count_nonzero(kept[inside == 0]) == 0
    lit = (inside > 0) & (made > 0)
    assert np.count_nonzero(kept[lit]) >= 0.75 * np.count_nonzero(lit)


def test_no_pasted_glyph_survives_beside_speckle() -> None:
    for seed in range(4):
        made, _, written = furnished(tissue((260, 280), seed), seed)
        kept = storable(made)
        assert kept is not None
        assert np.count_nonzero(kept[written > 0]) == 0


def test_a_name_over_the_tissue_is_blanked() -> None:
    made = np.minimum(tissue((400, 480), 3), 90)
    written = np.zeros_like(made)
    cv2.putText(written, "ROSSI MARIA 1961", (60, 120), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1)
    kept = storable(np.maximum(made, written))
    assert kept is not None
    letters = written > 200
    assert np.count_nonzero(kept[letters] > 150) <= 0.1 * np.count_nonzero(letters)


def test_what_is_kept_is_as_it_was() -> None:
    made = screen()
    kept = storable(made)
    assert kept is not None
    assert kept.shape == made.shape
    assert np.array_equal(kept[kept > 0], made[kept > 0])
    assert np.count_nonzero(kept) >= 0.7 * np.count_nonzero(made)  # coarse speckle looks written; tissue loses less


@pytest.mark.parametrize("grey", [0, 60, 255])
def test_an_empty_screen_has_no_region(grey: int) -> None:
    assert find(np.full((480, 640), grey, np.uint8)) is None


def test_a_page_of_text_has_no_region_and_nothing_is_stored() -> None:
    made = np.zeros((480, 640), np.uint8)
    for line in range(14):
        cv2.putText(made, "ROSSI MARIA 1961 report", (20, 30 + 32 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 220, 2)
    assert storable(made) is None
    assert find(np.zeros((20, 20), np.uint8)) is None


def test_a_flat_panel_is_not_the_region() -> None:
    made = screen()
    made[:, :100] = 70
    found = find(made)
    assert found is not None
    assert np.count_nonzero(found.mask[:, :100]) == 0


def test_the_region_is_followed_when_the_depth_changes() -> None:
    shallow, deep = screen(), screen((40, 160), (280, 180))
    first = follow(None, shallow)
    assert first is not None
    assert follow(first, shallow) is first
    second = follow(first, deep)
    assert second is not None
    assert second is not first
    assert abs(second.box.x0 - 160 / 480) < 0.03
    assert abs(second.box.y1 - 320 / 360) < 0.03
    assert follow(second, np.zeros_like(deep)) is None


def test_a_clip_leaves_out_frames_without_a_region() -> None:
    frames = [(0.0, screen()), (0.1, np.zeros((360, 480), np.uint8)), (0.2, screen())]
    assert [at for at, _ in storable_all(iter(frames))] == [0.0, 0.2]


def test_letters_in_a_row_are_one_row() -> None:
    row = [(10 * number, 50, 7, 12) for number in range(5)]
    assert sorted(map(len, rows_of([*row, (200, 50, 7, 12), (12, 90, 7, 12)]))) == [1, 1, 5]
