"""Learning the small heads: constructed frames, simulated sweeps, and what becomes of them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import av
import cv2
import msgspec
import numpy as np
import pytest

from sono_models.errors import BadBundle, BadConfig, BadManifest
from sono_models.handover import Handover
from sono_models.heads import FIGURES, LearntHeads
from sono_models.inputs import Grey, InputSpec
from sono_models.saliency import Pooling
from sono_models.table import Row
from sono_training.heads.clips import Foreign, read_foreign, read_frames, under
from sono_training.heads.domain import Crowd, domain_figures, fit_domain, refused_share
from sono_training.heads.embeddings import Seer, fit_linear
from sono_training.heads.frames import CONSTRUCTED, DEGRADATIONS, construct, degrade
from sono_training.heads.passes import sweep_frames
from sono_training.heads.quality import fit_quality, quality_figures, worsened
from tests.support.features import PlainFeatures

SPEC = InputSpec(64, 64)
SEER = Seer(PlainFeatures(), SPEC, Pooling(0.05))


def tissue(seed: int, *, spot: bool = False, size: tuple[int, int] = (96, 80)) -> Grey:
    """Layers in speckle, and at wish a bright spot in the middle."""
    rng = np.random.default_rng(seed)
    layers = 90 + 40 * np.sin(np.linspace(0, rng.uniform(8, 20), size[1]))[:, None]
    out = np.clip(layers * rng.rayleigh(0.8, (size[1], size[0])), 0, 200).astype(np.uint8)
    if spot:
        cv2.circle(out, (size[0] // 2, size[1] // 2), 9, (255,), -1)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), 0.8), np.uint8)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Twenty-four stills of twelve patients; those with an odd number have the spot and are malignant."""
    folder = tmp_path_factory.mktemp("data") / "stills"
    folder.mkdir()
    made = []
    for number in range(24):
        spot = number // 2 % 2 == 1
        path, mask = folder / f"{number}.png", folder / f"{number}-mask.png"
        cv2.imwrite(str(path), tissue(number, spot=spot))
        lesion = np.zeros((80, 96), np.uint8)
        cv2.circle(lesion, (48, 40), 9, (255,), -1)
        cv2.imwrite(str(mask), lesion)
        columns = {"image": f"data:stills/{number}.png"}
        made.append(Row(path, "malignant" if spot else "benign", f"p{number // 2}", mask, columns))
    return made


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_a_still_is_changed_the_more_the_worse(kind: str) -> None:
    picture = tissue(1, size=(160, 120))

    def changed(severity: float) -> float:
        worse = degrade(picture, kind, severity, np.random.default_rng(5))
        assert worse.shape == picture.shape
        assert worse.dtype == np.uint8
        return float(np.abs(worse.astype(int) - picture).mean())

    assert changed(0.0) == 0.0
    assert changed(5.0) > changed(1.5) > 0.0


@pytest.mark.parametrize("kind", CONSTRUCTED)
def test_constructed_pictures_have_their_size_and_something_in_them(kind: str) -> None:
    rng = np.random.default_rng(2)
    one, other = construct(kind, rng, (80, 60)), construct(kind, rng, (80, 60))
    assert one.shape == other.shape == (60, 80)
    assert one.std() > 0
    assert not np.array_equal(one, other)


def test_a_simulated_sweep_begins_beside_the_lesion_and_passes_over_it(rows: list[Row]) -> None:
    picture = tissue(1, spot=True)
    mask = picture > 230
    for seed in range(8):
        frames = sweep_frames(picture, mask, 12, np.random.default_rng(seed))
        again = sweep_frames(picture, mask, 12, np.random.default_rng(seed))
        assert all(np.array_equal(one, other) for one, other in zip(frames, again, strict=True))
        bright = [int((frame > 225).sum()) for frame in frames]
        assert len(frames) == 12
        assert max(bright[3:9]) > 4 * max(bright[0], 10)
    assert len(sweep_frames(tissue(2), None, 5, np.random.default_rng(0))) == 5


def test_a_linear_head_learns_what_is_wanted_of_it() -> None:
    rng = np.random.default_rng(4)
    vectors = rng.normal(3.0, 2.0, (400, 3))
    wanted = 1 / (1 + np.exp(-(vectors[:, 0] - 3.0)))
    head = fit_linear(vectors, wanted, np.ones(400), 0.01)
    assert head.apply(np.array([9.0, 3.0, 3.0])) > 0.95
    assert head.apply(np.array([3.0, 3.0, 3.0])) == pytest.approx(0.5, abs=0.05)


