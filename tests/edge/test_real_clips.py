"""`sono bench clips`: real clips as video, and what is counted of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from sono_edge.bench.real_clips import Clip, Watched, figures, read_clips, run
from sono_models.bundle import read
from sono_models.errors import BadManifest
from tests.support.bundles import BREAST, clip


def watched(patient: str, alerts: int, *, frames: int = 300, held: int = 0) -> Watched:
    shown = Clip(Path(f"{patient}.mp4"), "regular", patient, "linear")
    return Watched(shown, frames, frames / 30, alerts, Counter({"not-breast": held} if held else {}), 0.2)


def test_alerts_are_counted_by_the_clip_and_the_minute() -> None:
    told = figures([watched("1", 2), watched("1", 0, held=150), watched("2", 1)])
    assert (told["clips"], told["patients"], told["minutes"]) == (3, 2, 0.5)
    assert (told["alerts"], told["clips_with_alerts"]) == (3, 2)
    assert told["alerts_per_min"]["value"] == 6.0
    assert told["alerts_per_clip"]["lo"] <= 1.0 <= told["alerts_per_clip"]["hi"]
    assert (told["gated_share"], told["gated_by"]) == (round(150 / 900, 4), {"not-breast": round(150 / 900, 4)})


def test_a_clip_is_played_as_the_video_it_is(tmp_path: Path) -> None:
    clip(tmp_path / "lesion.mp4", 3.0)
    (tmp_path / "table.csv").write_text("clip,label,patient\nlesion.mp4,malignant,p1\nlesion.mp4,odd,p2\n", "utf-8")
    played: list[int] = []
    told = run(read(BREAST), "onnx", read_clips(tmp_path / "table.csv", frozenset({"p1"})), told=played.append)
    assert played == [1]
    assert (told["clips"], told["frames"], told["minutes"]) == (1, 90, 0.05)
    (line,) = told["each"]
    assert line["clip"] == "lesion.mp4"
    assert line["alerts"] == told["alerts"]
    assert sum(told["classes"]["malignant"].values()) == 1
    assert told["by_probe"].keys() == {""}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("clip,label\na.mp4,x\n", "lacks the column patient"),
        ("clip,label,patient\n", "has no rows"),
        ("clip,label,patient\na.mp4,x,2\n", "no clip is left"),
    ],
)
def test_a_table_that_is_none_is_refused(content: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(content, "utf-8")
    with pytest.raises(BadManifest, match=words):
        read_clips(tmp_path / "table.csv", frozenset({"1"}))
    with pytest.raises(BadManifest, match="cannot be read"):
        read_clips(tmp_path / "none.csv")
