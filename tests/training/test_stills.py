"""Stills of clips: even distances, renamed labels, and what is wrong with a manifest named by its row."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from sono_models.errors import BadManifest
from sono_models.table import read_grey, read_table
from sono_training.stills import read_clips, write_stills
from tests.support.bundles import clip


def clips(folder: Path, *lines: str) -> Path:
    path = folder / "clips.csv"
    path.write_text("\n".join(["clip,label,patient", *lines]) + "\n", "utf-8")
    return path


def test_a_clip_gives_stills_at_even_distances_under_its_patient(tmp_path: Path) -> None:
    clip(tmp_path / "one.mp4", 2.0)
    table = clips(tmp_path, "one.mp4,covid-19,7")
    made = write_stills(read_clips(table), {"covid-19": "pneumonia"}, count=5, out=tmp_path / "stills")
    rows = read_table(made)
    frames = [int(row.columns["frame"]) for row in rows]
    assert frames[0] == 0
    assert len({later - earlier for earlier, later in itertools.pairwise(frames)} - {14, 15}) == 0
    assert {(row.label, row.group) for row in rows} == {("pneumonia", "7")}
    assert max(read_grey(rows[0].image).shape) == 448


@pytest.mark.parametrize(
    ("line", "words"),
    [("none.mp4,regular,1", "clips.csv:2.*there is no file none.mp4"), ("one.mp4,,1", "clips.csv:2.*has no label")],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "one.mp4").write_bytes(b"")
    with pytest.raises(BadManifest, match=words):
        read_clips(clips(tmp_path, line))


def test_a_file_that_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.mp4").write_bytes(b"not a video")
    with pytest.raises(BadManifest, match=r"one\.mp4.*cannot be read as a video"):
        write_stills(read_clips(clips(tmp_path, "one.mp4,regular,1")), {}, count=3, out=tmp_path / "stills")
