"""The score table and the parity report, from scores that are known."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from sono_models.bundle import Bundle, default_path, read
from sono_models.errors import BadConfig
from sono_models.localisation import Localised
from sono_models.table import Row
from sono_quantize.comparison import Compared, decisions, figures
from sono_quantize.parity import REPORT, write_report
from sono_quantize.parity_plots import STEP, flips, limits_of_agreement, step_counts
from sono_quantize.score_table import COLUMNS, check_path, write_scores

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]
PLOTS = {"auroc.svg", "bland_altman.svg", "runtimes.svg", "scatter.svg"}


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return read(default_path())


@pytest.fixture(scope="module")
def compared() -> Compared:
    """Forty images of twenty groups; image 3 flips up, image 7 down; image 5's runtimes are two steps apart."""
    rng = np.random.default_rng(4)
    truth = np.arange(40) % 3 == 0
    exact = np.clip(np.where(truth, 0.7, 0.2) + rng.normal(0, 0.08, 40), 0, 1)
    exact[[3, 7]] = 0.45, 0.55
    onnx = exact + rng.normal(0, 0.005, 40)
    onnx[[3, 7]] = 0.52, 0.4
    litert = onnx.copy()
    litert[5] += 1.9 * STEP
    rows = [
        Row(Path(f"{n}.png"), "malignant" if truth[n] else "benign", f"g{n // 2}", None, {"image": f"images/{n}.png"})
        for n in range(40)
    ]
    scores = {
        name: np.stack([1 - each, each], axis=1)
        for name, each in (("float", exact), ("onnx", onnx), ("litert", litert))
    }
    places = [None, Localised(hit=True, iou=0.75), *[Localised(hit=False, iou=0.25)] * 38]
    return Compared(rows, truth, scores, onnx / 2, places, [None] * len(rows), 0.5)


@pytest.fixture(scope="module")
def found(bundle: Bundle, compared: Compared) -> dict[str, Any]:
    return figures(bundle, compared)


def without_float(compared: Compared) -> Compared:
    scores = {name: compared.scores[name] for name in ("onnx", "litert")}
    return replace(compared, scores=scores)


def test_the_figures_name_what_they_were_made_from(bundle: Bundle, found: dict[str, Any]) -> None:
    assert found["bundle"] == bundle.sha256
    assert found["weights_sha256"] == bundle.manifest.provenance.weights_sha256
    assert found["same_parameters"] is True
    assert found["decisions"]["only_int8"] == found["decisions"]["only_float"] == 1
    assert found["decision_agreement"] == 38 / 40
    assert found["runtimes_identical"] == 39
    assert found["localisation"]["n"] == 39
    for name in ("float", "onnx", "litert"):
        area = found["auroc"][name]
        assert area["lo"] <= area["value"] <= area["hi"]
        assert found["operating_point"][name]["threshold"] == 0.5
    assert found["int8_auroc"]["onnx"] == found["auroc"]["onnx"]["value"]
    json.dumps(found)


def test_the_table_holds_every_reader_of_every_image(compared: Compared, found: dict[str, Any], tmp_path: Path) -> None:
    write_scores(tmp_path / "busi.csv", compared, found)
    with (tmp_path / "busi.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert tuple(lines[0]) == COLUMNS
    assert [line["image"] for line in lines] == [row.columns["image"] for row in compared.rows]
    assert lines[0] | {"hit": "", "iou": ""} == lines[0]
    assert (lines[1]["hit"], lines[1]["iou"], lines[2]["hit"]) == ("1", "0.750000", "0")
    assert float(lines[7]["float"]) == 0.55
    assert float(lines[7]["raw"]) == pytest.approx(0.2)
    assert float(lines[7]["benign"]) == pytest.approx(0.6)
    beside = json.loads((tmp_path / "busi.json").read_text("utf-8"))
    assert {name: beside[name] for name in found} == found
    assert len(beside["scores_sha256"]) == 64


def test_the_table_without_a_float_network_leaves_its_column_empty(
    bundle: Bundle, compared: Compared, tmp_path: Path
) -> None:
    alone = without_float(compared)
    write_scores(tmp_path / "busi.csv", alone, figures(bundle, alone))
    assert ",g0,malignant,," in (tmp_path / "busi.csv").read_text("utf-8")


def test_a_table_that_could_not_be_written_is_refused_before_reading(tmp_path: Path) -> None:
    for wrong in (tmp_path / "scores", tmp_path / "absent" / "scores.csv"):
        with pytest.raises(BadConfig):
            check_path(wrong)


def test_the_report_says_what_flipped_and_shows_it(
    bundle: Bundle, compared: Compared, found: dict[str, Any], tmp_path: Path
) -> None:
    write_report(tmp_path / "parity", bundle, compared, found)
    text = (tmp_path / "parity" / REPORT).read_text("utf-8")
    assert {file.name for file in (tmp_path / "parity").iterdir()} == PLOTS | {REPORT}
    assert all(f"({name})" in text for name in PLOTS)
    assert "| `images/7.png` | benign | 0.5500 | 0.4000 | 0.4000 |" in text
    assert text.index("images/7.png") < text.index("images/3.png")  # the wider one first
    assert "images/8.png" not in text
    assert bundle.sha256 in text
    for name in PLOTS:
        assert ET.parse(tmp_path / "parity" / name).getroot().tag.endswith("svg")


def test_the_report_is_the_same_bytes_again(
    bundle: Bundle, compared: Compared, found: dict[str, Any], tmp_path: Path
) -> None:
    for folder in ("one", "two"):
        write_report(tmp_path / folder, bundle, compared, found)
    for name in PLOTS | {REPORT}:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_decisions_flips_and_steps(compared: Compared) -> None:
    assert np.flatnonzero(flips(compared)).tolist() == [3, 7]
    counts = step_counts(compared)
    assert sum(counts.values()) == 40
    assert (counts["0"], counts["\N{LESS-THAN OR EQUAL TO} 2"]) == (39, 1)
    called = decisions(np.array([0.5, 0.4, 0.6, 0.1]), np.array([0.5, 0.5, 0.4, 0.2]), 0.5)
    assert called == {"both": 1, "neither": 1, "only_float": 1, "only_int8": 1}
    bias, low, high = limits_of_agreement(np.array([0.1, -0.1, 0.2, 0.0]))
    assert bias == pytest.approx(0.05)
    assert high - bias == pytest.approx(bias - low) == pytest.approx(1.96 * np.std([0.1, -0.1, 0.2, 0.0], ddof=1))
