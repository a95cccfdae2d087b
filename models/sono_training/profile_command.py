"""`sono model profile make | key | show | reference | study`."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sono_models import DISCLAIMER
from sono_models.errors import BadConfig, Refused
from sono_models.profile import Assumption, Profile
from sono_models.runtime import RuntimeName

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Site profiles: a bundle's threshold, re-chosen by one site."
)

BundleOption = Annotated[Path | None, typer.Option("--bundle", help="A bundle, or a folder of bundles.")]
ManifestOption = Annotated[Path, typer.Option("--manifest", help="CSV with image[,label][,patient|group].")]
WhereOption = Annotated[list[str] | None, typer.Option("--where", help="COLUMN=VALUE; repeat for more values.")]
RuntimeOption = Annotated[RuntimeName, typer.Option("--runtime", help="Which runtime.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="The private key's passphrase, on its first line.")
]


@app.command()
def key(
    out: Annotated[Path, typer.Option("--out", help="Folder for profile.key (keep it) and profile.pub.")],
    passphrase_file: PassphraseOption = None,
) -> None:
    """Make the pair of keys with which a site signs its profiles."""
    from sono_models.envelope import make_keys
    from sono_training.profile_make import write_keys

    private, public = write_keys(make_keys(_passphrase(passphrase_file)), out)
    print(f"wrote {private} (private: it stays with who makes profiles) and {public} (for the site's devices)")


@app.command()
def make(
    manifest: ManifestOption,
    site: Annotated[str, typer.Option("--site", help="As device.site in agent.toml.")],
    key: Annotated[Path, typer.Option("--key", help="The private key that signs.")],
    out: Annotated[Path, typer.Option("--out", help="SITE.profile.json.")],
    bundle: BundleOption = None,
    where: WhereOption = None,
    runtime: RuntimeOption = "onnx",
    *,
    name: Annotated[str | None, typer.Option("--name", help="Default: the site.")] = None,
    version: Annotated[str, typer.Option("--version", help="Of the profile.")] = "1.0.0",
    days: Annotated[int, typer.Option("--days", help="How long it holds.", min=1, max=730)] = 365,
    sensitivity: Annotated[
        float | None, typer.Option("--sensitivity", help="Default: the bundle's.", min=0.5, max=0.99)
    ] = None,
    widest: Annotated[
        float, typer.Option("--widest", help="Refuse a wider interval of sensitivity.", min=0.02, max=0.5)
    ] = 0.30,
    assume: Annotated[Assumption, typer.Option("--assume", help="With --label-free.")] = "score-shift",
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence", help="The site's share of malignant cases, if the cases' own is not it.", min=0.01, max=0.99
        ),
    ] = None,
    dev: Annotated[
        Path | None, typer.Option("--dev", help="With --label-free, if the bundle lacks its dev scores.")
    ] = None,
    law: Annotated[list[str] | None, typer.Option("--law", help="NAME=VALUE, such as per_minute=3.")] = None,
    gate: Annotated[list[str] | None, typer.Option("--gate", help="NAME=VALUE, such as contact_grey=6.")] = None,
    passphrase_file: PassphraseOption = None,
    label_free: Annotated[bool, typer.Option("--label-free", help="The cases have no labels.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Re-choose threshold and calibration on a site's own cases, and sign what was found."""
    from sono_models.bundle import default_path, read
    from sono_models.options import pairs
    from sono_training.profile_make import Order, make_profile, sign

    found = read(bundle or default_path())
    order = Order(
        site=site,
        name=name or site,
        version=version,
        created_at=datetime.now(UTC).replace(microsecond=0),
        holds_for=timedelta(days=days),
        sensitivity=sensitivity,
        widest=widest,
        assume=assume if label_free else None,
        prevalence=prevalence,
        dev=dev,
        law=_numbers(law, "--law"),
        gates=_numbers(gate, "--gate"),
    )
    private = _content(key)
    passphrase = _passphrase(passphrase_file)
    profile = make_profile(found, runtime, manifest, pairs(where, "--where"), order)
    sign(profile, private, passphrase, out)
    _tell(profile, out, as_json=as_json)


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A profile.")],
    public: Annotated[Path, typer.Option("--public", help="The .pub of the site that made it.")],
    bundle: BundleOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """What a profile says, once its signature holds; with --bundle also whether it fits."""
    from sono_models.bundle import read
    from sono_models.profile import apply
    from sono_models.profile import read as read_profile

    signed = read_profile(file, public)
    if bundle is not None:
        apply(read(bundle).manifest, signed.profile)
    _tell(signed.profile, file, as_json=as_json)
    if not as_json:
        print(f"  alerts name it {signed.said}; signed by {public.name}")


