"""The evidence: the headline from small tables whose figures are known, and the check that finds every change."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from sono_edge.phantom import still
from sono_models.bundle import Bundle, pack, read
from sono_models.errors import BadManifest
from sono_models.manifest import FileEntry
from sono_models.reader import Reader
from sono_models.runtime import RUNTIMES
from sono_models.scoring import auroc, ece
from sono_models.table import read_grey
from sono_training.evidence import alert_outcomes, alerts, curves, openings, subgroups
from sono_training.evidence.check import check, different
from sono_training.evidence.gallery import failures
from sono_training.evidence.headline import headline
from sono_training.evidence.nyu import all_busi, beside
from sono_training.evidence.places import OPENINGS, Places, read_places, write_all, write_texts
from sono_training.evidence.results import read_results
from sono_training.evidence.tables import (
    FOLDS,
    TO_BUSBRA,
    TO_BUSI,
    ScoreTable,
    comparable_busi,
    read_scores,
    read_table_of_scores,
)
from sono_training.evidence.targets import TARGETS, Line
from tests.support.bundles import BREAST

DRAWS = 30
Labelled = Sequence[tuple[str, str, str]]
"""(image, group, label)"""


def table(
    protocol: str, rows: Labelled, *, separation: float = 2.0, seed: int = 1, threshold: float | None = 0.4
) -> ScoreTable:
    """Scores that separate the classes by so many standard deviations; int8 a thousandth off float."""
    rng = np.random.default_rng(seed)
    malignant = np.array([label == "malignant" for _, _, label in rows])
    logit = rng.normal(size=len(rows)) + separation * (malignant - 0.5)
    onnx = np.round(1 / (1 + np.exp(-logit)), 6)
    lesion = np.array([label != "normal" for _, _, label in rows])
    return ScoreTable(
        protocol=protocol,
        image=tuple(image for image, _, _ in rows),
        group=tuple(group for _, group, _ in rows),
        label=tuple(label for _, _, label in rows),
        numbers={
            "float": np.clip(onnx + 0.001, 0, 1),
            "onnx": onnx,
            "litert": onnx.copy(),
            "hit": np.where(lesion, rng.random(len(rows)) < 0.9, np.nan),
            "iou": np.where(lesion, rng.uniform(0.4, 1.0, len(rows)), np.nan),
        },
        sidecar={} if threshold is None else {"threshold": threshold},
    )


def patients(prefix: str, count: int) -> Labelled:
    """Two images a patient, a third of the patients malignant."""
    return [
        (f"images/{prefix}_{number:03}-{side}.jpg", f"{prefix}{number}", "malignant" if number % 3 == 0 else "benign")
        for number in range(count)
        for side in "lr"
    ]


def five(count: int = 40) -> dict[str, ScoreTable]:
    return {name: table(name, patients(f"case_{at}", count), seed=at) for at, name in enumerate(FOLDS)}


def by_row(tables: Mapping[str, ScoreTable], results: dict[str, dict[str, object]] | None = None) -> dict[str, Line]:
    return {line.row: line for line in headline(tables, results or {}, resamples=DRAWS)}


def within(line: Line) -> bool:
    """The figure lies in its interval."""
    return None not in (line.lo, line.reached, line.hi) and line.lo <= line.reached <= line.hi  # type: ignore[operator]


def test_row_a_is_the_mean_over_the_folds() -> None:
    tables = five()
    line = by_row(tables)["a"]
    each = [auroc(found.truth, found.scores) for found in tables.values()]
    assert line.reached == pytest.approx(np.mean(each))
    assert within(line)
    assert line.n == 400
    assert "pooled" in line.note


def test_what_is_not_there_is_not_measured() -> None:
    tables = five()
    del tables["busbra-fold3"]
    lines = by_row(tables)
    assert set(lines) == set(TARGETS)
    for row in ("a", "b", "c", "e.in", "f.b", "g.box", "h.drop", "i.f1", "j.arm"):
        assert lines[row].met == "not measured"
        assert lines[row].reached is None
    assert "busbra-fold3" in lines["a"].note
    assert "robustness.json" in lines["h.drop"].note


def test_busi_is_benign_against_malignant_without_conflicts_and_one_a_group() -> None:
    rows = [
        ("b.jpg", "g1", "benign"),
        ("a.jpg", "g1", "benign"),
        ("c.jpg", "g2", "malignant"),
        ("d.jpg", "g3", "benign"),
        ("e.jpg", "g3", "malignant"),
        ("f.jpg", "g4", "normal"),
        ("g.jpg", "g5", "benign"),
        ("h.jpg", "g5", "normal"),
    ]
    kept = comparable_busi(table(TO_BUSI, rows))
    assert kept.image == ("a.jpg", "c.jpg")


def test_specificity_counts_only_while_sensitivity_holds() -> None:
    rows = patients("case", 60)
    kept = by_row({TO_BUSBRA: table(TO_BUSBRA, rows, separation=8.0, threshold=0.3)})["f.c"]
    assert kept.met == "goal"
    lost = by_row({TO_BUSBRA: table(TO_BUSBRA, rows, separation=2.0, threshold=0.95)})["f.c"]
    assert lost.reached is not None
    assert lost.reached > 0.9
    assert lost.met == "no"
    assert "not counted: sensitivity below 0.90" in lost.note
    assert by_row({TO_BUSBRA: table(TO_BUSBRA, rows, threshold=None)})["f.c"].met == "not measured"


def test_parity_needs_a_thousand_images() -> None:
    few, many = by_row(five(40)), by_row(five(110))
    assert few["d.auroc"].met == few["d.decisions"].met == "no"
    assert "1000 are asked for" in few["d.auroc"].note
    assert many["d.auroc"].met == "goal"
    assert many["d.auroc"].reached == many["d.auroc"].lo
    assert many["d.runtimes"].reached == 0.0
    assert many["d.runtimes"].note == "bit-equal"


def test_an_interval_of_the_calibration_error_holds_its_value() -> None:
    assert within(by_row(five())["e.in"])


def test_results_of_other_commands() -> None:
    found = by_row(
        {},
        {
            "robustness": {
                "worst_drop": {"value": 0.02, "lo": 0.01, "hi": 0.03},
                "worst": "blur",
                "caliper_p95_change": 0.2,
            },
            "gates": {"gates": {"doppler": {"f1": 0.99}, "frozen": {"f1": 0.9}}, "gated_alerts": 0},
            "repeat": {"bit_equal": True, "max_diff": 0.0, "compared": 26000},
            "arm": {"frames": 60},
        },
    )
    assert (found["h.drop"].met, found["h.drop"].note) == ("goal", "worst: blur")
    assert found["h.caliper"].met == "no"
    assert (found["i.f1"].met, found["i.f1"].note) == ("at least", "worst gate: frozen")
    half = {"gates": {"doppler": {"f1": 0.99}, "not_breast": {"status": "not yet"}}, "gated_alerts": 0}
    assert by_row({}, {"gates": half})["i.f1"].note == "not counted: no figure for not_breast; worst gate: doppler"
    assert by_row({}, {"gates": half})["i.f1"].met == "no"
    assert (found["j.repeat"].met, found["j.repeat"].n) == ("goal", 26000)
    assert found["j.arm"].met == "not measured"
    assert "max_probability_diff" in found["j.arm"].note


def test_the_nyu_figure_stands_beside_all_of_busi_only() -> None:
    rows = [(f"{n}.jpg", f"g{n}", ("normal", "benign", "malignant")[n % 3]) for n in range(780)]
    tables = {TO_BUSI: table(TO_BUSI, rows)}
    everything = all_busi(tables, resamples=DRAWS)
    assert everything is not None
    words = beside(headline(tables, {}, resamples=DRAWS), everything)
    in_form = [ours for published, ours in words if published.compare == "in form"]
    assert in_form == [f"{everything['value']:.3f} ({everything['lo']:.3f} to {everything['hi']:.3f})"]
    assert all_busi({TO_BUSI: tables[TO_BUSI].take(range(700))}) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,group,label,onnx\na,a,benign,0.1\n", "lacks the column litert"),
        ("image,group,label,onnx,litert\na,a,benign,0.1,x\n", "t.csv:2: not a number"),
        ("image,group,label,onnx,litert\na,a,benign,0.1,0.1\nb,b,malignant,1.5,0.1\n", "t.csv:3: onnx is 1.5"),
        ("image,group,label,onnx,litert\na,a,benign,0.1,0.1\nb,b,malignant,,0.1\n", "t.csv:3: onnx is nan"),
        ("image,group,label,onnx,litert\na,a,benign,0.1,0.1\na,b,malignant,0.1,0.1\n", "a is there twice"),
        ("image,group,label,onnx,litert\na,a,benign,0.1,0.1\n", "must hold malignant and something else"),
        ("image,group,label,onnx,litert\n", "has no rows"),
    ],
)
def test_a_bad_score_table_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(BadManifest, match=words.replace(".", r"\.")):
        read_table_of_scores(path)


def test_bad_results_and_openings_are_named(tmp_path: Path) -> None:
    (tmp_path / "arm.json").write_text("[1]", "utf-8")
    with pytest.raises(BadManifest, match="not a JSON object"):
        read_results(tmp_path)
    (tmp_path / "o.md").write_text(
        "| test | weights | times | what for |\n|---|---|---|---|\n| a | b | c | d |\n", "utf-8"
    )
    with pytest.raises(BadManifest, match=r"o\.md:3"):
        openings.read_openings(tmp_path / "o.md")


def test_net_benefit_is_vickers_and_elkins() -> None:
    rows = [(str(n), str(n), "malignant" if n < 30 else "benign") for n in range(100)]
    scores = np.array([0.9] * 24 + [0.1] * 6 + [0.9] * 10 + [0.1] * 60)
    flat = table("x", rows)
    found = curves.decision(replace(flat, numbers={**flat.numbers, "onnx": scores}))
    at = int(np.argmin(np.abs(found.model.x - 0.5)))
    odds = found.model.x[at] / (1 - found.model.x[at])
    assert found.model.y[at] == pytest.approx(24 / 100 - 10 / 100 * odds)
    assert found.everyone[at] == pytest.approx(0.3 - 0.7 * odds)


def test_curves_end_where_they_must() -> None:
    normals = [(f"n{n}.jpg", f"n{n}", "normal") for n in range(10)]
    found = table("x", [*patients("case", 30), *normals])
    roc = curves.roc(found)
    assert roc.y[-1] == 1.0
    assert np.all(np.diff(roc.y) >= 0)
    area = float(np.sum((roc.y[1:] + roc.y[:-1]) / 2 * np.diff(roc.x)))
    assert area == pytest.approx(auroc(found.truth, found.scores), abs=0.02)
    froc = curves.froc(found, by="hit")
    assert froc.y[-1] == pytest.approx(found.numbers["hit"][found.truth].mean())
    risk = curves.risk_coverage(found, 0.4)
    assert risk.curve.y[-1] == pytest.approx(risk.overall)
    assert risk.aurc["value"] < risk.overall
    bins = curves.reliability(found)
    gap = float(np.sum(np.abs(bins.score - bins.share) * bins.n) / bins.n.sum())
    assert gap == pytest.approx(ece(found.truth, found.scores))


def test_subgroups_that_are_small_have_no_auroc() -> None:
    found = table("x", patients("case", 60))
    names = ["large" if n < 100 else "small" for n in range(120)]
    every, large, small = subgroups.subgroups(found, 0.4, {"scanner": names})
    assert (every.n, large.n, small.n) == (120, 100, 20)
    assert large.auroc is not None
    assert small.auroc is None
    assert small.sens is not None
    assert small.sens["lo"] < small.sens["value"] or small.sens["value"] == 0


def test_the_gallery_holds_wrong_decisions_only() -> None:
    found = table("x", patients("case", 40), separation=1.0)
    failed = failures(found, 0.5, each=3)
    assert [failure.kind for failure in failed] == ["missed"] * 3 + ["false call"] * 3
    assert all(failure.score < 0.5 for failure in failed[:3])
    assert failed[0].score <= failed[1].score


def test_differences_name_their_place() -> None:
    committed = {"lines": [{"row": "a", "reached": 0.5}, {"row": "b", "reached": 0.5}], "n": 1}
    ours = {"lines": [{"row": "a", "reached": 0.5 + 1e-12}, {"row": "b", "reached": 0.6}], "n": 1}
    assert list(different(committed, ours)) == ["lines[b].reached: committed 0.500000, recomputed 0.600000"]


# --- the whole of it, on phantom stills in the place of the data ---

BUSBRA_HEAD = "image,mask,label,patient,fold,birads,histology,device,side"
BUSI_HEAD = "image,mask,label,group,label_conflict,original,overlay_components"


def picture(folder: Path, name: str, kind: str, seed: int) -> None:
    found, mask = still(seed=seed, kind=kind)  # type: ignore[arg-type]
    cv2.imwrite(str(folder / "images" / f"{name}.png"), found)
    cv2.imwrite(str(folder / "masks" / f"{name}.png"), mask)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six stills of fold 5 and six of BUSI, as the data's manifests describe them."""
    root = tmp_path_factory.mktemp("data")
    for name in ("bus_bra", "busi"):
        for kind in ("images", "masks"):
            (root / name / kind).mkdir(parents=True)
    busbra, busi = [BUSBRA_HEAD], [BUSI_HEAD]
    for n in range(6):
        kind = "malignant" if n % 2 else "benign"
        picture(root / "bus_bra", f"bus_{n}", kind, n)
        busbra.append(f"images/bus_{n}.png,masks/bus_{n}.png,{kind},case_{n},5,4,cyst,GE Logiq 5 @10-12MHz,left")
        kind = ("benign", "malignant", "normal")[n % 3]
        picture(root / "busi", f"{kind}_{n}", kind, 100 + n)
        busi.append(f"images/{kind}_{n}.png,masks/{kind}_{n}.png,{kind},busi_g{n},0,x,{n}")
    (root / "bus_bra" / "manifest.csv").write_text("\n".join(busbra) + "\n", "utf-8")
    (root / "busi" / "manifest.csv").write_text("\n".join(busi) + "\n", "utf-8")
    return root


