from __future__ import annotations

import csv
import itertools
import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sono_edge.commands.sweep import sweep, wanted
from sono_edge.sources import open_source
from sono_edge.sweep import STRIP, Still, SweepFrame, draw_path, sweep_over, write_clip
from sono_models.errors import BadConfig, BadManifest
from sono_models.inputs import Box, Grey
from sono_models.table import where
from tests.support.clips import grey

SIZE = (160, 120)
BRIGHT, TISSUE = 220, 60


def still(label: str = "malignant", *, left: float = 0.4, right: float = 0.6, masked: bool = True) -> Still:
    """A bright lesion in even tissue: where it is bright, the lesion is in view."""
    picture = np.full((SIZE[1], SIZE[0]), TISSUE, np.uint8)
    mask = np.zeros(picture.shape, np.bool_)
    mask[40:80, round(left * SIZE[0]) : round(right * SIZE[0])] = True
    if label != "normal":
        picture[mask] = BRIGHT
    return Still(picture, label, mask if masked else None)


def bright_share(picture: Grey) -> float:
    """Of the picture without its burned-in words."""
    return float((cv2.blur(picture[:-16], (5, 5)) > 140).mean())


def runs(frames: list[SweepFrame]) -> list[str]:
    return [label for label, _ in itertools.groupby(frame.label for frame in frames)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("left", "right"), [(0.4, 0.6), (0.0, 0.3), (0.7, 1.0), (0.1, 0.85)])
def test_a_lesion_enters_and_leaves_once_and_the_truth_says_when(seed: int, left: float, right: float) -> None:
    frames = list(sweep_over(still(left=left, right=right), seed=(seed,)))
    assert runs(frames) == ["normal", "malignant", "normal"]
    for frame in frames:
        assert (frame.box is not None) == (frame.label == "malignant")
        assert not (frame.lift_off and frame.box)
    absent = [frame for frame in frames if frame.captured_s < 0.3]
    assert max(bright_share(frame.picture) for frame in absent) == 0.0, "neither the lesion nor its mirror image"


def test_the_box_is_where_the_lesion_shows() -> None:
    frames = [frame for frame in sweep_over(still(), seed=(1,)) if frame.box]
    for frame in frames[:: len(frames) // 8]:
        rows, columns = frame.picture.shape
        seen = (cv2.blur(frame.picture, (3, 3)) > 140).astype(np.uint8)
        seen[-16:] = 0
        left, top, width, height = cv2.boundingRect(seen)
        found = Box(left / columns, top / rows, (left + width) / columns, (top + height) / rows)
        assert frame.box is not None
        assert frame.box.iou(found) > 0.85


def test_a_still_without_a_mask_has_a_label_but_no_box() -> None:
    frames = list(sweep_over(still(masked=False), seed=(2,)))
    assert runs(frames) == ["normal", "malignant", "normal"]
    assert {frame.box for frame in frames} == {None}


def test_a_normal_still_is_normal_throughout() -> None:
    assert runs(list(sweep_over(still("normal"), seed=(3,)))) == ["normal"]


def test_a_lesion_as_wide_as_the_still_never_leaves() -> None:
    frames = [frame for frame in sweep_over(still(left=0.0, right=1.0), seed=(4,)) if not frame.lift_off]
    assert runs(frames)[0] == "malignant"


def test_a_lifted_probe_is_dark_and_has_no_lesion() -> None:
    lifted = [frame for seed in range(8) for frame in sweep_over(still(), seed=(seed,)) if frame.lift_off]
    assert lifted
    assert {frame.label for frame in lifted} == {"normal"}
    assert max(float(frame.picture[40:-16].mean()) for frame in lifted) < TISSUE / 4


def test_the_same_seed_gives_the_same_sweep_and_another_seed_another() -> None:
    first, again, other = (list(itertools.islice(sweep_over(still(), seed=(seed, 0)), 40)) for seed in (5, 5, 6))
    assert all(
        np.array_equal(one.picture, two.picture) and one.box == two.box for one, two in zip(first, again, strict=True)
    )
    assert not np.array_equal(first[-1].picture, other[-1].picture)


def test_frames_move_smoothly_and_are_never_the_same() -> None:
    touching = (frame for frame in sweep_over(still("normal"), seed=(7,)) if not frame.lift_off)
    frames = [frame.picture.astype(int) for frame in touching]
    changes = [float(np.abs(later - earlier).mean()) for earlier, later in itertools.pairwise(frames)]
    assert min(changes) > 0.5
    assert max(changes) < 20


def test_simulated_is_written_into_every_frame() -> None:
    frame = next(iter(sweep_over(still("normal"), seed=(8,))))
    words = frame.picture[-14:-2, 6:90].astype(int)
    assert int((words > TISSUE + 30).sum()) > 50


@given(
    seed=st.integers(0, 10_000),
    window=st.floats(0.65, 0.8),
    edges=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted).filter(lambda two: two[1] - two[0] > 0.02),
)
def test_the_path_starts_and_ends_beside_the_lesion(seed: int, window: float, edges: list[float]) -> None:
    left, right = edges
    path = draw_path(np.random.default_rng(seed), (left, right), window)
    assert 0 <= path.over <= 1 - window
    if left < STRIP and 1 - right < STRIP:
        assert path.begin == path.over == path.end
        return
    for place in (path.begin, path.end):
        assert place + window <= left or place >= right
    assert path.at(0.0) == path.begin
    assert path.at(path.seconds()) == pytest.approx(path.end)