def test_the_quality_head_ranks_stills_it_has_not_seen(rows: list[Row]) -> None:
    rng = np.random.default_rng(6)
    head = fit_quality(worsened(rows[:12], SEER, rng, each=6))
    figures = quality_figures(head, worsened(rows[12:], SEER, rng, each=6))
    assert figures["stills"] == 12
    assert figures["n"] == 12 * 7
    assert figures["auroc_clean_vs_poor"]["value"] > 0.65
    assert figures["spearman"] > 0.3
    assert 0.0 < figures["threshold_keeping_99"]["quality"] < 1.0
    assert set(figures["by_way"]) <= set(DEGRADATIONS)


def test_a_network_without_features_is_refused() -> None:
    blind = replace(SEER, runtime=PlainFeatures(features=False))
    with pytest.raises(BadBundle, match="no features"):
        blind.see([tissue(1)])


def test_the_domain_head_keeps_the_organ_and_refuses_the_rest() -> None:
    rng = np.random.default_rng(8)

    def crowd(name: str, middle: float) -> Crowd:
        return Crowd(name, name, rng.normal(middle, 1.0, (300, 5)))

    organ, dev = [crowd("stills", 0.0)], [crowd("dev", 0.0)]
    others = [crowd("card", 6.0), crowd("menu", -7.0)]
    shown = dev[0].embeddings
    # what lies on the other side is known to a line only if it was shown: the distance needs no negatives
    line, both = (fit_domain(organ, others[:1], shown, parts) for parts in ("linear", "both"))
    assert refused_share(line, others[1].embeddings) < 0.01
    assert refused_share(both, others[1].embeddings) > 0.99
    assert both.threshold == 0.5
    domain = fit_domain(organ, others, shown, "both")
    assert domain.kept >= 0.99
    figures = domain_figures(domain, dev, [crowd("lung", 9.0)])
    assert figures["kept"]["dev"] >= 0.99
    assert figures["unseen"]["lung"]["refused"] > 0.99
    assert figures["unseen"]["lung"]["auroc"] > 0.99
    assert figures["unseen"]["lung"]["least"]["source"] == "lung"


def test_half_of_the_patients_are_never_trained_on() -> None:
    told = [Foreign(Path("x.mp4"), str(number), "convex").trained() for number in range(200)]
    assert 60 < sum(told) < 140
    assert told == [Foreign(Path("y.mp4"), str(number), "linear").trained() for number in range(200)]


def test_negatives_are_read_from_tables_folders_clips_and_stills(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), tissue(1))
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 80, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((80, 96), 20 * number, np.uint8), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (tmp_path / "table.csv").write_text("clip,patient,probe\nclip.mp4,7,linear\n", "utf-8")
    (found,) = read_foreign(tmp_path / "table.csv")
    assert (found.patient, found.kind) == ("7", "linear")
    frames = read_frames(found.path, 4)
    assert [frame.shape for frame in frames] == [(80, 96)] * 4
    assert float(frames[-1].mean()) - float(frames[0].mean()) > 140
    assert len(read_frames(tmp_path / "still.png", 4)) == 1
    assert {one.path.name for one in under(tmp_path)} == {"still.png", "clip.mp4"}


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no clip")
    (tmp_path / "bad.csv").write_text("name\nx\n", "utf-8")
    with pytest.raises(BadManifest, match="cannot be read as a clip"):
        read_frames(tmp_path / "bad.mp4", 3)
    with pytest.raises(BadManifest, match="without clip or image"):
        read_foreign(tmp_path / "bad.csv")
    with pytest.raises(BadManifest, match="not a table"):
        read_foreign(tmp_path / "none.csv")


