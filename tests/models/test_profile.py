"""Site profiles: signed by the site, whole or refused, for one site and one bundle, within stated limits."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sono_models import bundle
from sono_models.envelope import make_keys, seal, unseal
from sono_models.errors import BadConfig, BadProfile
from sono_models.profile import (
    KIND,
    GatesChange,
    LawChange,
    Profile,
    apply,
    check,
    encode,
    json_schema,
    opened,
    read,
    with_profile,
)
from tests.support.bundles import BREAST
from tests.support.profiles import KEYS, NOW, made_for_breast, signed, written

PROFILE = made_for_breast()
RAW = signed(PROFILE)
MANIFEST = bundle.read(BREAST).manifest
OTHER = make_keys()


def test_what_was_signed_is_read_and_has_a_name_with_its_digest(tmp_path: Path) -> None:
    files = written(tmp_path, RAW)
    found = read(files.profile, files.public)
    assert found.profile == PROFILE
    assert found.said == f"clinic-a-1.2.0@{found.sha256[:12]}"


@given(st.integers(0, 8 * len(RAW) - 1))
@settings(max_examples=400, deadline=None)
def test_any_flipped_bit_is_refused(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    damaged = bytearray(RAW)
    damaged[bit // 8] ^= 1 << bit % 8
    files = written(tmp_path_factory.getbasetemp(), bytes(damaged))
    with pytest.raises(BadProfile):
        read(files.profile, files.public)


@given(st.integers(0, len(RAW) - 1), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_any_other_byte_is_refused(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    damaged = bytearray(RAW)
    damaged[place] = value
    files = written(tmp_path_factory.getbasetemp(), bytes(damaged))
    if bytes(damaged) == RAW:
        assert read(files.profile, files.public).profile == PROFILE
        return
    with pytest.raises(BadProfile):
        read(files.profile, files.public)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_truncated_profile_is_refused(tmp_path: Path, share: float) -> None:
    files = written(tmp_path, RAW[: int(share * len(RAW))])
    with pytest.raises(BadProfile):
        read(files.profile, files.public)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (RAW + b"\n", "damaged or rewritten"),
        (json.dumps(json.loads(RAW)).encode(), "damaged or rewritten"),
        (b" " * 70_000, "more than"),
        (b"[]", "not a signed file"),
        (signed(PROFILE, OTHER), "is not signed by clinic-a.pub"),
        (seal(encode(PROFILE), "application/json", KEYS.private), "holds 'application/json'"),
        (seal(b'{"schema": "sonoedge.profile/2"}', KIND, KEYS.private), "this agent reads 'sonoedge.profile/1'"),
        (seal(b'{"schema": "sonoedge.profile/1"}', KIND, KEYS.private), "not a profile"),
    ],
)
def test_what_is_not_this_sites_profile_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    files = written(tmp_path, content)
    with pytest.raises(BadProfile, match=words) as caught:
        read(files.profile, files.public)
    assert "\n" not in str(caught.value)


def test_a_forged_profile_under_the_sites_key_id_is_refused(tmp_path: Path) -> None:
    forged, genuine = json.loads(signed(PROFILE, OTHER)), json.loads(RAW)
    forged["signatures"][0]["keyid"] = genuine["signatures"][0]["keyid"]
    files = written(tmp_path, json.dumps(forged, indent=1, sort_keys=True).encode() + b"\n")
    with pytest.raises(BadProfile, match="changed or forged"):
        read(files.profile, files.public)


def test_two_signatures_are_not_one_signature(tmp_path: Path) -> None:
    both = json.loads(RAW)
    both["signatures"] += json.loads(signed(PROFILE, OTHER))["signatures"]
    files = written(tmp_path, json.dumps(both, indent=1, sort_keys=True).encode() + b"\n")
    with pytest.raises(BadProfile, match="not a signed file"):
        read(files.profile, files.public)


@pytest.mark.parametrize("content", [b"", b"{}", KEYS.private, KEYS.public.replace(b"ed25519", b"rsa"), b"x" * 5000])
def test_a_key_that_is_none_is_refused(tmp_path: Path, content: bytes) -> None:
    files = written(tmp_path, RAW)
    files.public.write_bytes(content)
    with pytest.raises(BadConfig):
        read(files.profile, files.public)


def test_a_missing_profile_or_key_says_so(tmp_path: Path) -> None:
    files = written(tmp_path, RAW)
    with pytest.raises(BadProfile, match="No such file"):
        read(tmp_path / "none", files.public)
    with pytest.raises(BadConfig, match="No such file"):
        read(files.profile, tmp_path / "none")


def test_another_site_or_a_profile_that_expired_is_refused() -> None:
    check(PROFILE, site="clinic-a", now=NOW)
    check(PROFILE, site=None, now=NOW)
    with pytest.raises(BadProfile, match="made for site 'clinic-a', this is 'clinic-b'"):
        check(PROFILE, site="clinic-b", now=NOW)
    with pytest.raises(BadProfile, match="expired on 2027-11-22"):
        check(PROFILE, site="clinic-a", now=NOW + timedelta(days=365))


def test_a_board_whose_clock_lost_its_battery_still_starts() -> None:
    check(PROFILE, site="clinic-a", now=NOW - timedelta(days=20_000))


@pytest.mark.parametrize("change", [{"version": "9.0.0"}, {"name": "thyroid"}, {"weights_sha256": "1" * 64}])
def test_another_bundle_is_refused(change: dict[str, str]) -> None:
    made_for = msgspec.structs.replace(PROFILE.bundle, **change)
    with pytest.raises(BadProfile, match="made for"):
        apply(MANIFEST, msgspec.structs.replace(PROFILE, bundle=made_for))


def test_the_profile_changes_what_it_names_and_nothing_else() -> None:
    law, gates = LawChange(per_minute=2), GatesChange(contact_grey=12.0)
    changed = apply(MANIFEST, msgspec.structs.replace(PROFILE, law=law, gates=gates))
    t_hi, t_lo = changed.law.t_hi, changed.law.t_lo
    assert changed.law == msgspec.structs.replace(MANIFEST.law, t_hi=t_hi, t_lo=t_lo, per_minute=2)
    assert t_lo / t_hi == pytest.approx(MANIFEST.law.t_lo / MANIFEST.law.t_hi, abs=1e-3)
    assert changed.gates == msgspec.structs.replace(MANIFEST.gates, contact_grey=12.0)
    assert (changed.calibration["malignant"].slope, changed.calibration["malignant"].offset) == (0.9, -0.4)
    assert changed.calibration["benign"] == MANIFEST.calibration["benign"]
    (point,) = changed.operating_points
    assert (point.threshold, point.frozen_on) == (0.42, "site clinic-a, 80 cases, labelled")
    assert changed.uncertainty is not None
    assert changed.uncertainty.threshold == 0.42  # its band and limits lie on the calibrated scale
    named = ("law", "gates", "calibration", "operating_points", "uncertainty")
    kept = {name: getattr(MANIFEST, name) for name in named}
    assert msgspec.structs.replace(changed, **kept) == MANIFEST


def test_the_law_stays_as_far_from_the_operating_point_as_it_was() -> None:
    (own,) = MANIFEST.operating_points

    def moved(t_hi: float) -> float:
        law = msgspec.structs.replace(MANIFEST.law, t_hi=t_hi, t_lo=t_hi / 2)
        return apply(msgspec.structs.replace(MANIFEST, law=law), PROFILE).law.t_hi

    def odds(share: float) -> float:
        return share / (1 - share)

    assert moved(own.threshold) == PROFILE.point.threshold == 0.42
    assert odds(moved(0.6)) / odds(0.42) == pytest.approx(odds(0.6) / odds(own.threshold), rel=0.01)
    assert moved(0.9999) == 0.995


def test_a_label_that_the_bundle_lacks_is_refused() -> None:
    point = msgspec.structs.replace(PROFILE.point, label="cyst")
    with pytest.raises(BadProfile, match="speaks of 'cyst'"):
        apply(MANIFEST, msgspec.structs.replace(PROFILE, point=point))


def test_a_law_of_more_frames_than_there_are_is_refused() -> None:
    with pytest.raises(BadProfile, match=f"12 of {MANIFEST.law.n} frames"):
        apply(MANIFEST, msgspec.structs.replace(PROFILE, law=LawChange(m=12)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("point", "threshold"), 0.0),
        (("point", "threshold"), 1.0),
        (("calibration", "malignant", "slope"), -1.0),
        (("law", "m"), 1),
        (("law", "per_minute"), 60),
        (("gates", "contact_grey"), 0.0),
        (("gates", "doppler_share"), 1.0),
        (("gates", "frozen_diff"), 255),
        (("site",), "a/b"),
        (("expires_at",), "2030-01-01T00:00:00"),
        (("extra",), 1),
    ],
)
def test_a_signature_does_not_lift_the_limits(tmp_path: Path, path: tuple[str, ...], value: Any) -> None:
    content = msgspec.json.decode(encode(PROFILE))
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    files = written(tmp_path, seal(msgspec.json.encode(content), KIND, KEYS.private))
    with pytest.raises(BadProfile, match="not a profile"):
        read(files.profile, files.public)


@given(
    st.floats(0.005, 0.995),
    st.builds(LawChange, m=st.none() | st.integers(3, 20), n=st.none() | st.integers(4, 30)),
)
def test_no_profile_makes_a_law_that_never_or_always_alerts(threshold: float, law: LawChange) -> None:
    point = msgspec.structs.replace(PROFILE.point, threshold=threshold)
    try:
        changed = apply(MANIFEST, msgspec.structs.replace(PROFILE, point=point, law=law)).law
    except BadProfile:
        return
    assert 3 <= changed.m <= changed.n
    assert 0 < changed.t_lo < changed.t_hi < 1


def test_a_bundle_under_a_profile_keeps_its_files_and_digest(tmp_path: Path) -> None:
    files, plain = written(tmp_path, RAW), bundle.read(BREAST)
    under, said = opened(plain, files.profile, files.public, site="clinic-a", now=NOW)
    assert under == with_profile(plain, PROFILE)
    assert (under.sha256, under.members, under.manifest.files) == (plain.sha256, plain.members, plain.manifest.files)
    assert under.content("card.md") == plain.content("card.md")
    assert said.startswith("clinic-a-1.2.0@")


def test_a_key_with_a_passphrase_signs_only_with_it(tmp_path: Path) -> None:
    keys = make_keys(b"open sesame")
    assert b"ENCRYPTED" in keys.private
    files = written(tmp_path, seal(encode(PROFILE), KIND, keys.private, b"open sesame"), keys)
    assert unseal(files.profile, KIND, files.public).payload == encode(PROFILE)
    for passphrase in (None, b"wrong"):
        with pytest.raises(BadConfig, match="private key"):
            seal(encode(PROFILE), KIND, keys.private, passphrase)
    with pytest.raises(BadConfig, match="private key"):
        seal(encode(PROFILE), KIND, b"no key")


WITHOUT_CRYPTOGRAPHY = """
import sys
sys.modules["cryptography"] = None
from pathlib import Path
from sono_models.envelope import make_keys, unseal
from sono_models.errors import BadConfig, BadProfile
folder = Path(sys.argv[1])
print(len(unseal(folder / "clinic-a.profile.json", sys.argv[2], folder / "clinic-a.pub").payload))
try:
    unseal(folder / "forged.json", sys.argv[2], folder / "clinic-a.pub")