# Clips


def test_a_clip_of_nothing_or_of_an_odd_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="no pictures"):
        write_clip(tmp_path / "a.mp4", ())
    with pytest.raises(BadConfig, match="odd"):
        write_clip(tmp_path / "a.mp4", (grey(0, (63, 48)),))
    assert not (tmp_path / "a.mp4").exists()


# The command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Six stills, two of each label, of two hospitals."""
    rows = ["image,label,mask,group,hospital"]
    for number, label in enumerate(("normal", "benign", "malignant") * 2):
        made = still(label)
        cv2.imwrite(str(tmp_path / f"{number}.png"), made.picture)
        assert made.mask is not None
        cv2.imwrite(str(tmp_path / f"{number}_mask.png"), made.mask.astype(np.uint8) * 255)
        mask = "" if label == "normal" else f"{number}_mask.png"
        rows.append(f"{number}.png,{label},{mask},g{number},{'north' if number < 3 else 'south'}")
    path = tmp_path / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_command_writes_clips_their_truth_and_a_table(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sweep(images=table, out=out, seed=3, count=2, where=["label=malignant"])
    rows = list(csv.DictReader((out / "sweeps.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["label"] for row in rows] == ["malignant", "malignant"]
    assert {row["simulated"] for row in rows} == {"1"}
    truths = [json.loads(line) for line in (out / rows[0]["truth"]).read_text().splitlines()]
    with open_source(str(out / rows[0]["clip"])) as source:
        frames = list(source.frames(threading.Event()))
    assert len(truths) == len(frames) == int(rows[0]["frames"])
    assert [truth["captured_s"] for truth in truths] == pytest.approx([frame.captured_s for frame in frames], abs=1e-5)
    assert set(truths[0]) == {"index", "captured_s", "label", "box", "lift_off"}
    over = next(frame.picture for frame, truth in zip(frames, truths, strict=True) if truth["box"])
    assert bright_share(over) > 0.0


def test_the_same_seed_writes_the_same_bytes(table: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        sweep(images=table, out=tmp_path / name, seed=3, count=1)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_command_ends_with_an_object(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep(images=table, out=tmp_path / "out", seed=3, count=1, where=["hospital=south"], as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["sweeps"] == 1
    assert told["simulated"] is True


def test_conditions_of_one_column_mean_any_of_them() -> None:
    assert wanted(["a=1", "b=x=y", "a=2"]) == {"a": ["1", "2"], "b": ["x=y"]}
    assert where([], {"a": ["1"]}) == []


@pytest.mark.parametrize("condition", ["label", "=x", ""])
def test_a_condition_that_is_none_is_refused(condition: str) -> None:
    with pytest.raises(BadConfig, match="COLUMN=VALUE"):
        wanted([condition])


def test_what_the_command_cannot_do_is_refused_before_it_writes(table: Path, tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="not an empty folder"):
        sweep(images=table, out=tmp_path)
    with pytest.raises(BadConfig, match="no row fits"):
        sweep(images=table, out=tmp_path / "out", where=["label=cyst"])
    with pytest.raises(BadManifest, match="no such column"):
        sweep(images=table, out=tmp_path / "out", where=["scanner=x"])
    with pytest.raises(BadManifest):
        sweep(images=tmp_path / "absent.csv", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
