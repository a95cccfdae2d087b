"""What `sono bench alerts` plays, and what it counts on timelines whose truth is plain."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest

from sono_edge.bench import alert_laws
from sono_edge.bench.alert_figures import Outcomes, figures, gated_time, outcome, per_frame
from sono_edge.bench.alerts import as_still, plan, report, stills
from sono_edge.bench.alerts_command import Order, run
from sono_edge.bench.parts import Parts
from sono_edge.bench.scenarios import CAUSES, Cause, Played, lesion_free, lesion_free_scan, lesion_sweep, trimmed
from sono_edge.bench.timelines import GATES, Kind, Timeline, judge, load, overlap, save
from sono_edge.decide import Memory, step
from sono_edge.gates import Gate
from sono_edge.sweep import Still
from sono_models.bundle import read
from sono_models.errors import BadConfig, BadSource
from sono_models.law import AlertLaw, read_law
from sono_models.table import read_table
from tests.support.bundles import BREAST, phantom

LAW = AlertLaw(t_hi=0.5, t_lo=0.3)
HERE, THERE = (0.4, 0.4, 0.6, 0.6), (0.0, 0.0, 0.1, 0.1)
NOWHERE = (np.nan,) * 4
SIZE = (160, 120)


def speckled(seed: int = 1, *, left: float = 0.6, right: float = 0.8, label: str = "malignant") -> Still:
    picture = np.random.default_rng(seed).integers(40, 120, (SIZE[1], SIZE[0])).astype(np.uint8)
    mask = np.zeros(picture.shape, np.bool_)
    mask[40:80, round(left * SIZE[0]) : round(right * SIZE[0])] = True
    return Still(picture, label, mask)


def made(
    scores: Sequence[float],
    *,
    kind: Kind = "lesion",
    group: str = "p1",
    seen: tuple[int, int] = (0, 0),
    box: tuple[float, ...] = HERE,
    causes: Sequence[tuple[int, int, Cause]] = (),
    gates: Sequence[tuple[int, int, Gate]] = (),
) -> Timeline:
    """A timeline of these scores, the lesion in view at HERE from and to a frame."""
    n = len(scores)
    truth = np.full((n, 4), np.nan)
    truth[slice(*seen)] = HERE
    cause, gate = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
    for begin, end, why in causes:
        cause[begin:end] = CAUSES.index(why)
    for begin, end, held in gates:
        gate[begin:end] = GATES.index(held)
    no, yes = np.zeros(n, np.bool_), np.ones(n, np.bool_)
    boxes = np.tile(np.asarray(box), (n, 1))
    return Timeline(
        kind, group, "malignant", np.arange(n) / 30, np.asarray(scores, float), boxes, gate, no, yes, no, truth, cause
    )


def under(timeline: Timeline, law: AlertLaw = LAW) -> Outcomes:
    return Outcomes([outcome(timeline, judge(law, timeline, timeline.observations()))])


# The scenarios


def seen_of(played: list[Played]) -> list[Cause]:
    return [cause for cause, _ in itertools.groupby(one.cause for one in played)]


def test_a_sweep_is_a_function_of_still_and_seed_with_its_own_time() -> None:
    one, again, other = (list(lesion_sweep(speckled(), (seed,))) for seed in (1, 1, 2))
    assert all(np.array_equal(a.frame.picture, b.frame.picture) for a, b in zip(one, again, strict=True))
    assert len(one) != len(other) or not np.array_equal(one[9].frame.picture, other[9].frame.picture)
    assert [played.frame.index for played in one] == list(range(len(one)))
    assert [played.frame.captured_s for played in one] == pytest.approx([at / 30 for at in range(len(one))])
    assert any(played.box for played in one)
    assert one[0].box is None


def test_every_cause_comes_and_is_what_it_says() -> None:
    seen: dict[Cause, Played] = {}
    before = None
    for seed in range(12):
        for played in lesion_sweep(speckled(), (seed,)):
            if played.cause is Cause.FROZEN and before is not None:
                moved = np.abs(played.frame.picture.astype(int) - before.frame.picture)
                assert float(moved.mean()) < 4.0
            seen[played.cause], before = played, played
    assert set(seen) == set(Cause)
    assert seen[Cause.DOPPLER].frame.coloured_share > 0.004
    assert seen[Cause.NONE].frame.coloured_share == seen[Cause.CALIPERS].frame.coloured_share == 0.0
    assert seen[Cause.LIFT_OFF].box is None


def test_a_scan_without_a_lesion_is_as_long_as_asked_and_never_shows_one() -> None:
    without = lesion_free(speckled())
    assert without is not None
    played = list(lesion_free_scan(without, (4,), seconds=12.0))
    assert len(played) == 360
    assert {one.box for one in played} == {None}
    assert len(seen_of(played)) > 1


def test_the_tissue_beside_a_lesion_holds_nothing_of_it() -> None:
    still = speckled()
    assert still.mask is not None
    marked = still.picture.copy()
    marked[:, still.mask.any(axis=0)] = 255
    without = lesion_free(Still(marked, "malignant", still.mask))
    assert without is not None
    assert without.picture.shape == still.picture.shape
    assert int(without.picture.max()) < 255
    assert without.label == "normal"


def test_a_lesion_that_leaves_no_room_gives_no_lesion_free_tissue() -> None:
    assert lesion_free(speckled(left=0.2, right=0.8)) is None
    assert lesion_free(Still(speckled().picture, "malignant", None)) is None
    normal = lesion_free(Still(speckled().picture, "normal", None))
    assert normal is not None
    assert np.array_equal(normal.picture, speckled().picture)


def test_dark_borders_are_cut_off_with_their_mask() -> None:
    still = speckled()
    still.picture[:, :20] = 3
    cut = trimmed(still)
    assert cut.picture.shape == (SIZE[1], SIZE[0] - 20)
    assert cut.mask is not None
    assert cut.mask.shape == cut.picture.shape
    assert still.mask is not None
    assert int(cut.mask.sum()) == int(still.mask.sum())


# The figures


def test_a_lesion_is_found_when_an_alert_stands_over_it_and_timed_from_its_first_frame() -> None:
    found = under(made([0.0] * 10 + [0.9] * 60, seen=(10, 70)))
    rows = found.everyone()
    assert found.sensitivity(rows) == 1.0
    assert found.alert_ms(rows, 50) == pytest.approx(1000 * 5 / 30)
    assert found.fragmentation(rows) == 1.0
    assert found.flicker(rows) == 0.0


def test_an_alert_beside_the_lesion_finds_nothing_and_is_false() -> None:
    found = under(made([0.9] * 60, seen=(0, 60), box=THERE))
    assert found.sensitivity(found.everyone()) == 0.0
    assert found.false_tracks_beside_lesions() == 1
    assert np.isnan(found.alert_ms(found.everyone(), 50))


def test_a_law_is_walked_only_where_it_matters_and_says_the_same() -> None:
    rng = np.random.default_rng(5)
    laws = [LAW, msgspec.structs.replace(LAW, m=3, n=4, cooldown_s=1.0, clear_s=0.1, shown_s=0.2, per_minute=2)]
    for number in range(40):
        calm = np.repeat(rng.uniform(0.3, 0.6, 12), 50)
        scores = np.clip(calm + rng.normal(0, 0.15, 600), 0, 1).tolist()
        frozen = int(rng.integers(0, 500))
        gates = [(frozen + 60, frozen + 90, Gate.DOPPLER)]
        timeline = made(scores, gates=gates, box=HERE if number % 2 else THERE)
        timeline.fresh[frozen : frozen + 30] = False
        timeline.thin[rng.random(600) < 0.2] = True
        seen = timeline.observations()
        for law in laws:
            memory, raised, shown = Memory(), [], []
            for index, one in enumerate(seen):
                memory, decision = step(law, memory, one)
                shown.append(memory.track.number if memory.track else 0)
                raised += [index] * any(event.kind == "raised" for event in decision.events)
            quick = judge(law, timeline, seen)
            assert (list(quick.raised), quick.track.tolist()) == (raised, shown)


def test_flicker_counts_what_follows_the_first_coming_on() -> None:
    law = msgspec.structs.replace(LAW, cooldown_s=0.0, clear_s=0.1, shown_s=0.1)
    found = under(made([0.9] * 20 + [0.0] * 20 + [0.9] * 20, seen=(0, 60)), law)
    assert found.flicker(found.everyone()) == pytest.approx(2 / 2.0)  # off and on again in 2 s
    assert found.fragmentation(found.everyone()) == 2.0


def test_false_alerts_are_counted_by_the_minute_and_the_scan() -> None:
    scan = made(([0.9] * 30 + [0.0] * 420) * 2, kind="free", group="p2")
    found = Outcomes([outcome(scan, judge(LAW, scan, scan.observations()))])
    rows = found.everyone()
    assert found.minutes() == 0.5
    assert (found.false_per_min(rows), found.false_per_scan(rows)) == (4.0, 2.0)
    assert found.false_overlay_s_per_min(rows) > 2 * 2 * 0.7


def test_what_a_gate_held_raises_nothing_and_what_it_missed_is_told() -> None:
    causes = [(0, 60, Cause.CALIPERS)]
    held = under(made([0.9] * 60, seen=(0, 60), causes=causes, gates=[(0, 60, Gate.CALIPERS)]))
    assert (held.total("gated_alerts"), held.total("missed_alerts"), held.lesions()) == (0, 0, 0)
    missed = under(made([0.9] * 60, seen=(0, 60), causes=causes))
    assert (missed.total("gated_alerts"), missed.total("missed_alerts")) == (0, 1)


def test_a_threshold_on_single_frames_is_set_where_it_finds_as_many() -> None:
    lesions = [made([0.1, score, 0.1], seen=(0, 3), group=f"p{score}") for score in (0.9, 0.7, 0.2)]
    free = made([0.8, 0.0, 0.8, 0.8, 0.3, 0.0], kind="free", group="q")
    assert per_frame([*lesions, free], 2 / 3) == (0.7, 2)
    assert per_frame([*lesions, free], 1.0) == (0.2, 2)
    assert per_frame([*lesions, free], 0.0) is None


def test_gated_time_is_shared_out_by_cause() -> None:
    told = gated_time([made([0.0] * 10, gates=[(0, 2, Gate.DOPPLER)], causes=[(0, 1, Cause.DOPPLER)])])
    assert told == {"gated_share": 0.2, "gated_by": {"doppler": 0.2}, "plain_but_gated_share": round(1 / 9, 4)}


def test_boxes_overlap_by_their_middle_or_their_area() -> None:
    shown = np.array([HERE, THERE, NOWHERE, (0.55, 0.55, 0.75, 0.75), (0.45, 0.45, 0.7, 0.7)])
    truth = np.tile(np.asarray(HERE), (5, 1))
    assert overlap(shown, truth).tolist() == [True, False, False, False, True]
    assert not overlap(truth, shown)[2]


def streams() -> list[Timeline]:
    """Three patients with a lesion, the last one faint; three without, one of which calls wolf."""
    lesions = [
        made([0.0] * 10 + [score] * 30, seen=(10, 40), group=f"p{number}")
        for number, score in enumerate((0.9, 0.8, 0.6))
    ]
    free = [
        made([score] * 20 + [0.1] * 160, kind="free", group=f"q{number}")
        for number, score in enumerate((0.55, 0.1, 0.1))
    ]
    return [*lesions, *free]


def test_the_report_holds_every_key_with_its_interval() -> None:
    told = report(LAW, streams())
    assert (told["lesion_sensitivity"], told["gated_alerts"], told["minutes"], told["sweeps"]) == (1.0, 0, 0.3, 3)
    assert told["false_per_min"] == pytest.approx(1 / 0.3, abs=1e-3)
    assert set(told["time_to_alert_ms"]) == {"median", "p95"}
    within = told["intervals"]["false_per_min"]
    assert within["lo"] == 0.0 <= within["value"] < within["hi"]
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    levels = [point["t_hi"] for point in told["curve"]]
    assert levels == sorted(levels)
    sensitivities = [point["lesion_sensitivity"] for point in told["curve"]]
    assert sensitivities == sorted(sensitivities, reverse=True)


def test_figures_of_nothing_found_are_null() -> None:
    told = figures(alert_laws.under_each([msgspec.structs.replace(LAW, t_hi=0.99)], streams())[0])
    assert told["time_to_alert_ms"] == {"median": None, "p95": None}
    assert told["intervals"]["median_ms"] == {"value": None, "lo": None, "hi": None}
    json.dumps(told, allow_nan=False)


def test_the_chosen_law_finds_all_without_a_false_alert() -> None:
    law, best = alert_laws.choose(LAW, streams())
    (chosen,) = alert_laws.under_each([law], streams())
    rows = chosen.everyone()
    assert (chosen.sensitivity(rows), chosen.false_per_min(rows)) == (1.0, 0.0)
    assert 0.55 < law.t_hi <= 0.6
    assert msgspec.to_builtins(law) in [one["law"] for one in best]
    assert min(one["law"]["t_hi"] for one in best) <= law.t_hi <= max(one["law"]["t_hi"] for one in best)


def test_what_was_seen_is_the_same_after_a_file(tmp_path: Path) -> None:
    save(tmp_path / "seen.npz", streams(), {"seed": 3})
    again, about = load(tmp_path / "seen.npz")
    assert about == {"seed": 3}
    for one, other in zip(streams(), again, strict=True):
        assert (one.kind, one.group, one.observations()) == (other.kind, other.group, other.observations())
        assert np.array_equal(one.truth, other.truth, equal_nan=True)
    (tmp_path / "other.npz").write_bytes(b"nothing")
    with pytest.raises(BadSource, match="--observations"):
        load(tmp_path / "other.npz")


@pytest.mark.parametrize("content", ["", "{}", '{"t_hi": 0.5, "t_lo": 0.6}', '{"t_hi": 0.5, "t_lo": 0.3, "x": 1}'])
def test_what_is_no_law_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "law.json").write_text(content, "utf-8")
    with pytest.raises(BadConfig, match="--choose"):
        read_law(tmp_path / "law.json")


def test_a_run_that_was_cut_off_goes_on_and_another_run_is_told_apart(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "seen.parts", "this run")
    assert parts.load(3) is None
    one = streams()[0]
    parts.keep(3, [(one, (16,)), (one, ())])
    again = parts.load(3)
    assert again is not None
    assert [raised for _, raised in again] == [(16,), ()]
    assert again[0][0].observations() == one.observations()
    with pytest.raises(BadConfig, match="a part of another run"):
        Parts(tmp_path / "seen.parts", "another run").load(3)
    parts.drop()
    assert parts.load(3) is None


def test_a_law_that_cries_wolf_is_not_chosen_for_the_lesions_it_finds() -> None:
    """A faint lesion could be found at a price that is too high: three of four stay the best that can be had."""
    lesions = [made([score] * 60, seen=(0, 60), group=f"p{score}") for score in (0.9, 0.85, 0.8, 0.2)]
    free = [made([0.3] * 900, kind="free", group=f"q{number}") for number in range(6)]
    law, best = alert_laws.choose(LAW, [*lesions, *free])
    assert law.t_hi > 0.3
    assert (best[0]["lesion_sensitivity"], best[0]["false_per_min"]) == (0.75, 0.0)


# The command


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Phantom stills: two said to hold a lesion, two normals, and one with drawings."""
    lines = ["image,label,mask,group,overlay_components"]
    for number, picture in enumerate(itertools.islice(phantom(4.0), 0, 100, 20)):
        small = np.asarray(cv2.resize(picture, (320, 240)), np.uint8)
        mask = np.zeros(small.shape, np.uint8)
        mask[80:140, 200:260] = 255
        cv2.imwrite(str(tmp_path / f"{number}.png"), small)
        cv2.imwrite(str(tmp_path / f"{number}_mask.png"), mask)
        label = "malignant" if number in {0, 1, 4} else "normal"
        lines.append(f"{number}.png,{label},{number}_mask.png,g{number},{5 if number == 4 else 0}")
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_stills_with_drawings_are_left_out_and_the_rest_is_played_in_turn(table: Path) -> None:
    chosen = stills(read(BREAST), read_table(table), [], ["malignant"])
    assert [row.group for row in chosen.lesions] == ["g0", "g1"]
    assert {row.group for row in chosen.free} == {"g0", "g1", "g2", "g3"}
    planned = plan(chosen, sweeps=4, minutes=2.0, seed=1)
    assert [one.kind for one in planned] == ["lesion"] * 4 + ["free"] * 4
    assert len({one.seed for one in planned}) == 8
    assert {one.row.group for one in planned[:2]} == {one.row.group for one in planned[2:4]}
    assert as_still(chosen.lesions[0]).mask is not None
    with pytest.raises(BadConfig, match="no lesion still"):
        stills(read(BREAST), read_table(table), [], ["cyst"])


