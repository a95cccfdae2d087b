"""From a run, its int8 models and their evidence to the bundle."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from sono_models import __version__, bundle
from sono_models.errors import BadBundle, BadConfig, Refused
from sono_models.handover import DEV, FIT, Handover, read_dev_views, read_handover, read_rows
from sono_models.heads import Heads, LearntHeads
from sono_models.law import Gates, read_law
from sono_models.manifest import Bound, FileEntry, Manifest, Provenance
from sono_models.reader import verified_reader
from sono_models.runtime import MODEL_FILE, RUNTIMES, open_runtime
from sono_models.saliency import MALIGNANT
from sono_models.table import Row
from sono_models.uncertainty import Uncertainty
from sono_quantize.figures import pooled
from sono_quantize.golden import COUNT, archive, golden_frames
from sono_quantize.operating import Operating, freeze
from sono_quantize.parameters import parameters_equal
from sono_quantize.pictures import choose, letterboxed
from sono_quantize.quantization import REPORT
from sono_quantize.uncertainty import LEARNED_FROM, freeze_uncertainty, seen_by

OUTPUTS = {
    "saliency": "float32 logits (1, labels, rows, columns), a map a label, in their order",
    "features": "float32 (1, channels, rows, columns), 0 to 6: what saliency is made from; its mean embeds a picture",
    "lesion": "float32 logits (1, 1, rows, columns), finer: a lesion of whichever label is here",
}
SIMULATED_ROOT = "phantom"
GOLDEN_TOLERANCE = {"onnx": 0.02, "litert": 0.02}
LICENSES = Path(__file__).with_name("LICENSES.txt")
_BOUND = re.compile(r"^([\w.-]+)(>=|<=)(-?[\d.eE-]+)$")


@dataclass(frozen=True, slots=True)
class Order:
    """What to pack. `bounds` are METRIC>=LIMIT or METRIC<=LIMIT, METRIC a path into the evidence: file.key.key."""

    run: Path
    quantized: Path
    roots: Mapping[str, Path]
    version: str
    out: Path
    heads: Path | None = None
    card: Path | None = None
    licenses: Path = LICENSES
    evidence: Sequence[Path] = ()
    bounds: Sequence[str] = ()
    law: Path | None = None
    """The alert law that was chosen on dev sweeps; without one it starts from the operating point."""


def pack_bundle(order: Order) -> bundle.Bundle:
    """Write NAME-VERSION.tar, read it again whole and check it with both runtimes."""
    if re.fullmatch(r"\d+\.\d+\.\d+", order.version) is None:
        raise BadConfig(f"--version {order.version}", "not of the form 1.2.3", "Give three numbers")
    handover = read_handover(order.run)
    report, models = _quantized(order.quantized, handover)
    evidence = {"quantize": report, **read_evidence(order.evidence)}
    envelope = tuple(read_bound(text, evidence) for text in order.bounds)
    refuse_unmet(envelope)
    operating, uncertainty = _operating(order, handover, models)
    if order.law is not None:
        operating = replace(operating, law=read_law(order.law))
    files = {
        **models,
        bundle.GOLDEN: archive(_frames(order, handover), models),
        "LICENSES": text_of(order.licenses),
        **{f"evidence/{name}.json": json_bytes(content) for name, content in evidence.items()},
        "evidence/dev.json": json_bytes(operating.dev),
    }
    files["card.md"] = text_of(order.card) if order.card else _card(order, handover, operating, envelope).encode()
    manifest = _manifest(
        order, handover, operating, uncertainty, _heads(order.heads, handover), report, envelope, files
    )
    return write_bundle(order.out, manifest, files)


def write_bundle(out: Path, manifest: Manifest, files: Mapping[str, bytes]) -> bundle.Bundle:
    """Into the folder `out`; what does not read back or does not give its golden vectors is not left there."""
    path = out / f"{manifest.name}-{manifest.version}.tar"
    out.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_bytes(bundle.pack(manifest, files))
    try:
        made = bundle.read(fresh)
        for name in RUNTIMES:
            verified_reader(made, made.runtime(name))
    except BadBundle:
        fresh.unlink()
        raise
    fresh.replace(path)
    return bundle.read(path)


def read_bound(text: str, evidence: Mapping[str, Any]) -> Bound:
    """`compare.delta_auroc.lo>=-0.02`, its value taken from the evidence."""
    match = _BOUND.match(text)
    if match is None:
        raise BadConfig(f"--bound {text}", "not METRIC>=LIMIT or METRIC<=LIMIT", "E.g. compare.delta_auroc.lo>=-0.02")
    metric, sign, limit = match.groups()
    value: Any = evidence
    for key in metric.split("."):
        if not isinstance(value, Mapping) or key not in value:
            known = ", ".join(sorted(value)) if isinstance(value, Mapping) else "a figure, no keys"
            raise BadConfig(f"--bound {text}", f"the evidence has no '{key}' there", f"There is: {known}")
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadConfig(f"--bound {text}", f"'{metric}' is {value!r}, not a figure", "Name a figure of the evidence")
    if sign == ">=":
        return Bound(metric, float(value), at_least=float(limit))
    return Bound(metric, float(value), at_most=float(limit))


def refuse_unmet(envelope: Sequence[Bound]) -> None:
    for bound in envelope:
        if not bound.met():
            limit = f"at least {bound.at_least}" if bound.at_least is not None else f"at most {bound.at_most}"
            raise Refused(bound.metric, f"is {bound.value:.4f}, this release needs {limit}", "Nothing was packed")


def _quantized(folder: Path, handover: Handover) -> tuple[dict[str, Any], dict[str, bytes]]:
    """quantize.json and the two models, which must be those that it names, of this run."""
    again = "Run `sono model quantize` again"
    try:
        report = json.loads((folder / REPORT).read_text("utf-8"))
        models = {file: (folder / file).read_bytes() for file in MODEL_FILE.values()}
    except (OSError, ValueError) as error:
        raise BadConfig(str(folder), f"not a folder that quantize wrote ({error})", again) from error
    if report["weights_sha256"] != handover.weights_sha256:
        raise BadConfig(str(folder), "was quantized from another run's network", again)
    for name, content in models.items():
        if hashlib.sha256(content).hexdigest() != report["files"][name]:
            raise BadConfig(str(folder / name), f"is not the file that {REPORT} tells of", again)
    for difference in parameters_equal(models[MODEL_FILE["onnx"]], models[MODEL_FILE["litert"]]):
        raise Refused(str(folder), f"its two models carry different integers ({difference})", again)
    return report, models


def _heads(path: Path | None, handover: Handover) -> Heads | None:
    if path is None:
        return None
    try:
        learnt = msgspec.json.decode(path.read_bytes(), type=LearntHeads)
    except (OSError, msgspec.DecodeError) as error:
        raise BadConfig(str(path), f"not what `sono model heads` writes ({error})", "Run it again") from error
    if learnt.weights_sha256 != handover.weights_sha256:
        raise BadConfig(str(path), "was learnt on another run's network", "Run `sono model heads` on this run")
    return learnt.heads


def read_evidence(paths: Sequence[Path]) -> dict[str, Any]:
    """The files' content by their names. Raises BadConfig for one that is not JSON."""
    found: dict[str, Any] = {}
    for path in paths:
        try:
            found[path.stem] = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise BadConfig(str(path), f"not a JSON file ({error})", "Give the --json output of a command") from error
    return found


