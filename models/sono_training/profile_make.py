"""From a site's cases to its signed profile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np

from sono_models.atomic import writing
from sono_models.bundle import Bundle
from sono_models.envelope import KeyPair, seal
from sono_models.errors import BadConfig
from sono_models.messages import IDENTIFIER
from sono_models.profile import (
    KIND,
    Assumption,
    Evidence,
    ForBundle,
    GatesChange,
    LawChange,
    Point,
    Profile,
    Scaling,
    apply,
    encode,
)
from sono_models.runtime import RuntimeName
from sono_models.saliency import MALIGNANT, Calibration
from sono_models.scoring import at_threshold
from sono_models.table import Row, read_table
from sono_models.table import where as chosen_rows
from sono_models.uncertainty import logit
from sono_training.profile import Cases, Chosen, Wanted, at_prevalence, choose, enough
from sono_training.profile_cases import expected, operating_point, scored, unlabelled
from sono_training.profile_label_free import WORDS, ChosenFree, choose_free, enough_free

PRIVATE, PUBLIC = "profile.key", "profile.pub"
Change = TypeVar("Change", LawChange, GatesChange)


@dataclass(frozen=True, slots=True)
class Order:
    """What the site asks for. `assume` None: the cases are labelled."""

    site: str
    name: str
    version: str
    created_at: datetime
    holds_for: timedelta
    sensitivity: float | None = None
    """None: the one that the bundle's threshold was frozen for."""
    widest: float = 0.30
    assume: Assumption | None = None
    prevalence: float | None = None
    dev: Path | None = None
    law: Mapping[str, float] = field(default_factory=dict)
    gates: Mapping[str, float] = field(default_factory=dict)


def make_profile(
    bundle: Bundle, runtime: RuntimeName, manifest: Path, where: Mapping[str, Sequence[str]], order: Order
) -> Profile:
    """Score the cases, choose, and check that the bundle takes the result. Raises Refused and its kin."""
    # what needs no picture is judged before any is scored
    wanted = _wanted(bundle, order)
    law, gates = _change(LawChange, order.law, "--law"), _change(GatesChange, order.gates, "--gate")
    known = expected(bundle, order.dev) if order.assume is not None else None
    label = bundle.manifest.labels[MALIGNANT]
    rows = _rows(manifest, where, label, wanted, order)
    cases = scored(bundle, runtime, rows)
    if known is None or order.assume is None:
        chosen, evidence = _labelled(cases, operating_point(bundle).threshold, wanted)
        chosen = at_prevalence(chosen, order.prevalence) if order.prevalence else chosen
    else:
        free = choose_free(cases.z, cases.groups, known, order.assume, prevalence=order.prevalence)
        chosen, evidence = free.chosen, _free_evidence(free, cases, order.assume)
    profile = _checked(
        Profile(
            name=order.name,
            site=order.site,
            version=order.version,
            bundle=_for(bundle),
            created_at=order.created_at,
            expires_at=order.created_at + order.holds_for,
            point=Point(label, _rounded_down(chosen.threshold), wanted.sensitivity, round(chosen.prevalence, 4)),
            calibration={label: _composed(bundle.manifest.calibration.get(label, Calibration()), chosen)},
            evidence=evidence,
            label_free=order.assume is not None,
            law=law,
            gates=gates,
        )
    )
    apply(bundle.manifest, profile)
    return profile


def sign(profile: Profile, private: bytes, passphrase: bytes | None, out: Path) -> None:
    with writing(out) as file:
        file.write(seal(encode(profile), KIND, private, passphrase).decode())


def write_keys(keys: KeyPair, folder: Path) -> tuple[Path, Path]:
    """(private, readable by its owner alone; public). Raises BadConfig rather than overwrite a key."""
    private, public = folder / PRIVATE, folder / PUBLIC
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(keys.private)
        public.write_bytes(keys.public)
    except FileExistsError as error:
        raise BadConfig(str(private), "there is a key already", "Choose another --out") from error
    except OSError as error:
        raise BadConfig(str(folder), error.strerror or "cannot be written", "Choose another --out") from error
    return private, public


def _wanted(bundle: Bundle, order: Order) -> Wanted:
    for option, value in (("--site", order.site), ("--name", order.name)):
        if not IDENTIFIER.fullmatch(value):
            raise BadConfig(f"{option} {value!r}", "not 1 to 64 of A-Z a-z 0-9 _ -", "Choose another")
    frozen_for = operating_point(bundle).frozen_for_sensitivity
    wanted = order.sensitivity or frozen_for
    if order.assume is not None and wanted != frozen_for:
        reason = f"without labels only the bundle's {frozen_for} can be kept"
        raise BadConfig(f"--sensitivity {wanted}", reason, "Leave it out, or label the cases")
    return Wanted(wanted, order.widest)


def _rows(manifest: Path, where: Mapping[str, Sequence[str]], label: str, wanted: Wanted, order: Order) -> list[Row]:
    table = read_table(manifest) if order.assume is None else unlabelled(manifest)
    rows = chosen_rows(table, where)
    if not rows:
        raise BadConfig(str(manifest), "no row is left after --where", "Loosen it")
    if order.assume is None:
        enough(np.array([row.label == label for row in rows]), wanted)
    else:
        enough_free(len(rows))
    return rows


def _labelled(cases: Cases, threshold: float, wanted: Wanted) -> tuple[Chosen, Evidence]:
    bundle_z = float(logit(np.array(threshold)))
    chosen = choose(cases, bundle_z, wanted)
    before = at_threshold(bundle_z, cases.truth, cases.z)
    return chosen, Evidence(
        method="labelled",
        cases=len(cases.z),
        groups=len(set(cases.groups)),
        positives=int(cases.truth.sum()),
        sensitivity=chosen.sensitivity,
        specificity=chosen.specificity,
        before={name: round(before[name], 4) for name in ("sens", "spec")},
    )


def _free_evidence(free: ChosenFree, cases: Cases, assume: Assumption) -> Evidence:
    return Evidence(
        method=assume,
        cases=len(cases.z),
        groups=len(set(cases.groups)),
        positives=None,
        sensitivity=free.chosen.sensitivity,
        specificity=free.chosen.specificity,
        assumption=WORDS[assume],
        prevalence=free.prevalence,
        distance=round(free.distance, 4),
    )


def _composed(bundles: Calibration, chosen: Chosen) -> Scaling:
    """The bundle's Platt scaling, then the site's, in one."""
    scale = chosen.scale
    return Scaling(round(scale.slope * bundles.slope, 6), round(scale.slope * bundles.offset + scale.offset, 6))


def _for(bundle: Bundle) -> ForBundle:
    manifest = bundle.manifest
    return ForBundle(manifest.name, manifest.version, manifest.provenance.weights_sha256, bundle.sha256)


def _rounded_down(threshold: float) -> float:
    """Down, so that no case is lost by rounding; within what a profile may hold."""
    return min(max(round(threshold - 5e-5, 4), 0.005), 0.995)


def _checked(profile: Profile) -> Profile:
    """The limits that the schema sets hold when a profile is read: hold them when it is made."""
    try:
        return msgspec.json.decode(encode(profile), type=Profile)
    except msgspec.ValidationError as error:
        raise BadConfig("the profile", str(error), "Mend the option, or the cases") from error


def _change(kind: type[Change], given: Mapping[str, float], option: str) -> Change:
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(one.name for one in msgspec.structs.fields(kind))
        raise BadConfig(option, str(error), f"It takes: {known}") from error
