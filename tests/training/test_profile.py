"""Re-choosing on a site's own cases: what it finds on cases of a known shift, and when it refuses."""

from __future__ import annotations

import csv
import json
import stat
from dataclasses import replace
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from sono_models import bundle
from sono_models.errors import BadConfig, Refused, SonoError
from sono_models.profile import Profile, read
from sono_models.reader import verified_reader
from sono_training.profile import (
    Cases,
    Wanted,
    _folds,
    at_prevalence,
    choose,
    cross_called,
    harrell_davis,
    logit,
    probability,
    recalibrate,
    threshold,
    wilson,
)
from sono_training.profile_cases import DevScores, dev_scores
from sono_training.profile_command import app
from sono_training.profile_label_free import Expected, choose_free, match, prevalence_by_em
from sono_training.profile_study import Plan, study
from tests.support.bundles import BREAST, noise

QUICK = Wanted(resamples=60)
RUNNER = CliRunner()


def cohort(count: int, *, seed: int = 1, prevalence: float = 0.35, slope: float = 1.0, offset: float = 0.0) -> Cases:
    """Logits whose own calibration is perfect (two normals, variance v, means +-v/2 about the prior's log odds),
    then stretched and moved as a scanner would.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(count) < round(prevalence * count)
    spread = 5.0
    centre = np.log(prevalence / (1 - prevalence))
    z = rng.normal(np.where(truth, centre + spread / 2, centre - spread / 2), np.sqrt(spread))
    order = rng.permutation(count)
    return Cases(slope * z[order] + offset, truth[order], tuple(f"p{i // 2}" for i in range(count)))


def reached(cases: Cases, at: float) -> float:
    return float((cases.z[cases.truth] >= at).mean())


MANY = cohort(4000, seed=9)
BUNDLE_Z = -0.985
"""The tenth percentile of a cohort's positives: log(0.35 / 0.65) + 2.5 - 1.2816 * sqrt(5)."""


def test_many_cases_give_back_the_shift_that_was_made() -> None:
    found = recalibrate(cohort(4000, slope=0.5, offset=1.0))
    assert found.slope == pytest.approx(2.0, rel=0.12)
    assert found.offset == pytest.approx(-2.0, abs=0.25)


def test_few_cases_stay_nearer_to_the_bundle() -> None:
    slopes = [recalibrate(cohort(count, slope=0.5, offset=1.0)).slope for count in (50, 4000)]
    assert 1.0 < slopes[0] < slopes[1]


def test_cases_that_separate_do_not_run_away() -> None:
    truth = np.arange(60) < 30
    found = recalibrate(Cases(np.where(truth, 0.5, -0.5), truth, tuple(map(str, range(60)))))
    assert 1.0 < found.slope < 5.0


def test_the_threshold_lies_between_the_sites_and_the_bundles() -> None:
    few, many = cohort(60, offset=1.5), cohort(4000, offset=1.5)
    local = harrell_davis(np.sort(few.z[few.truth]), 0.1)[0]
    assert BUNDLE_Z < threshold(few, BUNDLE_Z, 0.9) < local
    assert threshold(many, BUNDLE_Z, 0.9) == pytest.approx(BUNDLE_Z + 1.5, abs=0.25)


def test_harrell_davis_is_the_quantile_with_a_variance_that_falls() -> None:
    ordered = np.linspace(0, 1, 201)
    value, variance = harrell_davis(ordered, 0.1)
    assert value == pytest.approx(0.1, abs=0.01)
    assert 0 < variance < harrell_davis(ordered[::8], 0.1)[1]


def test_wilsons_interval() -> None:
    assert wilson(0.9, 16) == pytest.approx((0.673, 0.975), abs=5e-3)
    assert wilson(1.0, 15)[0] == pytest.approx(0.796, abs=1e-3)


def test_what_is_chosen_calls_the_same_on_both_scales_and_holds_its_figures() -> None:
    cases = cohort(160, slope=0.8, offset=0.9)
    chosen = choose(cases, BUNDLE_Z, QUICK)
    site_scores = np.array([probability(float(z)) for z in chosen.scale.apply(cases.z)])
    assert ((site_scores >= chosen.threshold) == (cases.z >= chosen.threshold_z)).all()
    for interval in (chosen.sensitivity, chosen.specificity):
        assert interval.lo < interval.value < interval.hi
    assert abs(reached(cohort(4000, seed=4, slope=0.8, offset=0.9), chosen.threshold_z) - 0.9) < 0.1


def test_cases_gathered_by_label_are_told_of_the_sites_mix() -> None:
    """Half of them positive, a tenth of the site's: the decisions stay, a score means nine times less odds."""
    cases = cohort(120, prevalence=0.5)
    chosen = choose(cases, BUNDLE_Z, QUICK)
    told = at_prevalence(chosen, 0.1)
    assert (told.threshold_z, told.sensitivity) == (chosen.threshold_z, chosen.sensitivity)
    odds = [one.threshold / (1 - one.threshold) for one in (chosen, told)]
    assert odds[0] / odds[1] == pytest.approx(9.0)


