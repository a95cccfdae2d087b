"""Bundles: deterministic, whole or refused, whatever bit is wrong."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_models import bundle
from sono_models.errors import BadBundle
from sono_models.manifest import Bound, json_schema
from sono_models.reader import golden_difference, verified_reader
from sono_models.runtime import RUNTIMES, Raw, RuntimeName
from tests.support.bundles import BREAST, noise

ORIGINAL = bundle.find(BREAST)
RAW = ORIGINAL.read_bytes()


def test_packing_what_was_read_gives_the_same_bytes() -> None:
    found = bundle.read(BREAST)
    files = {name: found.content(name) for name in found.members}
    assert bundle.pack(found.manifest, files) == RAW


@given(st.integers(0, 8 * len(RAW) - 1))
@settings(max_examples=60, deadline=None)
def test_any_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    _refused_with_flipped_bit(tmp_path_factory.getbasetemp(), bit)


@given(st.integers(0, 8 * 16384 - 1))
@settings(max_examples=120, deadline=None)
def test_any_flipped_bit_of_header_manifest_or_digest_is_refused(
    tmp_path_factory: pytest.TempPathFactory, bit: int
) -> None:
    _refused_with_flipped_bit(tmp_path_factory.getbasetemp(), bit)


def _refused_with_flipped_bit(folder: Path, bit: int) -> None:
    damaged = bytearray(RAW)
    damaged[bit // 8] ^= 1 << bit % 8
    path = folder / "damaged.tar"
    path.write_bytes(damaged)
    with pytest.raises(BadBundle):
        bundle.read(path)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_bundle_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "short.tar"
    path.write_bytes(RAW[: int(share * len(RAW))])
    with pytest.raises(BadBundle, match="short"):
        bundle.read(path)


def test_appended_bytes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.tar"
    path.write_bytes(RAW + bytes(512))
    with pytest.raises(BadBundle, match="packs to"):
        bundle.read(path)


def test_a_bundle_larger_than_the_limit_is_not_even_read(tmp_path: Path) -> None:
    path = tmp_path / "large.tar"
    with path.open("wb") as file:
        file.truncate(bundle.MAX_BYTES + 1)
    with pytest.raises(BadBundle, match="a bundle has 1 to"):
        bundle.read(path)


def test_a_tar_with_a_link_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("manifest.json")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    path = tmp_path / "link.tar"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(BadBundle, match="plain file"):
        bundle.read(path)


def test_a_folder_gives_its_newest_version(tmp_path: Path) -> None:
    for name in ("breast-0.9.0.tar", "breast-0.10.0.tar", "notes.tar"):
        (tmp_path / name).write_bytes(b"")
    assert bundle.find(tmp_path).name == "breast-0.10.0.tar"
    with pytest.raises(BadBundle, match="no NAME-VERSION"):
        bundle.find(tmp_path.parent / tmp_path.name / ".." / _empty(tmp_path))


def _empty(tmp_path: Path) -> str:
    (tmp_path.parent / "empty").mkdir()
    return "empty"


def test_a_member_that_changed_after_reading_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "breast-0.1.0.tar"
    path.write_bytes(RAW)
    found = bundle.read(path)
    offset, _ = found.members["card.md"]
    damaged = bytearray(RAW)
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(BadBundle, match="changed after"):
        found.content("card.md")


@pytest.mark.parametrize("name", RUNTIMES)
def test_each_runtime_gives_the_golden_scores_and_repeats_itself(name: RuntimeName) -> None:
    found = bundle.read(BREAST)
    runtime = found.runtime(name)
    assert golden_difference(found, runtime) <= found.manifest.golden_tolerance[name]
    reader = verified_reader(found, found.runtime(name))
    first, again = reader.read(noise(1)), reader.read(noise(1))
    assert np.array_equal(first.saliency, again.saliency)
    assert first.malignant == again.malignant


def test_both_runtimes_agree() -> None:
    found = bundle.read(BREAST)
    onnx, litert = (verified_reader(found, found.runtime(name)) for name in RUNTIMES)
    for seed in range(8):
        one, other = onnx.read(noise(seed)), litert.read(noise(seed))
        assert one.malignant == pytest.approx(other.malignant, abs=1 / 255)


class Liar:
    """A runtime whose kernels give something else."""

    name: RuntimeName = "onnx"
    version = "0"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape

    def run(self, picture: np.ndarray) -> Raw:
        del picture
        return Raw(np.full(self._shape, 3.0, np.float32))


def test_a_runtime_that_differs_from_the_golden_vectors_is_refused_with_the_figure() -> None:
    found = bundle.read(BREAST)
    shape = found.golden().logits["onnx"].shape[1:]
    with pytest.raises(BadBundle, match=r"differs from the golden vectors by 0\.\d+, allowed is 0\.0"):
        verified_reader(found, Liar(shape))


def test_the_bundle_meets_its_own_envelope_and_fits() -> None:
    manifest = bundle.read(BREAST).manifest
    assert len(RAW) <= bundle.MAX_BYTES
    assert manifest.envelope
    assert all(bound.met() for bound in manifest.envelope)
    assert "not a medical device" in manifest.intended_use


def test_a_bound_is_met_at_its_edge_and_not_beyond() -> None:
    assert Bound("auroc", 0.9, at_least=0.9).met()
    assert not Bound("auroc", 0.89, at_least=0.9).met()
    assert not Bound("ece", 0.2, at_most=0.1).met()


def test_the_manifests_schema_is_published_and_in_step() -> None:
    published = BREAST.parents[1] / "sono_models" / "schemas" / "manifest.schema.json"
    assert msgspec.json.decode(published.read_bytes()) == json_schema()