def _operating(order: Order, handover: Handover, models: Mapping[str, bytes]) -> tuple[Operating, Uncertainty]:
    rows = read_rows(order.run / DEV, order.roots)
    fitted = choose(read_rows(order.run / FIT, order.roots), LEARNED_FROM, seed=handover.seed)
    runtime = open_runtime("onnx", models[MODEL_FILE["onnx"]])
    logits, embeddings = seen_by(runtime, letterboxed(rows, handover.input, title="dev split"))
    views = read_dev_views(order.run, len(rows), handover.input)
    disturbed = [pooled(seen_by(runtime, list(view))[0], handover.pooling) for view in views]
    _, learned = seen_by(runtime, letterboxed(fitted, handover.input, title="fit split"))
    scores = pooled(logits, handover.pooling)
    operating = freeze(scores, rows, handover, disturbed)
    threshold = operating.point.threshold
    return operating, freeze_uncertainty(
        scores, embeddings, rows, operating.calibration, threshold, disturbed=disturbed, learned_from=learned
    )


def _is_simulated(row: Row) -> bool:
    return row.columns["image"].startswith(SIMULATED_ROOT)


def _frames(order: Order, handover: Handover) -> Any:
    rows = [row for row in read_rows(order.run / FIT, order.roots) if _is_simulated(row)]
    chosen = rows[:: max(1, len(rows) // COUNT)][:COUNT]
    return golden_frames(letterboxed(chosen, handover.input, title="golden frames"), handover.input, seed=handover.seed)


def _manifest(
    order: Order,
    handover: Handover,
    operating: Operating,
    uncertainty: Uncertainty,
    heads: Heads | None,
    report: Mapping[str, Any],
    envelope: tuple[Bound, ...],
    files: Mapping[str, bytes],
) -> Manifest:
    made_with = {**handover.made_with, **report["made_with"], "scikit-learn": version("scikit-learn")}
    return Manifest(
        name=handover.name,
        version=order.version,
        task=f"{handover.name} ultrasound: score and place of a {' and of a '.join(handover.labels)} finding",
        labels=handover.labels,
        input=handover.input,
        outputs={name: OUTPUTS[name] for name in handover.outputs},
        pooling=handover.pooling,
        calibration=operating.calibration,
        operating_points=(operating.point,),
        law=operating.law,
        uncertainty=uncertainty,
        heads=heads,
        gates=Gates(not_breast=round(1.0 - heads.domain.threshold, 6)) if heads and heads.domain else Gates(),
        golden_tolerance=GOLDEN_TOLERANCE,
        files=entries(files),
        min_agent=__version__,
        provenance=Provenance(
            commit=commit(),
            recipe=handover.recipe_sha256,
            tables=handover.tables,
            seed=handover.seed,
            weights_sha256=handover.weights_sha256,
            made_with=made_with,
        ),
        envelope=envelope,
        license="Apache-2.0",
    )


def entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """What a manifest says of its files."""
    return {name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()}


def commit() -> str:
    """The checkout's commit, with -dirty when files differ from it; "unknown" outside a checkout."""
    folder = Path(__file__).parent
    command = ("git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def text_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadConfig(str(path), error.strerror or "cannot be read", "Name a text file") from error


def json_bytes(content: Any) -> bytes:
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def _card(order: Order, handover: Handover, operating: Operating, envelope: Sequence[Bound]) -> str:
    """The least a card must say, for a bundle that comes without one of its own."""
    point, dev = operating.point, operating.dev
    bounds = [f"- {bound.metric}: {bound.value:.4f}" for bound in envelope] or ["- none was set"]
    spec, label = handover.input, handover.labels[MALIGNANT]
    shape = f"grey, {spec.width} x {spec.height}, letterboxed"
    reached = f"sensitivity {dev['sens']:.3f}, specificity {dev['spec']:.3f} there"
    lines = [
        f"# {handover.name} {order.version}",
        "",
        "Research prototype, not a medical device.",
        "",
        f"Labels: {', '.join(handover.labels)}. Input: {shape}. int8, one set of integers for both runtimes.",
        "",
        f"Threshold {point.threshold:.4f} on the calibrated {label} score, frozen on the {point.frozen_on}: {reached}.",
        "",
        "Figures this release had to meet:",
        *bounds,
    ]
    return "\n".join(lines) + "\n"