def test_folds_hold_every_case_once_and_split_no_group() -> None:
    groups = cohort(101).groups
    folds = list(_folds(groups, np.random.default_rng(1)))
    assert (np.sum(folds, axis=0) == 1).all()
    for held in folds:
        inside = {group for group, is_held in zip(groups, held, strict=True) if is_held}
        outside = {group for group, is_held in zip(groups, held, strict=True) if not is_held}
        assert not inside & outside


def test_a_case_has_no_part_in_the_threshold_that_calls_it() -> None:
    """The lowest positive, moved lower still: nobody else's call may rest on it being its own judge."""
    cases = cohort(80)
    lowest = int(np.flatnonzero(cases.truth)[np.argmin(cases.z[cases.truth])])
    assert cross_called(cases, BUNDLE_Z, QUICK)[lowest] == 0.0
    assert cases.z[lowest] < threshold(cases, BUNDLE_Z, 0.9)


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        (cohort(49), "49, a profile needs 50"),
        (cohort(60, prevalence=0.2), "12 positive, a profile needs 15"),
        (cohort(60, prevalence=0.8), "12 negative, a profile needs 15"),
        (cohort(80, slope=-1.0), "does not rise with the finding"),
        (cohort(50, prevalence=0.3), "known only to"),
    ],
)
def test_it_refuses_with_the_figure_that_lacks(cases: Cases, words: str) -> None:
    with pytest.raises(Refused) as caught:
        choose(cases, BUNDLE_Z, replace(QUICK, widest=0.29))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_em_finds_another_mix() -> None:
    """Posteriors that are right at one prevalence, on cases of another: the offset between them is known."""
    prior, true = 0.35, 0.6
    offset = float(np.log(prior / (1 - prior)) - np.log(true / (1 - true)))
    assert prevalence_by_em(cohort(4000, prevalence=true, offset=offset).z, prior) == pytest.approx(true, abs=0.04)
    assert prevalence_by_em(cohort(4000, prevalence=prior).z, prior) == pytest.approx(prior, abs=0.04)


def test_matching_undoes_a_stretch_and_a_move() -> None:
    line = match(cohort(2000, slope=0.7, offset=0.8).z, MANY, 0.35)
    assert line.slope == pytest.approx(1 / 0.7, rel=0.06)
    assert line.offset == pytest.approx(-0.8 / 0.7, abs=0.12)


def test_matching_knows_of_another_mix_when_it_is_told() -> None:
    z = cohort(2000, prevalence=0.6, offset=-float(np.log(1.5) - np.log(0.35 / 0.65))).z
    assert match(z, MANY, 0.6).offset == pytest.approx(0.0, abs=0.15)
    assert abs(match(z, MANY, 0.35).offset) > 0.4


EXPECTED = Expected(cohort(300, seed=9), BUNDLE_Z, 0.35)


def test_without_labels_a_moved_score_moves_the_threshold() -> None:
    site = cohort(150, seed=3, slope=0.8, offset=1.0)
    found = choose_free(site.z, site.groups, EXPECTED, "score-shift", resamples=50)
    assert found.chosen.threshold_z == pytest.approx(0.8 * BUNDLE_Z + 1.0, abs=0.5)
    assert found.chosen.sensitivity.lo <= found.chosen.sensitivity.value <= found.chosen.sensitivity.hi


def test_without_labels_another_mix_moves_the_odds_and_no_decision() -> None:
    offset = float(np.log(0.35 / 0.65) - np.log(1.5))
    site = cohort(300, seed=3, prevalence=0.6, offset=offset)
    found = choose_free(site.z, site.groups, EXPECTED, "prevalence-shift", resamples=50)
    assert found.chosen.threshold_z == BUNDLE_Z
    assert found.prevalence.lo < 0.6 < found.prevalence.hi
    assert found.chosen.scale.offset > 0.5


@pytest.mark.parametrize(
    ("site", "assumption", "words"),
    [
        (cohort(99), "score-shift", "99, without labels a profile needs 100"),
        (cohort(200, offset=9.0), "score-shift", "too far from the dev split's"),
        (cohort(200, slope=0.3), "prevalence-shift", "are not what 'prevalence-shift' expects"),
        (
            Cases(np.where(np.arange(200) % 2 == 0, 3.0, -3.0), np.zeros(200, np.bool_), tuple(map(str, range(200)))),
            "score-shift",
            "are not what 'score-shift' expects",
        ),
    ],
)
def test_without_labels_it_refuses_what_it_cannot_explain(site: Cases, assumption: str, words: str) -> None:
    with pytest.raises(Refused) as caught:
        choose_free(site.z, site.groups, EXPECTED, assumption, resamples=20)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_the_study_shows_what_a_profile_mends() -> None:
    plan = Plan(draws=6, sizes=(120,), wanted=replace(QUICK, resamples=20))
    site = cohort(700, offset=1.5)
    found = study(site, BUNDLE_Z, plan, EXPECTED)["sizes"]["120"]
    assert set(found) == {
        "unprofiled",
        "labelled",
        "labelled, never refused",
        "label-free, prevalence-shift",
        "label-free, score-shift",
    }
    assert found["unprofiled"]["spec"]["median"] + 0.05 < found["labelled"]["spec"]["median"]
    assert found["labelled"]["sens"]["p5"] > 0.75
    with pytest.raises(Refused, match="Draw fewer"):
        study(site, BUNDLE_Z, replace(plan, sizes=(700,)))


