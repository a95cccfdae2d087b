"""From int8 files to a bundle, and every reason not to make one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sono_models import bundle
from sono_models.errors import BadConfig, Refused
from sono_models.heads import Heads, LearntHeads
from sono_models.law import AlertLaw
from sono_models.reader import golden_difference
from sono_models.runtime import RUNTIMES
from sono_quantize.packing import Order, pack_bundle, read_bound
from tests.support.runs import Quantized, Run

pytestmark = [pytest.mark.train, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def order(run: Run, quantized: Quantized, tmp_path: Path) -> Order:
    return Order(run.folder, quantized.folder, run.roots, "0.1.0", tmp_path / "bundles")


def test_a_packed_bundle_reads_back_whole(order: Order, run: Run, quantized: Quantized) -> None:
    made = pack_bundle(replace(order, bounds=("quantize.int8.runtimes_max_diff<=0.01",)))
    again = bundle.read(order.out)
    assert again.sha256 == made.sha256
    assert again.path.name == "discs-0.1.0.tar"
    manifest = again.manifest
    assert manifest.provenance.weights_sha256 == run.handover.weights_sha256
    assert manifest.calibration.keys() == {"benign", "malignant"}
    (point,) = manifest.operating_points
    assert point.frozen_for_sensitivity == 0.9
    assert manifest.law.t_hi == point.threshold > manifest.law.t_lo > 0
    assert json.loads(again.content("evidence/dev.json"))["sens"] >= 0.9
    assert again.content("model.onnx") == (quantized.folder / "model.onnx").read_bytes()
    assert again.golden().frames.shape == (12, 64, 64)
    for name in RUNTIMES:
        assert golden_difference(again, again.runtime(name)) == 0.0
    (bound,) = manifest.envelope
    assert bound.met()


def test_a_law_that_was_chosen_on_sweeps_is_packed_as_it_is(order: Order, tmp_path: Path) -> None:
    chosen = AlertLaw(t_hi=0.61, t_lo=0.3, m=5, n=8)
    (tmp_path / "law.json").write_bytes(msgspec.json.encode(chosen))
    manifest = pack_bundle(replace(order, law=tmp_path / "law.json")).manifest
    assert manifest.law == chosen
    assert manifest.operating_points[0].threshold != chosen.t_hi


def test_packing_again_gives_the_same_bytes(order: Order) -> None:
    first = pack_bundle(order).path.read_bytes()
    assert pack_bundle(order).path.read_bytes() == first


def test_an_unmet_bound_refuses_with_its_figure_and_writes_nothing(order: Order) -> None:
    with pytest.raises(Refused, match=r"snr_db: is \d+\.\d+, this release needs at least 99.0"):
        pack_bundle(replace(order, bounds=("quantize.int8.corrected.snr_db>=99",)))
    assert not order.out.exists()


def test_a_model_that_was_swapped_after_quantizing_is_refused(order: Order, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(order.quantized, other)
    (other / "model.onnx").write_bytes(b"another")
    with pytest.raises(BadConfig, match=r"model\.onnx"):
        pack_bundle(replace(order, quantized=other))


def test_heads_of_another_network_are_refused(order: Order, run: Run, tmp_path: Path) -> None:
    for weights, fits in ((run.handover.weights_sha256, True), ("0" * 64, False)):
        path = tmp_path / "heads.json"
        path.write_bytes(msgspec.json.encode(LearntHeads(weights, Heads())))
        if fits:
            assert pack_bundle(replace(order, heads=path)).manifest.heads == Heads()
        else:
            with pytest.raises(BadConfig, match="learnt on another run's network"):
                pack_bundle(replace(order, heads=path))


def test_bounds_name_a_figure_of_the_evidence() -> None:
    evidence = {"compare": {"delta_auroc": {"value": -0.004, "lo": -0.012}, "note": "x"}}
    bound = read_bound("compare.delta_auroc.lo>=-0.02", evidence)
    assert (bound.value, bound.at_least, bound.met()) == (-0.012, -0.02, True)
    assert not read_bound("compare.delta_auroc.lo>=-0.01", evidence).met()
    for wrong in ("compare.delta_auroc", "compare.auroc>=1", "compare.note>=1", "compare.delta_auroc>=1"):
        with pytest.raises(BadConfig):
            read_bound(wrong, evidence)


def test_a_version_has_three_numbers(order: Order) -> None:
    with pytest.raises(BadConfig, match=r"1\.2\.3"):
        pack_bundle(replace(order, version="v1"))
