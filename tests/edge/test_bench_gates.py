"""What `sono bench gates` counts, on frames whose truth is plain."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from sono_edge.bench import gated
from sono_edge.bench.gates import RULES, Seen, as_frame, made_frames, summary
from sono_edge.bench.stills import stills
from sono_edge.gates import Gate
from sono_models.errors import BadConfig
from tests.support.bundles import phantom

PICTURE = np.ascontiguousarray(next(phantom(1))[::2, ::2])


def seen(kind: str, gate: Gate, group: str, reason: str = "") -> Seen:
    return Seen(kind, group, kind == "clean", True, gate, reason)


def test_the_same_seed_makes_the_same_frames_of_every_kind_that_a_gate_has() -> None:
    one, other = (dict(made_frames(PICTURE, PICTURE[:-31, :-7], np.random.default_rng(3))) for _ in range(2))
    assert set(one) | {"overlays"} == {kind for rule in RULES.values() for kind in rule.kinds}
    for kind, picture in one.items():
        assert np.array_equal(picture, other[kind])
        assert picture.dtype == np.uint8


def test_colour_goes_through_the_decoder_that_a_still_goes_through() -> None:
    assert as_frame(gated.flowing(PICTURE, np.random.default_rng(1))).coloured_share > 0.004
    assert as_frame(np.asarray(cv2.cvtColor(PICTURE, cv2.COLOR_GRAY2BGR), np.uint8)).coloured_share == 0.0
    assert as_frame(PICTURE).picture is PICTURE


def test_a_gate_is_figured_by_what_it_held_of_its_own_and_of_others() -> None:
    frames = [
        *(seen("dim", Gate.LOW_QUALITY, f"p{number}") for number in range(3)),
        seen("blurred", Gate.PASS, "p3"),
        *(seen("clean", Gate.PASS, f"p{number}") for number in range(5)),
        seen("clean", Gate.LOW_QUALITY, "p5"),
    ]
    found = summary("low_quality", frames)
    assert (found["precision"], found["recall"], found["false"], found["missed"]) == (0.75, 0.75, 1, 1)
    assert found["f1"]["lo"] <= found["f1"]["value"] == 0.75 <= found["f1"]["hi"]


def test_stills_that_may_have_drawings_of_their_own_say_nothing_of_calipers() -> None:
    unknown = Seen("clean", "p1", True, False, Gate.CALIPERS, "")
    assert "no truth" in summary("calipers", [unknown])["status"]
    known = [seen("measured", Gate.CALIPERS, "p2"), seen("clean", Gate.PASS, "p3")]
    assert summary("calipers", [unknown, *known])["precision"] == 1.0


def test_stills_are_drawn_from_what_fits(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "image,label,patient,fold\n" + "".join(f"{n}.png,benign,p{n},{n % 2}\n" for n in range(10)), "utf-8"
    )
    assert len(stills(table, ["fold=1"], None, count=3, seed=1)) == 3
    assert [row.group for row in stills(table, ["fold=1"], None, count=None, seed=1)] == ["p1", "p3", "p5", "p7", "p9"]
    only = tmp_path / "groups.txt"
    only.write_text("p3\n", "utf-8")
    assert [row.group for row in stills(table, [], only, count=9, seed=1)] == ["p3"]
    with pytest.raises(BadConfig):
        stills(table, ["fold=0"], only, count=None, seed=1)
