"""The site profile: what one site changes of one bundle (threshold, calibration, gates, limits), signed.

A threshold that was frozen on one hospital's pictures does not hold at another's. A profile is made of that
site's own cases by `sono model profile make` and holds for one site and one bundle until it expires. The agent
verifies it whole before it starts, and every alert names it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import msgspec

from sono_models.envelope import unseal
from sono_models.errors import BadProfile
from sono_models.law import AlertLaw, Gates
from sono_models.manifest import Manifest, OperatingPoint
from sono_models.messages import Interval
from sono_models.saliency import BENIGN, Calibration

if TYPE_CHECKING:
    from sono_models.bundle import Bundle

SCHEMA: Literal["sonoedge.profile/1"] = "sonoedge.profile/1"
KIND = "application/vnd.sonoedge.profile+json"
"""The payload's type, which the signature covers too."""
DIGEST_CHARS = 12
OTHER_SITE, EXPIRED, OTHER_BUNDLE = "other-site", "expired", "other-bundle"
"""`code` of a BadProfile, beside those of a signature (envelope.py)."""
_REMAKE = "Make one for this bundle with `sono model profile make`"

Assumption: TypeAlias = Literal["prevalence-shift", "score-shift"]
"""What is taken for granted of cases without labels: see sono_training.profile_label_free."""
Site = Annotated[str, msgspec.Meta(pattern="^[A-Za-z0-9_-]{1,64}$")]
Version = Annotated[str, msgspec.Meta(pattern=r"^\d+\.\d+\.\d+$", max_length=32)]
Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Label = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Text = Annotated[str, msgspec.Meta(max_length=500)]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class ForBundle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bundle whose scores the profile was made of. All but `sha256` must agree: a bundle may be packed
    again with other evidence, its network may not change.
    """

    name: Label
    version: Version
    weights_sha256: Digest
    sha256: Digest


class Point(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The operating point of one label, on the profile's calibrated score."""

    label: Label
    threshold: Annotated[float, msgspec.Meta(ge=0.005, le=0.995)]
    sensitivity: Annotated[float, msgspec.Meta(ge=0.5, le=0.999)]
    """What it was chosen for."""
    prevalence: Share


class Scaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """As sono_models.saliency.Calibration, within the limits of what a site may change."""

    slope: Annotated[float, msgspec.Meta(ge=0.05, le=20)]
    offset: Annotated[float, msgspec.Meta(ge=-12, le=12)]


class LawChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a site may change of the alert law, and how far: not so far that it alerts never or always.

    None keeps the bundle's. The thresholds follow the operating point and are not set here.
    """

    m: Annotated[int, msgspec.Meta(ge=3, le=20)] | None = None
    n: Annotated[int, msgspec.Meta(ge=4, le=30)] | None = None
    clear_s: Annotated[float, msgspec.Meta(ge=0.3, le=3)] | None = None
    shown_s: Annotated[float, msgspec.Meta(ge=0.5, le=5)] | None = None
    cooldown_s: Annotated[float, msgspec.Meta(ge=2, le=60)] | None = None
    per_minute: Annotated[int, msgspec.Meta(ge=1, le=10)] | None = None


class GatesChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a site may change of the gates, and how far: none can be switched off. None keeps the bundle's."""

    signal_spread: Annotated[float, msgspec.Meta(ge=0.5, le=10)] | None = None
    contact_grey: Annotated[float, msgspec.Meta(ge=2, le=40)] | None = None
    detail: Annotated[float, msgspec.Meta(ge=0.5, le=8)] | None = None
    doppler_share: Annotated[float, msgspec.Meta(ge=0.0005, le=0.05)] | None = None
    frozen_s: Annotated[float, msgspec.Meta(ge=0.2, le=3)] | None = None
    sharpness: Annotated[float, msgspec.Meta(ge=0.1, le=0.6)] | None = None
    seam_across: Annotated[float, msgspec.Meta(ge=0.06, le=0.4)] | None = None
    seam_down: Annotated[float, msgspec.Meta(ge=0.15, le=0.8)] | None = None
    strokes: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None
    not_breast: Annotated[float, msgspec.Meta(ge=0.3, le=0.95)] | None = None


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the profile rests on: the site's cases, counted; never their names. Intervals are 95 %."""

    method: Literal["labelled"] | Assumption
    cases: Count
    groups: Count
    positives: Count | None
    """None where the cases have no labels."""
    sensitivity: Interval
    specificity: Interval
    """Expected of the profile's threshold: cross-fitted on the cases, or, label-free, under the assumption."""
    assumption: Text = ""
    prevalence: Interval | None = None
    distance: float | None = None
    """Label-free: Kolmogorov-Smirnov distance of the site's scores from those that the method expects."""
    before: dict[str, float] | None = None
    """{sens, spec} of the bundle's own threshold on the same labelled cases."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signed payload. A field is added only with a new `schema`: an agent ignores nothing of a profile."""

    name: Site
    site: Site
    version: Version
    bundle: ForBundle
    created_at: Moment
    expires_at: Moment
    point: Point
    calibration: dict[Label, Scaling]
    evidence: Evidence
    label_free: bool
    law: LawChange = LawChange()
    gates: GatesChange = GatesChange()
    intended_use: Text = "Research prototype, not a medical device."
    schema: Literal["sonoedge.profile/1"] = SCHEMA


