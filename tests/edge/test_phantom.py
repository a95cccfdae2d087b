from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from sono_edge.commands.phantom import phantom
from sono_edge.phantom import PhantomFrame, still, sweep
from sono_edge.phantom.anatomy import draw_anatomy
from sono_edge.phantom.render import Hold, build_scanner, draw_look, render
from sono_edge.phantom.speckle import PointSpread, envelope, scatterers
from sono_edge.phantom.stills import settle
from sono_edge.phantom.sweep import CYCLE_S, box_of, burn, is_frozen, plan, touching
from sono_models.errors import BadConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sono_edge.phantom.lesion import Kind

SMALL = (320, 240)
ROUND_S = 2 * CYCLE_S


@pytest.fixture(scope="module")
def one_round() -> list[PhantomFrame]:
    """Two cycles of the default sweep: one of everything that happens in a sweep."""
    return list(sweep(seed=7, size=SMALL, seconds=ROUND_S))


def without_and_with(seed: int, kind: Kind) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """One scene without and with a lesion in it, and the lesion's mask."""
    rng = np.random.default_rng(seed)
    scanner = build_scanner(rng, draw_look(rng, sector_share=0.0), SMALL)
    anatomy = replace(draw_anatomy(rng), rib_x=None)
    lesion = settle(rng, kind, anatomy, SMALL[0] / SMALL[1])
    bare, _ = render(scanner, anatomy, (), Hold())
    picture, masks = render(scanner, anatomy, (lesion,), Hold())
    return bare, picture, masks[0]


