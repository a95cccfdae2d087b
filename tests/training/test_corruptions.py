"""Each corruption does what it says, the same every time, and the runner counts what it costs."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from sono_edge.phantom import still
from sono_models.bundle import read
from sono_models.inputs import Box
from sono_models.table import Row
from sono_training import commands
from sono_training.corruptions import CORRUPTIONS, TWELVE, Picture, corrupt
from sono_training.robustness import Corrupted, report
from tests.support.bundles import BREAST

LESION = Box(0.4, 0.3, 0.6, 0.5)
ONLY_ADD = ("text", "side_text", "caliper")


@pytest.fixture(scope="module")
def picture() -> Picture:
    return still(seed=41, kind="benign", size=(320, 240))[0]


def changed(picture: Picture, name: str, severity: int = 3, lesion: Box | None = LESION) -> Picture:
    return corrupt(picture, name, severity=severity, image="41.png", lesion=lesion)


def mean(picture: Picture) -> float:
    return float(picture.mean())


def detail(picture: Picture) -> float:
    return float(np.abs(np.diff(picture.astype(float), axis=1)).mean())


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_shape_stays_the_picture_changes_and_comes_again(picture: Picture, name: str) -> None:
    colour = np.ascontiguousarray(np.stack([picture, picture // 2, 255 - picture], axis=2))
    for source in (picture, colour):
        before = source.copy()
        first, again = changed(source, name), changed(source, name)
        assert first.shape == source.shape
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert not np.array_equal(first, source)
        assert np.array_equal(source, before), "the picture given was written on"


@pytest.mark.parametrize("name", sorted(set(CORRUPTIONS) - {"border", "caliper"}))
def test_more_severity_moves_the_picture_further(picture: Picture, name: str) -> None:
    def moved(severity: int) -> float:
        return float(np.abs(changed(picture, name, severity).astype(int) - picture.astype(int)).mean())

    assert moved(5) > moved(1)


@pytest.mark.parametrize("shape", [(8, 8), (8, 700), (500, 9)])
def test_any_size_is_taken(shape: tuple[int, int]) -> None:
    small = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    for name in CORRUPTIONS:
        assert changed(small, name, 5).shape == shape


def test_another_image_name_is_another_draw(picture: Picture) -> None:
    other = corrupt(picture, "text", severity=3, image="42.png")
    assert not np.array_equal(other, changed(picture, "text"))
    with pytest.raises(ValueError, match="severity 6"):
        corrupt(picture, "text", severity=6, image="42.png")


def test_gain_shifts_the_grey_by_its_decibel_and_black_stays_black() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(8, 0)
    down, up = changed(ramp, "gain_down"), changed(ramp, "gain_up")
    assert (down[0, 128], up[0, 128]) == (102, 154)  # 25.5 levels are 6 dB of 60 dB
    assert down[0, 0] == up[0, 0] == 0
    assert (np.diff(up[0].astype(int)) >= 0).all()


def test_limited_range_is_bt709_at_severity_3() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None].repeat(8, 0)
    washed, crushed = changed(ramp, "range_washed"), changed(ramp, "range_crushed")
    assert (washed.min(), washed.max()) == (16, 235)
    assert (crushed[0, 16], crushed[0, 235]) == (0, 255)


def test_depth_keeps_the_skin_line_in_place(picture: Picture) -> None:
    deeper, shallower = changed(picture, "depth_deeper"), changed(picture, "depth_shallower")
    assert not deeper[-40:].any()
    assert not deeper[:, :30].any()
    assert deeper[:20, 100:220].any()
    part = picture[: round(240 / 1.3), round(160 - 160 / 1.3) : round(160 + 160 / 1.3)]
    enlarged = cv2.resize(part, (320, 240)).astype(float)
    assert np.corrcoef(enlarged.ravel(), shallower.ravel().astype(float))[0, 1] > 0.95


def test_blur_smooths_and_speckle_roughens(picture: Picture) -> None:
    assert detail(changed(picture, "blur")) < 0.8 * detail(picture) < detail(changed(picture, "speckle"))
    flat = np.full((256, 256), 120, np.uint8)
    assert float(changed(flat, "speckle").std()) == pytest.approx(4.8 / 60 * 255, rel=0.05)
    assert not changed(np.zeros_like(flat), "speckle").any()


def test_moire_waves_at_its_period() -> None:
    flat = np.full((256, 256), 120, np.uint8)
    waves = changed(flat, "moire").astype(float)
    assert mean(waves.astype(np.uint8)) == pytest.approx(120, abs=3)
    assert 12 <= waves.max() - 120 <= 25  # 20 % of 120
    spectrum = np.abs(np.fft.fft2(waves - waves.mean()))
    y, x = np.unravel_index(int(spectrum.argmax()), spectrum.shape)
    period = 1 / float(np.hypot(np.fft.fftfreq(256)[y], np.fft.fftfreq(256)[x]))
    assert 2.3 <= period <= 7.5


def test_jpeg_makes_blocks(picture: Picture) -> None:
    steps = np.abs(np.diff(changed(picture, "jpeg").astype(float), axis=1)).mean(axis=0)
    original = np.abs(np.diff(picture.astype(float), axis=1)).mean(axis=0)
    assert steps[7::8].mean() / steps.mean() > original[7::8].mean() / original.mean()


def test_border_is_one_shade_around_all_of_the_picture(picture: Picture) -> None:
    framed = changed(picture, "border")
    rim = np.concatenate([framed[:8].ravel(), framed[-8:].ravel(), framed[:, :8].ravel(), framed[:, -8:].ravel()])
    assert len(np.unique(rim)) == 1


@pytest.mark.parametrize("name", ONLY_ADD)
def test_what_is_written_over_leaves_the_rest_alone(picture: Picture, name: str) -> None:
    touched = changed(picture, name) != picture
    assert 0.0005 < touched.mean() < 0.15


def test_side_text_keeps_to_the_sides() -> None:
    touched = np.nonzero(changed(np.zeros((240, 320), np.uint8), "side_text", 3))[1]
    middle = (touched > 0.4 * 320) & (touched < 0.6 * 320)
    assert len(touched) > 200
    assert not middle.any()


def test_a_caliper_spans_the_lesion_and_without_one_lies_anywhere() -> None:
    black = np.zeros((240, 320), np.uint8)
    ys, xs = np.nonzero(changed(black, "caliper"))
    assert (xs.min(), xs.max()) == (pytest.approx(0.4 * 320, abs=7), pytest.approx(0.6 * 320, abs=7))
    assert (ys.min(), ys.max()) == (pytest.approx(0.3 * 240, abs=7), pytest.approx(0.5 * 240, abs=7))
    assert not np.array_equal(changed(black, "caliper", lesion=None), changed(black, "caliper"))


def test_swapped_channels_of_a_colour_picture_and_of_a_tinted_grey_one(picture: Picture) -> None:
    colour = np.ascontiguousarray(np.stack([picture, picture // 2, 255 - picture], axis=2))
    assert np.array_equal(changed(colour, "channels_swapped")[:, :, 0], colour[:, :, 2])
    ratio = mean(changed(picture, "channels_swapped")) / mean(picture)
    assert 0.7 < ratio < 0.95


def test_twelve_are_reported_and_every_one_is_run() -> None:
    assert len(TWELVE) == 12
    assert sorted(way for ways in TWELVE.values() for way in ways) == sorted(CORRUPTIONS)


def test_the_worse_way_counts_and_an_unharmed_score_drops_nothing() -> None:
    labels = ["malignant", "benign"] * 10
    rows = [Row(Path(f"{i}.png"), label, f"g{i}", None, {}) for i, label in enumerate(labels)]
    clean = np.array([0.9 if label == "malignant" else 0.1 for label in labels])
    scores = {"clean": clean, **dict.fromkeys(CORRUPTIONS, clean)}
    scores["gain_up"] = 1 - clean
    scores["caliper"] = clean + 0.05
    found = report(read(BREAST), Corrupted(rows, scores), 3)
    assert found["worst"] == "gain"
    assert found["corruptions"]["gain"]["way"] == "gain_up"
    assert found["worst_drop"] == {"value": 1.0, "lo": 1.0, "hi": 1.0}
    assert found["corruptions"]["gain"]["decisions_kept"] == 0.0
    assert found["corruptions"]["blur"]["drop"]["value"] == 0.0
    assert found["caliper_p95_change"] == pytest.approx(0.05)


def test_the_command_measures_phantom_stills(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["image,label,group,mask"]
    for index in range(6):
        kind = ("normal", "benign", "malignant")[index % 3]
        shown, mask = still(seed=9000 + index, kind=kind, size=(320, 240))  # type: ignore[arg-type]
        cv2.imwrite(str(tmp_path / f"{index}.png"), shown)
        cv2.imwrite(str(tmp_path / f"{index}-mask.png"), mask)
        lines.append(f"{index}.png,{kind},g{index},{index}-mask.png")
    table = tmp_path / "stills.csv"
    table.write_text("\n".join(lines) + "\n", "utf-8")
    commands.robustness(table, bundle=BREAST, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert set(found["corruptions"]) == set(TWELVE)
    assert found["worst_drop"]["value"] == max(each["drop"]["value"] for each in found["corruptions"].values())
    assert 0 <= found["caliper_p95_change"] <= 1
    assert (found["n"], found["positives"], found["severity"]) == (6, 2, 3)
    commands.robustness(table, bundle=BREAST)
    assert "worst: " in capsys.readouterr().out