@pytest.mark.train
def test_attention_finds_the_frames_that_count_and_says_so_in_plain_numbers() -> None:
    from sono_training.heads.contest import by_group, contest  # noqa: PLC0415
    from sono_training.heads.sweep import Bag, Plan, fit_attention  # noqa: PLC0415

    rng = np.random.default_rng(9)

    def sweep(number: int) -> Bag:
        positive = bool(number % 2)
        frames = np.zeros((12, len(FIGURES)))
        frames[:, FIGURES.index("malignant")] = rng.normal(0.0, 2.0, 12)
        first = int(rng.integers(0, 9))
        shown = slice(first, first + 3)
        frames[shown, FIGURES.index("malignant")] = rng.normal(1.5 if positive else -1.5, 0.7, 3)
        frames[shown, FIGURES.index("finding")] = 4.0
        return Bag(frames, positive, f"p{number // 2}")

    bags = [sweep(number) for number in range(90)]
    plan = Plan(figures=("malignant", "finding"), decay=0.003, seeds=2)
    head = fit_attention(bags, plan)
    found = head.apply(bags[1].frames)
    assert found.weights.sum() == pytest.approx(1.0)
    looked_at = bags[1].frames[found.best(3), FIGURES.index("finding")]
    assert (looked_at == 4.0).all()
    figures = contest(bags, by_group(bags, 3), [plan])
    assert figures["auroc"]["attention"]["value"] > 0.95
    assert figures["beats_maximum_and_mean"]
    assert figures["attention_minus"]["mean"]["lo"] > 0
    assert fit_attention(bags, plan) == head


@pytest.mark.train
def test_the_command_writes_heads_that_a_manifest_can_carry(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sono_training.heads import network  # noqa: PLC0415
    from sono_training.heads_command import heads  # noqa: PLC0415

    run, quantized = _run(tmp_path, rows)
    monkeypatch.setattr(network, "open_runtime", lambda *_: PlainFeatures())
    roots = [f"data={rows[0].image.parent.parent}"]
    heads(run, quantized, tmp_path / "heads.json", roots, stills=16, constructed=4, seed=1, as_json=True)
    learnt = msgspec.json.decode((tmp_path / "heads.json").read_bytes(), type=LearntHeads)
    report = json.loads((tmp_path / "heads-report.json").read_text("utf-8"))
    assert learnt.weights_sha256 == report["weights_sha256"]
    found = learnt.heads
    assert found.quality is not None
    assert found.domain is not None
    assert found.sweep is None  # twelve patients are too few to show anything
    assert report["sweep"]["simulated_sweeps"]["too_few"]
    assert report["domain"]["kept"]["stills"] > 0.9
    (quantized / "quantize.json").write_text('{"weights_sha256": "other"}', "utf-8")
    with pytest.raises(BadConfig, match="was not quantized from"):
        heads(run, quantized, tmp_path / "heads.json", roots)


@pytest.mark.train
def test_a_fold_network_reads_only_patients_that_it_left_out(rows: list[Row]) -> None:
    from sono_training.heads.network import Network, patient_bags, sweep_bags  # noqa: PLC0415

    fold = Network(SEER, rows[:10], rows[10:16], ("benign", "malignant"), "")
    left = fold.left_out([*rows, replace(rows[20], columns={"image": "phantom:images/1.png"})])
    assert {row.group for row in left} == {row.group for row in rows[16:]}
    patients = patient_bags(fold, left, None)
    assert [len(bag.frames) for bag in patients] == [2] * 4
    assert [bag.positive for bag in patients] == [False, True, False, True]
    sweeps = sweep_bags(fold, left[:2], None, seed=1)
    assert sweep_bags(fold, left[1:2], None, seed=1)[0].frames == pytest.approx(sweeps[1].frames)


def _run(folder: Path, rows: list[Row]) -> tuple[Path, Path]:
    """A run folder as training leaves it, and a folder as quantization leaves it, but for the network."""
    run, quantized = folder / "run", folder / "int8"
    run.mkdir()
    quantized.mkdir()
    for name, chosen in (("fit.csv", rows[:16]), ("dev.csv", rows[16:])):
        with (run / name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("image", "mask", "label", "group"))
            writer.writerows((row.columns["image"], "", row.label, row.group) for row in chosen)
    handover = Handover(
        name="spots",
        recipe_sha256="0",
        seed=1,
        labels=("benign", "malignant"),
        input=SPEC,
        outputs=("saliency", "features"),
        pooling=Pooling(0.05),
        tables={},
        weights_sha256="1",
        made_with={},
    )
    (run / "run.json").write_bytes(msgspec.json.encode(handover))
    (quantized / "quantize.json").write_text('{"weights_sha256": "1"}', "utf-8")
    (quantized / "model.onnx").write_bytes(b"")
    return run, quantized
