"""A site profile for the committed bundle, and a key that signs it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sono_models import bundle
from sono_models.envelope import KeyPair, make_keys, seal
from sono_models.manifest import Manifest
from sono_models.messages import Interval
from sono_models.profile import KIND, Evidence, ForBundle, Point, Profile, Scaling, encode
from tests.support.bundles import BREAST

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEYS = make_keys()


@dataclass(frozen=True, slots=True)
class Files:
    profile: Path
    public: Path


def made_for_breast(*, threshold: float = 0.42, at: datetime = NOW) -> Profile:
    return made_for(bundle.read(BREAST).manifest, threshold=threshold, at=at)


def made_for(
    manifest: Manifest, *, threshold: float = 0.42, at: datetime = NOW, site: str = "clinic-a", version: str = "1.2.0"
) -> Profile:
    return Profile(
        name="clinic-a",
        site=site,
        version=version,
        bundle=ForBundle(manifest.name, manifest.version, manifest.provenance.weights_sha256, "0" * 64),
        created_at=at,
        expires_at=at + timedelta(days=365),
        point=Point("malignant", threshold, 0.9, 0.31),
        calibration={"malignant": Scaling(0.9, -0.4)},
        evidence=Evidence("labelled", 80, 70, 30, Interval(0.9, 0.75, 0.97), Interval(0.7, 0.6, 0.8)),
        label_free=False,
    )


def signed(profile: Profile, keys: KeyPair = KEYS) -> bytes:
    return seal(encode(profile), KIND, keys.private)


def written(folder: Path, content: bytes, keys: KeyPair = KEYS) -> Files:
    files = Files(folder / "clinic-a.profile.json", folder / "clinic-a.pub")
    files.profile.write_bytes(content)
    files.public.write_bytes(keys.public)
    return files
