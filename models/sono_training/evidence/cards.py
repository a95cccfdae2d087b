"""The written documents: README, model card and data card, from hand-written templates with figures put in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources

from sono_models.bundle import Bundle
from sono_models.errors import BadConfig
from sono_models.resampling import RESAMPLES, SEED
from sono_models.runtime import MODEL_FILE
from sono_models.table import Row
from sono_training.evidence import alerts, words
from sono_training.evidence.made import Evidence
from sono_training.evidence.subgroups import Metadata
from sono_training.evidence.tables import MANIFESTS
from sono_training.evidence.targets import Met

_PLACE = re.compile(r"\{\{(\w+)\}\}")


def filled(template: str, values: Mapping[str, str]) -> str:
    """A template of this package with every {{name}} replaced. Raises BadConfig for a name without a value."""
    text = resources.files("sono_training.evidence").joinpath("templates", template).read_text("utf-8")
    unknown = sorted(set(_PLACE.findall(text)) - set(values))
    if unknown:
        raise BadConfig(template, f"asks for {', '.join(unknown)}, which nobody gives", "Mend the template")
    return _PLACE.sub(lambda match: values[match[1]], text)


def readme(evidence: Evidence, openings: str) -> str:
    """models/evidence/README.md."""
    return filled(
        "readme.md",
        _figures(evidence) | {"openings": openings, "alerts": alerts.section(evidence.alerts, evidence.around_alerts)},
    )


def model_card(evidence: Evidence, bundle: Bundle, openings: str) -> str:
    """models/bundles/breast/card.md: the bundle's own facts, its tests, the headline, and both checklists answered."""
    return filled("model-card.md", _figures(evidence) | _facts(bundle) | {"openings": openings})


def _figures(evidence: Evidence) -> dict[str, str]:
    return {
        "headline": words.headline(evidence.lines),
        "protocols": words.protocols(evidence.protocols, evidence.released),
        "published": words.published(evidence.published()),
        "met": _met(evidence),
        "resamples": f"{RESAMPLES:,}",
        "seed": str(SEED),
        "released": ", ".join(words.NAMES.get(name, name) for name in evidence.released) or "none yet",
    }


def _met(evidence: Evidence) -> str:
    counts = Counter(line.met for line in evidence.lines)
    parts = [f"{counts[met]} {what}" for met, what in _SUMMARY if counts[met]]
    missed = ", ".join(line.row for line in evidence.lines if line.met == "no")
    return f"Of {len(evidence.lines)} rows: {', '.join(parts)}." + (f" Missed: {missed}." if missed else "")


_SUMMARY: tuple[tuple[Met, str], ...] = (
    ("goal", "reach the goal"),
    ("at least", "reach what was asked at least"),
    ("no", "miss what was asked"),
    ("not measured", "are not measured"),
)


def _facts(bundle: Bundle) -> dict[str, str]:
    manifest = bundle.manifest
    (point, *_) = manifest.operating_points
    law = manifest.law
    sizes = {name: manifest.files[file].size / 1e6 for name, file in MODEL_FILE.items()}
    made_with = ", ".join(f"{name} {version}" for name, version in sorted(manifest.provenance.made_with.items()))
    return {
        "name": manifest.name,
        "version": manifest.version,
        "labels": " and ".join(manifest.labels),
        "input": f"{manifest.input.width} x {manifest.input.height}",
        "onnx_mb": f"{sizes['onnx']:.1f}",
        "tflite_mb": f"{sizes['litert']:.1f}",
        "law": f"{law.m} of {law.n} frames from {law.t_hi:g}",
        "threshold": f"{point.threshold:.4f}",
        "frozen_for": f"{point.frozen_for_sensitivity:.2f}",
        "frozen_on": point.frozen_on,
        "prevalence": f"{point.assumed_prevalence:.0%}",
        "top_share": f"{manifest.pooling.top_share:.0%}",
        "recipe": manifest.provenance.recipe,
        "training_seed": str(manifest.provenance.seed),
        "weights_sha256": manifest.provenance.weights_sha256,
        "made_with": made_with,
        "outputs": ", ".join(manifest.outputs),
    }


def data_card(metadata: Metadata) -> str:
    """models/evidence/data-card.md: what the data's own manifests count."""
    rows = {name: [row for each, row in metadata.values() if each == name] for name in MANIFESTS}
    busbra, busi = rows["BUS-BRA"], rows["BUSI"]
    conflicts = [row for row in busi if row.columns["label_conflict"] == "1"]
    return filled(
        "data-card.md",
        {
            "busbra_labels": _count([row.label for row in busbra]),
            "busbra_images": f"{len(busbra):,}",
            "busbra_patients": f"{len({row.group for row in busbra}):,}",
            "busbra_folds": words.table(("fold", "images", "patients", "malignant images"), _folds(busbra)),
            "busbra_birads": _by_class(busbra, "birads"),
            "busbra_device": _by_class(busbra, "device"),
            "busbra_histology": _by_class(busbra, "histology"),
            "busi_images": f"{len(busi):,}",
            "busi_labels": _count([row.label for row in busi]),
            "busi_groups": f"{len({row.group for row in busi}):,}",
            "busi_conflicts": f"{len({row.group for row in conflicts})} groups, {len(conflicts)} images",
            "busi_overlays": _overlays(busi),
        },
    )


def _count(labels: Sequence[str]) -> str:
    return ", ".join(f"{n:,} {label}" for label, n in sorted(Counter(labels).items()))


def _folds(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for fold in sorted({row.columns["fold"] for row in rows}):
        mine = [row for row in rows if row.columns["fold"] == fold]
        malignant = sum(row.label == "malignant" for row in mine)
        found.append((fold, str(len(mine)), str(len({row.group for row in mine})), str(malignant)))
    return found


def _by_class(rows: Sequence[Row], column: str) -> str:
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        counted.setdefault(row.columns[column], Counter())[row.label] += 1
    ordered = sorted(counted, key=lambda name: (-counted[name].total(), name))
    lines = ((name, str(counted[name]["benign"]), str(counted[name]["malignant"])) for name in ordered)
    return words.table((column, "benign", "malignant"), lines)


def _overlays(rows: Sequence[Row]) -> str:
    lines = []
    for label in ("benign", "malignant", "normal"):
        marks = [int(row.columns["overlay_components"]) for row in rows if row.label == label]
        lines.append((label, str(len(marks)), f"{sum(n >= 3 for n in marks) / len(marks):.0%}"))
    return words.table(("label", "images", "three or more marks"), lines)