def test_dev_scores_travel_without_names() -> None:
    text = msgspec.json.encode(dev_scores(cohort(40)))
    assert b"p1" not in text
    back = msgspec.json.decode(text, type=DevScores).cases()
    assert back.z == pytest.approx(cohort(40).z, abs=1e-2)
    assert len(set(back.groups)) == len(set(cohort(40).groups))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with 60 pictures, labelled much as the bundle scores them, and a pair of keys."""
    folder = tmp_path_factory.mktemp("site")
    reader = verified_reader(found := bundle.read(BREAST), found.runtime("onnx"))
    rng = np.random.default_rng(8)
    scores = []
    for number in range(60):
        picture = cv2.GaussianBlur(noise(number, (96, 96)), (0, 0), float(rng.uniform(0.6, 6.0)))
        cv2.imwrite(str(folder / f"{number:02}.png"), picture)
        scores.append(reader.read(np.asarray(picture, np.uint8)).malignant)
    rank = np.argsort(np.argsort(np.array(scores) + rng.normal(0, 0.3 * np.std(scores), 60)))
    with (folder / "local.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "label", "patient", "half"))
        writer.writerows((f"{i:02}.png", "malignant" if rank[i] >= 30 else "benign", f"p{i}", i % 2) for i in range(60))
    assert RUNNER.invoke(app, ["key", "--out", str(folder / "keys")]).exit_code == 0
    return folder


def ordered(site: Path, out: Path, *more: str) -> list[str]:
    key = str(site / "keys" / "profile.key")
    given = ["make", "--manifest", str(site / "local.csv"), "--site", "clinic-a", "--key", key, "--out", str(out)]
    return [*given, "--bundle", str(BREAST), *more]


def test_a_site_makes_a_profile_that_its_devices_can_read(site: Path, tmp_path: Path) -> None:
    out, public = tmp_path / "clinic-a.profile.json", site / "keys" / "profile.pub"
    made = RUNNER.invoke(app, ordered(site, out, "--law", "per_minute=3", "--gate", "contact_grey=6", "--json"))
    assert made.exception is None
    printed = msgspec.json.decode(made.stdout, type=Profile)
    profile = read(out, public).profile
    assert profile == printed
    assert (profile.site, profile.evidence.cases, profile.evidence.positives) == ("clinic-a", 60, 30)
    assert (profile.law.per_minute, profile.gates.contact_grey, profile.label_free) == (3, 6.0, False)
    assert b".png" not in out.read_bytes()
    shown = RUNNER.invoke(app, ["show", str(out), "--public", str(public), "--bundle", str(BREAST)])
    assert "expected sensitivity" in shown.stdout
    assert "not a medical device" in shown.stdout


def test_the_private_key_is_its_owners_alone_and_is_not_overwritten(site: Path) -> None:
    private = site / "keys" / "profile.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert isinstance(RUNNER.invoke(app, ["key", "--out", str(site / "keys")]).exception, BadConfig)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--where", "half=1"], "30, a profile needs 50"),
        (["--widest", "0.05"], "wider than 0.05"),
        (["--label-free"], "without labels a profile needs 100"),
        (["--law", "m=1"], "--law"),
        (["--gate", "shine=1"], "--gate"),
        (["--site", "a/b"], "--site 'a/b'"),
        (["--label-free", "--sensitivity", "0.8"], "without labels"),
    ],
)
def test_what_a_site_may_not_have_is_one_line(site: Path, tmp_path: Path, more: list[str], words: str) -> None:
    found = RUNNER.invoke(app, ordered(site, tmp_path / "none.json", *more))
    assert isinstance(found.exception, SonoError)
    assert words in str(found.exception)
    assert not (tmp_path / "none.json").exists()


def test_the_study_of_a_table_takes_its_threshold_from_beside_it(tmp_path: Path) -> None:
    cases = cohort(160)
    with (tmp_path / "site.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "group", "label", "onnx"))
        for number, (z, positive, group) in enumerate(zip(cases.z, cases.truth, cases.groups, strict=True)):
            writer.writerow((f"{number}.png", group, "malignant" if positive else "benign", f"{probability(z):.6f}"))
    command = ["study", "--scores", str(tmp_path / "site.csv"), "--draws", "10", "--size", "60", "--json"]
    assert isinstance(RUNNER.invoke(app, command).exception, BadConfig)
    (tmp_path / "site.json").write_text('{"threshold": 0.3}')
    found = json.loads(RUNNER.invoke(app, command).stdout)
    assert (found["bundle_threshold"], found["cases"]) == (0.3, 160)
    assert logit(np.array([0.3]))[0] == pytest.approx(-0.847, abs=1e-3)
    assert "RESEARCH" not in json.dumps(found)