def write_table(folder: Path, found: ScoreTable) -> None:
    with (folder / f"{found.protocol}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "group", "label", *found.numbers])
        for at in range(len(found)):
            cells = ["" if np.isnan(values[at]) else f"{values[at]:.6f}" for values in found.numbers.values()]
            writer.writerow([found.image[at], found.group[at], found.label[at], *cells])
    sidecar = json.dumps({**found.sidecar, "scores_sha256": digest(folder / f"{found.protocol}.csv")})
    (folder / f"{found.protocol}.json").write_text(sidecar, "utf-8")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def scored(protocol: str, folder: Path, bundle: Bundle) -> ScoreTable:
    """The rows of a manifest as the bundle really reads them."""
    with (folder / "manifest.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    labelled = [(row["image"], row.get("patient") or row["group"], row["label"]) for row in rows]
    made = table(protocol, labelled)
    numbers = {name: values for name, values in made.numbers.items() if name not in {"hit", "iou"}}
    for name in RUNTIMES:
        reader = Reader(bundle.manifest, bundle.runtime(name))
        numbers[name] = np.array([reader.read(read_grey(folder / row["image"])).malignant for row in rows])
    sidecar = {"threshold": 0.4, "weights_sha256": bundle.manifest.provenance.weights_sha256}
    return replace(made, numbers=numbers, sidecar=sidecar)


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Score tables of all protocols, two of them of the committed bundle, and an empty book of openings."""
    out = tmp_path_factory.mktemp("evidence")
    (out / "scores").mkdir()
    bundle = read(BREAST)
    tables = [
        *list(five(8).values())[:4],
        table(TO_BUSBRA, patients("case", 12)),
        table(TO_BUSI, patients("busi_g", 12)),
    ]
    tables += [scored(FOLDS[4], data / "bus_bra", bundle), scored("busi-heldout", data / "busi", bundle)]
    for found in tables:
        write_table(out / "scores", found)
    (out / OPENINGS).write_text("# Openings\n\n| test | weights | times | what for |\n|---|---|---|---|\n", "utf-8")
    return Places(out / "scores", out / "results", data, out, out / "card.md")


def packed_with(card: Path, folder: Path) -> Bundle:
    """The committed bundle with this card in it."""
    bundle = read(BREAST)
    files = {name: bundle.content(name) for name in bundle.manifest.files} | {"card.md": card.read_bytes()}
    entry = FileEntry(digest(card), card.stat().st_size)
    manifest = msgspec.structs.replace(bundle.manifest, files={**bundle.manifest.files, "card.md": entry})
    (folder / "breast-9.9.9.tar").write_bytes(pack(manifest, files))
    return read(folder / "breast-9.9.9.tar")


def test_the_check_passes_as_made_and_finds_every_change(made: Places, tmp_path: Path) -> None:
    bundle = read(BREAST)
    evidence = write_texts(read_places(made), made, bundle, resamples=DRAWS)
    assert evidence.released == [FOLDS[4], "busi-heldout"]
    assert set(evidence.subgroups) == {"busbra", "busi"}
    bundle = packed_with(made.card, tmp_path)
    verdict = check(made, bundle, resamples=DRAWS)
    assert verdict.differences == []
    assert verdict.unseen == []

    readme, card, table_of_scores = made.out / "README.md", made.card, made.scores / "busi-heldout.csv"
    spoil(readme, "| a |", "| a, nearly |")
    spoil(made.out / "headline.json", '"row": "c",', '"row": "c", "spoilt": 1,')
    spoil(made.out / "data-card.md", "BUSI", "BUSJ")
    spoil(card, "Research prototype", "Product")
    lines = table_of_scores.read_text("utf-8").splitlines()
    cells = lines[1].split(",")
    cells[4] = f"{1 - float(cells[4]):.6f}"
    table_of_scores.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n", "utf-8")

    words = "\n".join(check(made, bundle, resamples=DRAWS).differences)
    for expected in (
        "README.md: line",
        "headline.json: lines[c].spoilt: committed 1, recomputed null",
        "headline.json: tables.busi-heldout.sha256",
        "data-card.md: line",
        "card.md: line",
        "the card inside is not",
        "busi-heldout.csv: is not the table that busi-heldout.json was made with",
        "busi-heldout.csv: onnx of benign_0.png is",
    ):
        assert expected in words, words


def spoil(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_without_data_the_check_says_what_it_could_not_see(made: Places, tmp_path: Path) -> None:
    away = replace(made, data=tmp_path / "nowhere")
    verdict = check(away, read(BREAST), resamples=DRAWS)
    assert len(verdict.unseen) == 1
    assert "the data are not there" in verdict.unseen[0]


def test_openings_gain_a_line_for_every_net(made: Places) -> None:
    book = made.out / OPENINGS
    tables = read_scores(made.scores)
    openings.append(book, openings.missing(openings.read_openings(book), tables))
    found = openings.read_openings(book)
    assert {each.test for each in found} == set(tables)
    assert openings.missing(found, tables) == []


@pytest.mark.train
def test_plots_are_the_same_bytes_twice(made: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """Needs matplotlib."""
    monkeypatch.setattr(curves, "RESAMPLES", DRAWS)
    bundle = read(BREAST)
    plots = made.out / "plots"
    write_all(made, bundle, resamples=DRAWS)
    first = {path.name: path.read_bytes() for path in plots.glob("*.svg")}
    names = {"roc", "reliability", "decision-curve", "froc", "risk-coverage", "subgroups-busbra", "subgroups-busi"}
    assert names <= {name.removesuffix(".svg") for name in first}
    assert not any(b"<dc:date>" in content for content in first.values())
    write_all(made, bundle, resamples=DRAWS)
    assert {path.name: path.read_bytes() for path in plots.glob("*.svg")} == first


# The alert benchmark


def alert_results() -> dict[str, object]:
    within = {"value": 0.9, "lo": 0.8, "hi": 0.95}
    none = {"value": None, "lo": None, "hi": None}
    names = ("lesion_sensitivity", "false_per_min", "false_per_scan", "false_overlay_s_per_min", "fragmentation")
    return {
        "intervals": {**dict.fromkeys((*names, "toggles_per_lesion_s", "p95_ms"), within), "median_ms": none},
        "fp_cut": 0.96,
        "gated_alerts": 0,
        "missed_alerts": 1,
        "gated_share": 0.1,
        "plain_but_gated_share": 0.05,
        "per_frame": {"threshold": 0.7, "activations": 100},
        "sweeps": 100,
        "lesions": 99,
        "minutes": 60.0,
        "labels": ["malignant"],
        "seed": 7,
        "bundle": "breast-9.9.9",
        "stills": {"of_label": 99, "lesion_stills": 47, "lesion_groups": 40, "free_stills": 90, "free_groups": 80},
        "law": {"t_hi": 0.6, "t_lo": 0.3, "m": 6, "n": 9, "clear_s": 0.7},
        "curve": [{"false_per_min": x, "lesion_sensitivity": 0.8 + x / 10} for x in (1.0, 0.5, 0.1)],
    }


def test_alerts_have_a_section_where_they_were_measured_and_else_none() -> None:
    assert alerts.section(None) == ""
    told = alerts.section(alert_results())
    assert "| lesions found | ≥ 0.95 | ≥ 0.9 | 0.900 (0.800 to 0.950) | at least |" in told
    assert "| median time to the first alert, ms | ≤ 400 | ≤ 800 | - | not measured |" in told
    assert "| alerts from gated frames | ≤ 0 | ≤ 0 | 0 | goal |" in told
    assert told.endswith("\n\n")
    with pytest.raises(BadManifest, match="lacks 'law'"):
        alerts.section({"intervals": {}})


def clips_results() -> dict[str, Any]:
    rate = {"value": 0.5, "lo": 0.1, "hi": 0.9}
    linear = {"clips": 2, "alerts": 1, "clips_with_alerts": 1, "gated_share": 0.25}
    return {
        "bundle": "breast-9.9.9",
        "clips": 2,
        "patients": 2,
        "minutes": 2.0,
        "gated_share": 0.25,
        "alerts": 1,
        "clips_with_alerts": 1,
        "alerts_per_min": rate,
        "by_probe": {"linear": linear},
        "classes": {"regular": {"not malignant": 2}},
    }


def test_the_section_says_how_the_law_was_chosen_and_what_real_clips_did() -> None:
    told = alerts.section(alert_results(), {"alert-law": alert_results(), "clips": clips_results()})
    assert "before any held-out figure was seen" in told
    assert "There, 6 of 9 from 0.6: lesions found 0.900 (0.800 to 0.950)" in told
    assert alerts.NOT_YET not in told
    assert alerts.NOT_YET in alerts.section(None, {"clips": clips_results()})
    assert "linear: 1 alerts in 1 of 2 clips, 25% of frames gated" in told
    with pytest.raises(BadManifest, match="lacks 'bundle'"):
        alerts.section(alert_results(), {"clips": {"alerts_per_min": 1, "by_probe": {}, "classes": {}}})


def outcomes_file(path: Path, *, found: int = 1) -> Path:
    """Two sweeps, of which one was found or both; two scans with one false alert in a minute."""
    path.write_text(
        "lesion,group,seconds,visible_s,found,alert_s,toggles,tracks_on_lesion,false_tracks,overlay_s,gated_alerts,"
        "missed_alerts\n"
        "1,p1,6,3,1,0.4,0,1,0,0,0,0\n"
        f"1,p2,6,3,{int(found > 1)},{0.4 if found > 1 else ''},0,{int(found > 1)},0,0,0,0\n"
        "0,q1,30,0,0,,0,0,1,2,0,1\n"
        "0,q2,30,0,0,,0,0,0,0,0,0\n",
        "utf-8",
    )
    return path


def test_the_alerts_figures_are_made_again_from_their_sweeps(tmp_path: Path) -> None:
    bundle = read(BREAST)
    manifest = bundle.manifest
    outcomes = alert_outcomes.read_outcomes(outcomes_file(tmp_path / "one.csv"))
    whole = np.arange(4)
    values = {name: figure(whole) for name, figure in alert_outcomes.figures(outcomes).items()}
    assert values["lesion_sensitivity"] == 0.5
    assert values["false_per_min"] == pytest.approx(1.0)
    assert values["false_overlay_s_per_min"] == pytest.approx(2.0)
    assert values["median_ms"] == pytest.approx(400.0)
    within = {name: {"value": round(value, 4)} for name, value in values.items()}
    said = {
        "law": msgspec.to_builtins(manifest.law),
        "weights_sha256": manifest.provenance.weights_sha256,
        "gated_alerts": 0,
        "missed_alerts": 1,
        "intervals": within,
    }

    def differ(path: Path, told: dict[str, Any]) -> list[str]:
        return list(alert_outcomes.differences(path, told, bundle, resamples=DRAWS))

    assert differ(tmp_path / "one.csv", said) == []
    other = outcomes_file(tmp_path / "other.csv", found=2)
    assert differ(other, said)[0].startswith("alerts.json: lesion_sensitivity.value is 0.5, its sweeps give 1.0000")
    assert differ(tmp_path / "one.csv", {**said, "law": {}}) == [
        "alerts.json: was measured under another law than the bundle's"
    ]
    assert "there is no such file" in differ(tmp_path / "none.csv", said)[0]
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(BadManifest, match="--outcomes"):
        alert_outcomes.read_outcomes(tmp_path / "bad.csv")


@pytest.mark.train
def test_the_alert_burden_curve_is_the_same_bytes_twice(tmp_path: Path) -> None:
    """Needs matplotlib."""
    for name in ("one.svg", "two.svg"):
        alerts.draw(alert_results(), tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
