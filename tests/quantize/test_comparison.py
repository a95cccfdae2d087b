"""int8 against float on the device's own path."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sono_models.bundle import Bundle
from sono_models.errors import BadBundle, BadConfig
from sono_models.handover import DEV, RUN, read_rows
from sono_models.model_command import app
from sono_quantize.comparison import figures, paired_interval, read_all
from sono_quantize.packing import Order, pack_bundle
from tests.support.runs import Quantized, Run

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def packed(run: Run, quantized: Quantized, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return pack_bundle(Order(run.folder, quantized.folder, run.roots, "0.1.0", tmp_path_factory.mktemp("bundles")))


def a_table(run: Run, folder: Path) -> Path:
    rows = read_rows(run.folder / DEV, run.roots)
    table = folder / "table.csv"
    table.write_text("image,label\n" + "".join(f"{row.image},{row.label}\n" for row in rows), "utf-8")
    return table


def test_against_the_float_network(packed: Bundle, run: Run) -> None:
    rows = read_rows(run.folder / DEV, run.roots)
    found = figures(packed, read_all(packed, rows, run.folder))
    assert found["n"] == len(rows)
    delta = found["delta_auroc"]
    assert delta["lo"] <= delta["value"] <= delta["hi"]
    assert delta["value"] == pytest.approx(found["int8_auroc"]["onnx"] - found["float_auroc"])
    assert 0.8 <= found["decision_agreement"] <= 1.0
    assert found["runtimes_max_diff"] < 0.05
    assert found["same_parameters"] is True
    assert found["auroc"]["float"]["value"] == found["float_auroc"]


def test_the_command_writes_the_table_and_the_report(packed: Bundle, run: Run, tmp_path: Path) -> None:
    table = a_table(run, tmp_path)
    options = ["--scores", str(tmp_path / "discs.csv"), "--report", str(tmp_path / "parity")]
    done = CliRunner().invoke(
        app,
        ["compare", "--bundle", str(packed.path), "--manifest", str(table), "--float", str(run.folder), *options],
        catch_exceptions=False,
    )
    assert done.exit_code == 0
    assert "the same integers" in done.stdout
    with (tmp_path / "discs.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    figures = json.loads((tmp_path / "discs.json").read_text("utf-8"))
    assert len(lines) == figures["n"]
    called = [[float(line[name]) >= figures["threshold"] for line in lines] for name in ("float", "onnx")]
    alike = sum(one == other for one, other in zip(*called, strict=True))
    assert alike / len(lines) == figures["decision_agreement"]
    assert (tmp_path / "parity" / "parity.md").is_file()


def test_a_report_needs_the_float_network(packed: Bundle, run: Run, tmp_path: Path) -> None:
    options = [
        "--bundle",
        str(packed.path),
        "--manifest",
        str(a_table(run, tmp_path)),
        "--report",
        str(tmp_path / "parity"),
    ]
    with pytest.raises(BadConfig, match="--float RUN"):
        CliRunner().invoke(app, ["compare", *options], catch_exceptions=False)


def test_without_a_run_the_runtimes_are_compared(packed: Bundle, run: Run, tmp_path: Path) -> None:
    table = a_table(run, tmp_path)
    done = CliRunner().invoke(
        app, ["compare", "--bundle", str(packed.path), "--manifest", str(table), "--json"], catch_exceptions=False
    )
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert {"delta_auroc", "decision_agreement", "runtimes_max_diff", "n"} <= found.keys()
    assert found["delta_auroc"] is None
    assert found["decision_agreement"] == 1.0


def test_a_run_of_another_network_is_refused(packed: Bundle, run: Run, tmp_path: Path) -> None:
    for file in run.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    other = json.loads((tmp_path / RUN).read_text("utf-8")) | {"weights_sha256": "0" * 64}
    (tmp_path / RUN).write_text(json.dumps(other), "utf-8")
    with pytest.raises(BadBundle, match="not made from this run"):
        read_all(packed, read_rows(run.folder / DEV, run.roots), tmp_path)


def test_the_interval_of_no_change_is_nothing_and_pairs_share_their_draws() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(80) % 2 == 0
    scores = rng.random(80) + 0.5 * truth
    groups = [f"g{index // 2}" for index in range(80)]
    assert paired_interval(truth, scores, scores.copy(), groups) == {"value": 0.0, "lo": 0.0, "hi": 0.0}
    worse = paired_interval(truth, scores, rng.random(80), groups)
    assert worse["hi"] < 0.0
