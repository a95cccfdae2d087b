"""A bundle packed again under a higher version: what stays, what changes, and every reason not to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sono_models import bundle
from sono_models.errors import BadConfig, Refused
from sono_models.law import AlertLaw
from sono_quantize.commands import pack
from sono_quantize.repacking import Order, repack_bundle
from tests.support.bundles import BREAST

LAW = AlertLaw(t_hi=0.61, t_lo=0.3, m=5, n=8)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    (tmp_path / "law.json").write_bytes(msgspec.json.encode(LAW))
    return Order(BREAST, "9.0.1", tmp_path / "bundles", law=tmp_path / "law.json")


def test_only_the_law_the_version_and_where_it_came_from_change(order: Order) -> None:
    before, after = bundle.read(BREAST), repack_bundle(order)
    assert after.path.name == "breast-9.0.1.tar"
    assert bundle.read(order.out).sha256 == after.sha256
    old, new = msgspec.to_builtins(before.manifest), msgspec.to_builtins(after.manifest)
    assert {key for key in new if new[key] != old[key]} == {"version", "law", "provenance"}
    assert new["law"] == msgspec.to_builtins(LAW)
    assert new["provenance"]["repacked_from"] == before.sha256
    assert new["provenance"]["weights_sha256"] == old["provenance"]["weights_sha256"]
    for name in before.manifest.files:
        assert after.content(name) == before.content(name)


def test_evidence_takes_the_place_of_its_name_and_the_card_is_the_one_given(order: Order, tmp_path: Path) -> None:
    (tmp_path / "alerts.json").write_text('{"gated_alerts": 0}', "utf-8")
    (tmp_path / "card.md").write_text("# another card\n", "utf-8")
    bounds = ("alerts.gated_alerts<=0",)
    made = repack_bundle(replace(order, card=tmp_path / "card.md", evidence=[tmp_path / "alerts.json"], bounds=bounds))
    assert made.content("card.md") == b"# another card\n"
    assert json.loads(made.content("evidence/alerts.json")) == {"gated_alerts": 0}
    assert made.manifest.envelope[-1].metric == "alerts.gated_alerts"
    assert made.manifest.envelope[:-1] == bundle.read(BREAST).manifest.envelope


def test_a_bound_that_the_bundle_had_to_meet_it_must_meet_again(order: Order, tmp_path: Path) -> None:
    worse = json.loads(bundle.read(BREAST).content("evidence/busi-heldout.json"))
    worse["decision_agreement"] = 0.5
    (tmp_path / "busi-heldout.json").write_text(json.dumps(worse), "utf-8")
    with pytest.raises(Refused, match=r"busi-heldout\.decision_agreement: is 0\.5000, this release needs"):
        repack_bundle(replace(order, evidence=[tmp_path / "busi-heldout.json"]))
    assert not order.out.exists()


def test_evidence_of_other_weights_is_refused(order: Order, tmp_path: Path) -> None:
    (tmp_path / "alerts.json").write_text(json.dumps({"weights_sha256": "0" * 64}), "utf-8")
    with pytest.raises(BadConfig, match="other weights"):
        repack_bundle(replace(order, evidence=[tmp_path / "alerts.json"]))
    assert not order.out.exists()


@pytest.mark.parametrize("version", ["0.0.1", "v9", "1.2"])
def test_a_version_that_is_none_or_not_above_the_bundles_is_refused(order: Order, version: str) -> None:
    with pytest.raises(BadConfig, match=r"1\.2\.3|is not above"):
        repack_bundle(replace(order, version=version))


def test_what_is_no_law_is_refused(order: Order, tmp_path: Path) -> None:
    (tmp_path / "law.json").write_text('{"t_hi": 0.2, "t_lo": 0.6}', "utf-8")
    with pytest.raises(BadConfig, match="--choose"):
        repack_bundle(order)
    assert not order.out.exists()


def test_the_command_packs_from_a_run_or_from_a_bundle_and_never_from_both(order: Order, tmp_path: Path) -> None:
    base = {"version": "9.0.1", "out": tmp_path / "bundles"}
    with pytest.raises(BadConfig, match="--run and --quantized: are missing"):
        pack(**base)  # type: ignore[arg-type]
    with pytest.raises(BadConfig, match="--heads: says nothing where a bundle is packed again"):
        pack(**base, source=BREAST, heads=tmp_path / "heads.json")  # type: ignore[arg-type]
    pack(**base, source=BREAST, law=order.law)  # type: ignore[arg-type]
    assert (tmp_path / "bundles" / "breast-9.0.1.tar").is_file()