def change_behind(seed: int, kind: Kind) -> float:
    """Measure the mean change of grey that a lesion makes in the tissue right behind it."""
    bare, picture, mask = without_and_with(seed, kind)
    left, top, width, height = cv2.boundingRect(mask)
    first = top + height + 4
    behind = np.s_[first : first + 30, left + width // 3 : left + width - width // 3]
    return float(picture[behind].astype(np.float32).mean() - bare[behind].astype(np.float32).mean())


def test_the_same_seed_gives_the_same_still_and_another_seed_another() -> None:
    first, mask = still(seed=3, kind="malignant", size=SMALL)
    again, mask_again = still(seed=3, kind="malignant", size=SMALL)
    other, _ = still(seed=4, kind="malignant", size=SMALL)
    assert first.shape == mask.shape == (240, 320)
    assert np.array_equal(first, again)
    assert np.array_equal(mask, mask_again)
    assert not np.array_equal(first, other)


def test_the_same_seed_gives_the_same_sweep_endless_or_not(one_round: list[PhantomFrame]) -> None:
    for ended, endless in zip(one_round[:20], islice(sweep(seed=7, size=SMALL), 20), strict=True):
        assert ended.index == endless.index
        assert ended.captured_s == endless.captured_s
        assert np.array_equal(ended.picture, endless.picture)


def test_the_envelope_of_a_homogeneous_medium_is_rayleigh() -> None:
    strip = scatterers(np.random.default_rng(0), PointSpread(1.2, 2.2, 1.6, 0.4), (640, 480))
    for position in (0.0, 0.5, 3.3):
        amplitude = envelope(strip, position, 5)
        assert amplitude.mean() / amplitude.std() == pytest.approx(1.91, abs=0.05)


def test_speckle_moves_with_the_probe_and_decorrelates_along_the_sweep() -> None:
    strip = scatterers(np.random.default_rng(0), PointSpread(1.2, 2.2, 1.6, 0.4), SMALL)
    here = envelope(strip, 2.1, 0)
    assert np.array_equal(envelope(strip, 2.1, 7)[:, :-7], here[:, 7:])

    def likeness(position: float) -> float:
        return float(np.corrcoef(here.ravel(), envelope(strip, position, 0).ravel())[0, 1])

    assert likeness(2.1 + 4 / 30) > 0.9
    assert abs(likeness(4.6)) < 0.1


@pytest.mark.parametrize("kind", ["benign", "malignant"])
def test_a_lesion_is_darker_than_the_tissue_around_it(kind: Kind) -> None:
    for seed in range(8):
        _, picture, mask = without_and_with(seed, kind)
        near = cv2.dilate(mask, np.ones((1, 41), np.uint8))
        around = (near > 0) & (cv2.dilate(mask, np.ones((9, 9), np.uint8)) == 0)
        assert picture[mask > 0].mean() < picture[around].mean() - 8


def test_malignant_lesions_shadow_and_benign_ones_enhance() -> None:
    seeds = range(12)
    assert np.mean([change_behind(seed, "malignant") for seed in seeds]) < -10
    assert np.mean([change_behind(seed, "benign") for seed in seeds]) > 4


def test_a_normal_still_has_an_empty_mask_and_a_lesion_a_full_one() -> None:
    for seed in range(9):
        assert not still(seed=seed, kind="normal", size=SMALL)[1].any()
        for kind in ("benign", "malignant"):
            mask = still(seed=seed, kind=kind, size=SMALL)[1]
            assert set(np.unique(mask)) == {0, 255}


def test_the_box_is_the_smallest_around_the_mask() -> None:
    _, mask = still(seed=5, kind="benign")
    box = box_of(mask)
    assert box is not None
    rows, columns = np.nonzero(mask)
    assert box.x0 * 640 == pytest.approx(columns.min())
    assert box.x1 * 640 == pytest.approx(columns.max() + 1)
    assert box.y0 * 480 == pytest.approx(rows.min())
    assert box.y1 * 480 == pytest.approx(rows.max() + 1)
    assert box_of(np.zeros((4, 4), np.uint8)) is None


def test_lesions_grow_in_and_shrink_out(one_round: list[PhantomFrame]) -> None:
    areas = [frame.lesions[0].box.area() for frame in one_round[: int(CYCLE_S * 30)] if frame.lesions]
    assert 45 < len(areas) < 120
    assert max(areas) > 2.5 * areas[0]
    assert max(areas) > 2.5 * areas[-1]


def test_the_first_lesion_is_malignant_and_the_second_benign(one_round: list[PhantomFrame]) -> None:
    seen = [(truth.lesion, truth.kind) for frame in one_round for truth in frame.lesions]
    assert list(dict.fromkeys(seen)) == [(0, "malignant"), (1, "benign")]


def test_boxes_lie_on_the_dark_of_the_lesion(one_round: list[PhantomFrame]) -> None:
    seen = 0
    for frame in one_round:
        for truth in frame.lesions:
            x, y = truth.box.centre()
            column, row = int(x * SMALL[0]), int(y * SMALL[1])
            half = int((truth.box.x1 - truth.box.x0) * SMALL[0])
            band = frame.picture[row - 3 : row + 4].astype(np.float32)
            outside = np.r_[band[:, : max(column - half, 0)].ravel(), band[:, column + half :].ravel()]
            seen += 1
            assert band[:, column - 3 : column + 4].mean() < outside.mean()
    assert seen > 90


def test_frozen_frames_repeat_the_picture_to_the_byte(one_round: list[PhantomFrame]) -> None:
    frozen = [frame for frame in one_round if frame.frozen]
    assert len(frozen) == pytest.approx(45, abs=2)
    for frame in frozen:
        before = one_round[frame.index - 1]
        assert np.array_equal(frame.picture, before.picture)
        assert frame.lesions == before.lesions
    live = [frame for frame in one_round[1:] if not frame.frozen and frame.contact]
    for frame in live:
        assert not np.array_equal(frame.picture, one_round[frame.index - 1].picture)


def test_without_contact_the_picture_is_dark_below_its_first_quarter(one_round: list[PhantomFrame]) -> None:
    lifted = [frame for frame in one_round if not frame.contact]
    assert len(lifted) > 30
    for frame in lifted:
        assert not frame.lesions
        below, above = frame.picture[60:], frame.picture[:40]
        assert below.mean() < 16
        assert above.mean() > 2 * below.mean()
    middle = lifted[len(lifted) // 2].picture
    assert middle[60:230].mean() < 4


@pytest.mark.parametrize("seed", [7, 8, 99])
def test_any_half_minute_holds_one_of_everything(seed: int) -> None:
    cycles = [plan(seed, number, 4 / 3) for number in range(16)]
    times = np.arange(0, 16 * CYCLE_S, 1 / 30)
    marks = np.zeros((4, times.size), np.bool_)
    for column, at_s in enumerate(times):
        cycle = cycles[int(at_s // CYCLE_S)]
        contact = touching(cycle, at_s, 64)
        inside = cycle.lesion.section(at_s) > 0.9
        marks[:, column] = (
            inside and cycle.lesion.kind == "malignant",
            inside and cycle.lesion.kind == "benign",
            contact is not None and not contact.any(),
            is_frozen(cycle, at_s),
        )
    for first in range(0, times.size - 900, 30):
        assert marks[:, first : first + 900].any(axis=1).all()


def test_simulated_is_written_at_the_bottom_edge_alone() -> None:
    picture = np.zeros((480, 640), np.uint8)
    burn(picture)
    rows, columns = np.nonzero(picture)
    assert rows.min() > 464
    assert columns.max() < 120
    assert 60 < picture.max() < 160


def test_the_command_writes_stills_and_their_manifest(tmp_path: Path) -> None:
    phantom(tmp_path / "set", count=6, seed=2)
    with (tmp_path / "set" / "manifest.csv").open(encoding="utf-8") as table:
        rows = list(csv.DictReader(table))
    assert [row["label"] for row in rows] == ["normal", "benign", "malignant"] * 2
    assert len({row["group"] for row in rows}) == 6
    for row in rows:
        picture = cv2.imread(str(tmp_path / "set" / row["image"]), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(tmp_path / "set" / row["mask"]), cv2.IMREAD_UNCHANGED)
        assert picture is not None
        assert mask is not None
        assert picture.shape == mask.shape
        assert max(picture.shape) <= 448
        assert bool(mask.any()) == (row["label"] != "normal")
        assert set(np.unique(mask)) <= {0, 255}


def test_the_command_writes_a_sweep_and_its_truth(tmp_path: Path) -> None:
    phantom(tmp_path / "sweep", seed=7, sweep=0.2)
    lines = (tmp_path / "sweep" / "truth.jsonl").read_text(encoding="utf-8").splitlines()
    frames = list(sweep(seed=7, seconds=0.2))
    assert len(lines) == len(frames) == 6
    for line, frame in zip(lines, frames, strict=True):
        truth = json.loads(line)
        assert truth["contact"] is True
        stored = cv2.imread(str(tmp_path / "sweep" / truth["image"]), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert np.array_equal(stored, frame.picture)


def test_the_command_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me", encoding="utf-8")
    with pytest.raises(BadConfig, match="not an empty folder"):
        phantom(tmp_path, count=3, seed=1)