@app.command()
def reference(
    manifest: Annotated[Path, typer.Option("--manifest", help="dev.csv of the run, or any labelled CSV.")],
    out: Annotated[Path, typer.Option("--out", help="dev_scores.json, evidence for `sono model pack`.")],
    bundle: BundleOption = None,
    runtime: RuntimeOption = "onnx",
    root: Annotated[list[str] | None, typer.Option("--root", help="NAME=DIR, where images are NAME:PATH.")] = None,
) -> None:
    """Write the bundle's scores on its dev split: what label-free cases are held against."""
    import msgspec

    from sono_models.atomic import writing
    from sono_models.bundle import default_path, read
    from sono_models.handover import read_rows
    from sono_models.options import roots
    from sono_models.table import read_table
    from sono_training.profile_cases import dev_scores, scored

    found = read(bundle or default_path())
    rows = read_rows(manifest, roots(root)) if root else read_table(manifest)
    cases = scored(found, runtime, rows)
    with writing(out) as file:
        file.write(msgspec.json.encode(dev_scores(cases)).decode() + "\n")
    print(f"wrote {out}: {len(rows)} scores, {int(cases.truth.sum())} positive")


@app.command()
def study(
    scores: Annotated[Path, typer.Option("--scores", help="A score table of a site: image,group,label,onnx.")],
    draws: Annotated[int, typer.Option("--draws", min=10)] = 200,
    size: Annotated[list[int] | None, typer.Option("--size", help="Cases a draw; repeat. Default: 50 100 200.")] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="The bundle's; default: of the JSON beside the table.")
    ] = None,
    dev: Annotated[Path | None, typer.Option("--dev", help="The dev split's scores, to try label-free too.")] = None,
    sensitivity: Annotated[float, typer.Option("--sensitivity", min=0.5, max=0.99)] = 0.90,
    column: Annotated[str, typer.Option("--column", help="Whose scores.")] = "onnx",
    target: Annotated[str, typer.Option("--target", help="The label that counts as positive.")] = "malignant",
    *,
    as_json: JsonOption = False,
) -> None:
    """How well profiles of so many cases work: each draw's profile is tried on the cases it did not see."""
    import numpy as np

    from sono_models.uncertainty import logit
    from sono_training.profile import Wanted
    from sono_training.profile_cases import read_dev, table_of_scores, threshold_beside
    from sono_training.profile_label_free import Expected
    from sono_training.profile_study import Plan
    from sono_training.profile_study import study as studied

    site = table_of_scores(scores, column, target)
    at = float(logit(np.array(threshold_beside(scores, threshold))))
    split = read_dev(dev) if dev is not None else None
    known = Expected(split, at, float(split.truth.mean())) if split is not None else None
    plan = Plan(draws, tuple(size or (50, 100, 200)), Wanted(sensitivity, resamples=200))
    found = studied(site, at, plan, known)
    if as_json:
        print(json.dumps({"scores": scores.name, "column": column, **found}))
        return
    print(f"{scores.name}: {found['cases']} cases, {found['positives']} positive, {draws} draws; reached on the rest,")
    print("median (5th to 95th percentile):")
    for count, methods in found["sizes"].items():
        for method, summary in methods.items():
            print(_line(count, method, summary))


def _line(count: str, method: str, summary: dict[str, Any]) -> str:
    words = f"  {count:>4} cases  {method:<30} made {summary['made']:.0%}"
    for figure in ("sens", "spec"):
        if figure in summary:
            spread = summary[figure]
            words += f"  {figure} {spread['median']:.3f} ({spread['p5']:.3f} to {spread['p95']:.3f})"
    return words


def _tell(profile: Profile, path: Path, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(msgspec.json.encode(profile).decode())
        return
    evidence, point = profile.evidence, profile.point
    sens, spec = evidence.sensitivity, evidence.specificity
    labels = "no labels" if evidence.positives is None else f"{evidence.positives} {point.label}"
    print(f"{path.name}: {profile.name} {profile.version} for site {profile.site}, {DISCLAIMER}")
    print(f"  of bundle {profile.bundle.name} {profile.bundle.version}; holds until {profile.expires_at.date()}")
    print(f"  {point.label} from {point.threshold:.3f}; {evidence.method} on {evidence.cases} cases, {labels}")
    print(f"  expected sensitivity {sens.value:.3f} ({sens.lo:.3f} to {sens.hi:.3f})")
    print(f"  expected specificity {spec.value:.3f} ({spec.lo:.3f} to {spec.hi:.3f}), 95 %")
    if evidence.before is not None:
        print(
            f"  the bundle's own threshold here: sens {evidence.before['sens']:.3f}, spec {evidence.before['spec']:.3f}"
        )
    if evidence.assumption:
        print(f"  label-free, and holds only if: {evidence.assumption}")


def _numbers(given: list[str] | None, option: str) -> dict[str, float]:
    from sono_models.options import pairs

    try:
        return {name: float(values[-1]) for name, values in pairs(given, option).items()}
    except ValueError as error:
        raise BadConfig(option, str(error), f"Write {option} NAME=NUMBER") from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refused(str(path), error.strerror or "it cannot be read", "Check the path") from error


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    found = _content(path).partition(b"\n")[0].strip()
    if not found:
        raise BadConfig(str(path), "holds no passphrase on its first line", "Write one, or leave the option out")
    return found