@dataclass(frozen=True, slots=True)
class SignedProfile:
    """A profile that was verified, and the sha256 of its file."""

    profile: Profile
    sha256: str

    @property
    def said(self) -> str:
        """What alerts, `state` and the page call it."""
        return in_force(self.profile.name, self.profile.version, self.sha256)


def encode(profile: Profile) -> bytes:
    """The payload to sign."""
    return msgspec.json.encode(profile)


def read(path: Path, public: Path) -> SignedProfile:
    """A profile whose signature by this public key holds. Raises BadProfile, BadConfig.

    Whether it may be used here and now is `check`'s and `apply`'s to say.
    """
    unsealed = unseal(path, KIND, public)
    try:
        schema = msgspec.json.decode(unsealed.payload, type=_Schema).schema
        if schema != SCHEMA:
            raise BadProfile(str(path), f"schema {schema!r}, this agent reads {SCHEMA!r}", "Update the agent")
        profile = msgspec.json.decode(unsealed.payload, type=Profile)
    except msgspec.DecodeError as error:
        raise BadProfile(str(path), f"not a profile ({error})", _REMAKE) from error
    return SignedProfile(profile, unsealed.sha256)


class _Schema(msgspec.Struct):
    schema: str


def check(profile: Profile, *, site: str | None, now: datetime) -> None:
    """Raises BadProfile when it is another site's, or has expired. `site` None: not on a device (replay).

    A clock that stands before `created_at` is a board's without a battery: it cannot tell, and is not held
    against the profile.
    """
    if site is not None and profile.site != site:
        raise _bad(profile, OTHER_SITE, f"made for site {profile.site!r}, this is {site!r}", "Name this site's profile")
    if now >= profile.expires_at:
        when = profile.expires_at.date().isoformat()
        raise _bad(profile, EXPIRED, f"expired on {when}", "Make it again on fresh cases")


def apply(manifest: Manifest, profile: Profile) -> Manifest:
    """The manifest as this site uses it. Pure. Raises BadProfile when the profile is for another bundle."""
    _same_bundle(manifest, profile)
    _known_labels(manifest, profile)
    point = profile.point
    law = _changed_law(manifest, profile)
    calibration = {
        **manifest.calibration,
        **{label: Calibration(scaling.slope, scaling.offset) for label, scaling in profile.calibration.items()},
    }
    local = OperatingPoint(
        label=point.label,
        threshold=point.threshold,
        frozen_for_sensitivity=point.sensitivity,
        frozen_on=f"site {profile.site}, {profile.evidence.cases} cases, {profile.evidence.method}",
        assumed_prevalence=point.prevalence,
    )
    uncertain = manifest.uncertainty
    if uncertain is not None:
        # the interval and the limits of "can't say" lie on the calibrated scale: they move with it
        old, new = manifest.calibration[point.label], calibration[point.label]
        manifest = msgspec.structs.replace(
            manifest,
            uncertainty=uncertain.recalibrated(old, new, point.threshold, calibration.get(manifest.labels[BENIGN])),
        )
    others = tuple(one for one in manifest.operating_points if one.label != point.label)
    return msgspec.structs.replace(
        manifest,
        calibration=calibration,
        operating_points=(local, *others),
        law=law,
        gates=_changed(manifest.gates, profile.gates),
    )