def test_the_command_measures_and_measures_again_from_what_it_saw(table: Path, tmp_path: Path) -> None:
    asked = {
        "images": (table,),
        "where": (),
        "groups": None,
        "negatives": (),
        "root": (),
        "label": ("malignant",),
        "sweeps": 1,
        "minutes": 0.05,
        "seed": 3,
        "workers": 1,
        "out": tmp_path / "clips",
        "observations": tmp_path / "seen.npz",
        "outcomes": tmp_path / "outcomes.csv",
        "again": None,
        "law": None,
        "choose": None,
    }
    first = run(Order(**asked), BREAST, "onnx")  # type: ignore[arg-type]
    assert (first["law_differs"], first["gated_alerts"], first["sweeps"], first["minutes"]) == (0, 0, 1, 0.05)
    lines = (tmp_path / "clips" / "free_0000.truth.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(90))
    assert {path.suffix for path in (tmp_path / "clips").iterdir()} == {".mp4", ".jsonl"}
    asked |= {"again": asked["observations"], "observations": None, "choose": tmp_path / "law.json"}
    second = run(Order(**asked), BREAST, "onnx")  # type: ignore[arg-type]
    assert msgspec.to_builtins(read_law(tmp_path / "law.json")) == second["law"]
    asked |= {"choose": None}
    assert run(Order(**asked), BREAST, "onnx") == first  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="--images"):
        run(Order(**{**asked, "again": None, "images": ()}), BREAST, "onnx")  # type: ignore[arg-type]
