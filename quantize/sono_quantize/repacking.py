"""An existing bundle under a higher version: the same models, heads and thresholds, with another alert law, card or
evidence. What made it (the run, the quantized files) is not needed; every bound that it had to meet it must meet again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from sono_models import bundle
from sono_models.errors import BadConfig, Refused
from sono_models.law import read_law
from sono_models.manifest import Bound
from sono_models.runtime import MODEL_FILE
from sono_quantize.packing import commit, entries, read_bound, read_evidence, refuse_unmet, text_of, write_bundle
from sono_quantize.packing import json_bytes as as_bytes
from sono_quantize.parameters import parameters_equal

_EVIDENCE = re.compile(r"^evidence/(.+)\.json$")


@dataclass(frozen=True, slots=True)
class Order:
    """What to pack again. None or empty: as it is in `source`."""

    source: Path
    version: str
    out: Path
    law: Path | None = None
    card: Path | None = None
    evidence: Sequence[Path] = ()
    """Takes the place of the source's file of the same name, or stands beside the others."""
    bounds: Sequence[str] = ()
    """Beside the source's own."""


def repack_bundle(order: Order) -> bundle.Bundle:
    """Write NAME-VERSION.tar, read it again whole and check it with both runtimes."""
    source = bundle.read(order.source)
    manifest = source.manifest
    _refuse_older(order, manifest.version)
    files = {name: source.content(name) for name in manifest.files}
    for difference in parameters_equal(files[MODEL_FILE["onnx"]], files[MODEL_FILE["litert"]]):
        raise Refused(str(source.path), f"its two models carry different integers ({difference})", "Quantize again")
    evidence = {match[1]: json.loads(files[name]) for name in files if (match := _EVIDENCE.match(name))}
    fresh = read_evidence(order.evidence)
    _refuse_others(fresh, manifest.provenance.weights_sha256)
    evidence |= fresh
    envelope = (*(_again(bound, evidence) for bound in manifest.envelope), *_more(order.bounds, evidence))
    refuse_unmet(envelope)
    files |= {f"evidence/{name}.json": as_bytes(content) for name, content in fresh.items()}
    if order.card is not None:
        files["card.md"] = text_of(order.card)
    made = msgspec.structs.replace(
        manifest,
        version=order.version,
        law=read_law(order.law) if order.law else manifest.law,
        files=entries(files),
        envelope=envelope,
        provenance=msgspec.structs.replace(manifest.provenance, commit=commit(), repacked_from=source.sha256),
    )
    return write_bundle(order.out, made, files)


def _refuse_older(order: Order, before: str) -> None:
    if re.fullmatch(r"\d+\.\d+\.\d+", order.version) is None:
        raise BadConfig(f"--version {order.version}", "not of the form 1.2.3", "Give three numbers")
    if _numbers(order.version) <= _numbers(before):
        raise BadConfig(
            f"--version {order.version}", f"is not above {before}, which is packed again", "Give a higher version"
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _refuse_others(evidence: Mapping[str, Any], weights: str) -> None:
    """Evidence says which weights it was measured with, or nothing of it; what it says must fit."""
    for name, content in evidence.items():
        measured = content.get("weights_sha256", weights) if isinstance(content, Mapping) else weights
        if measured != weights:
            raise BadConfig(
                f"--evidence {name}.json", f"was measured with other weights ({measured[:8]})", "Measure this bundle"
            )


def _again(bound: Bound, evidence: Mapping[str, Any]) -> Bound:
    sign, limit = (">=", bound.at_least) if bound.at_least is not None else ("<=", bound.at_most)
    return read_bound(f"{bound.metric}{sign}{limit}", evidence)


def _more(bounds: Sequence[str], evidence: Mapping[str, Any]) -> Sequence[Bound]:
    return [read_bound(text, evidence) for text in bounds]