def with_profile(bundle: Bundle, profile: Profile) -> Bundle:
    """The bundle with its manifest as this site uses it; its files and their digests stay."""
    return replace(bundle, manifest=apply(bundle.manifest, profile))


def in_force(name: str, version: str, sha256: str) -> str:
    """What alerts, `state` and the page call a profile: NAME-VERSION@ and the head of its file's sha256."""
    return f"{name}-{version}@{sha256[:DIGEST_CHARS]}"


def opened(bundle: Bundle, path: Path, public: Path, *, site: str | None, now: datetime) -> tuple[Bundle, str]:
    """A bundle under a profile that was verified and may be used here and now, and what alerts call it."""
    signed = read(path, public)
    check(signed.profile, site=site, now=now)
    return with_profile(bundle, signed.profile), signed.said


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the payload."""
    return msgspec.json.schema(Profile)


def _same_bundle(manifest: Manifest, profile: Profile) -> None:
    made_for, have = profile.bundle, manifest
    if (made_for.name, made_for.version) != (have.name, have.version):
        reason = f"made for bundle {made_for.name} {made_for.version}, this is {have.name} {have.version}"
        raise _bad(profile, OTHER_BUNDLE, reason, _REMAKE)
    if made_for.weights_sha256 != have.provenance.weights_sha256:
        reason = f"made for other weights of {made_for.name} {made_for.version}"
        raise _bad(profile, OTHER_BUNDLE, reason, _REMAKE)


def _bad(profile: Profile, code: str, reason: str, next_step: str) -> BadProfile:
    bad = BadProfile(f"profile {profile.name}", reason, next_step)
    bad.code = code
    return bad


def _known_labels(manifest: Manifest, profile: Profile) -> None:
    for label in (profile.point.label, *profile.calibration):
        if label not in manifest.labels:
            reason = f"speaks of {label!r}, the bundle's labels are {', '.join(manifest.labels)}"
            raise BadProfile(f"profile {profile.name}", reason, _REMAKE)


def _changed_law(manifest: Manifest, profile: Profile) -> AlertLaw:
    law = manifest.law
    changed = _changed(law, profile.law)
    if changed.m > changed.n:
        raise BadProfile(f"profile {profile.name}", f"law: {changed.m} of {changed.n} frames", "m must not exceed n")
    t_hi = _moved(law.t_hi, manifest, profile.point)
    return msgspec.structs.replace(changed, t_hi=t_hi, t_lo=round(t_hi * law.t_lo / law.t_hi, 4))


def _moved(t_hi: float, manifest: Manifest, point: Point) -> float:
    """The law's threshold as far from the site's operating point, in logits, as it was from the bundle's.

    Within the limits of a site's own threshold, so that it neither alerts always nor never.
    """
    own = next((one.threshold for one in manifest.operating_points if one.label == point.label), t_hi)
    if own == t_hi:
        return point.threshold
    odds = point.threshold / (1 - point.threshold) * (t_hi / (1 - t_hi)) / (own / (1 - own))
    return min(max(round(odds / (1 + odds), 4), 0.005), 0.995)


def _changed(old: _Rules, change: LawChange | GatesChange) -> _Rules:
    given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
    return msgspec.structs.replace(old, **given)


if TYPE_CHECKING:
    from typing import TypeVar

    _Rules = TypeVar("_Rules", AlertLaw, Gates)