except BadProfile as error:
    print(error)
try:
    make_keys()
except BadConfig as error:
    print(error)
"""


def test_a_device_verifies_without_cryptography_and_cannot_sign(tmp_path: Path) -> None:
    """The device install has securesystemslib alone: its own Ed25519 verification takes over."""
    written(tmp_path, RAW)
    forged = json.loads(signed(made_for_breast(threshold=0.9), OTHER))
    forged["signatures"][0]["keyid"] = json.loads(RAW)["signatures"][0]["keyid"]
    (tmp_path / "forged.json").write_bytes(json.dumps(forged, indent=1, sort_keys=True).encode() + b"\n")
    ran = subprocess.run(
        [sys.executable, "-c", WITHOUT_CRYPTOGRAPHY, tmp_path, KIND], capture_output=True, text=True, check=True
    )
    length, refusal, signing = ran.stdout.splitlines()
    assert int(length) == len(encode(PROFILE))
    assert "changed or forged" in refusal
    assert "needs the extra" in signing


def test_the_profiles_schema_is_published_and_in_step() -> None:
    published = BREAST.parents[1] / "sono_models" / "schemas" / "profile.schema.json"
    assert msgspec.json.decode(published.read_bytes()) == json_schema()
    assert Profile.__struct_config__.forbid_unknown_fields
