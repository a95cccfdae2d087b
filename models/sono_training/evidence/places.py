"""Where the evidence lies, and the one pass that makes all of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sono_models.atomic import writing
from sono_models.bundle import Bundle
from sono_models.errors import BadManifest
from sono_models.resampling import RESAMPLES
from sono_training.evidence import alerts, cards, gallery, openings, style, subgroups, words
from sono_training.evidence.headline import external, folds
from sono_training.evidence.made import Evidence, make, released, to_json
from sono_training.evidence.subgroups import Metadata, Subgroup
from sono_training.evidence.tables import HELD_OUT, ScoreTable, pooled, read_metadata, read_scores, thresholds

PLOTS, HEADLINE, README, DATA_CARD, GALLERY = "plots", "headline.json", "README.md", "data-card.md", "gallery.md"
OPENINGS, MADE_FROM = "openings.md", "made-from.json"


@dataclass(frozen=True, slots=True)
class Places:
    """`scores`, `results`, `data`: what is read; `out` and `card`: what is written."""

    scores: Path
    results: Path
    data: Path
    out: Path
    card: Path


@dataclass(frozen=True, slots=True)
class Read:
    """What the folders hold. `metadata` is empty where the data are not there."""

    tables: Mapping[str, ScoreTable]
    metadata: Metadata


def read_places(places: Places) -> Read:
    """Raises BadManifest when there is no score table."""
    tables = read_scores(places.scores)
    if not tables:
        raise BadManifest(
            str(places.scores), "holds no score table", "Make some with `sono model compare --scores`, or name --scores"
        )
    return Read(tables, read_metadata(places.data))


def evidence_of(read: Read, places: Places, bundle: Bundle, *, resamples: int = RESAMPLES) -> Evidence:
    """All figures; the subgroups only where the data are there."""
    found = make(read.tables, places.results, bundle.manifest.provenance.weights_sha256, resamples=resamples)
    return msgspec.structs.replace(found, subgroups=_subgroups(read)) if read.metadata else found


def documents(evidence: Evidence, read: Read, places: Places, bundle: Bundle) -> dict[Path, str]:
    """Every text that the figures stand in, by its file."""
    opened = openings.as_table(openings.read_openings(places.out / OPENINGS))
    found = {
        places.out / README: cards.readme(evidence, opened),
        places.card: cards.model_card(evidence, bundle, opened),
        places.out / PLOTS / MADE_FROM: made_from(evidence),
        places.out / GALLERY: _gallery_text(read, bundle),
    }
    if read.metadata:
        found[places.out / DATA_CARD] = cards.data_card(read.metadata)
    return found


def write_all(places: Places, bundle: Bundle, *, resamples: int = RESAMPLES) -> tuple[Evidence, list[str]]:
    """Make all of it anew; returns the evidence, and in words what could not be made."""
    style.require()
    read = read_places(places)
    evidence = write_texts(read, places, bundle, resamples=resamples)
    return evidence, _draw(evidence, read, bundle, places.out / PLOTS)


def write_texts(read: Read, places: Places, bundle: Bundle, *, resamples: int = RESAMPLES) -> Evidence:
    """Everything but the plots."""
    (places.out / PLOTS).mkdir(parents=True, exist_ok=True)
    book = places.out / OPENINGS
    openings.append(book, openings.missing(openings.read_openings(book), read.tables))
    evidence = evidence_of(read, places, bundle, resamples=resamples)
    texts = {places.out / HEADLINE: to_json(evidence), **documents(evidence, read, places, bundle)}
    for path, text in texts.items():
        with writing(path) as file:
            file.write(text)
    return evidence


def made_from(evidence: Evidence) -> str:
    """What the plots were drawn from: the digests of the tables, so that a plot of other tables is noticed."""
    return json.dumps({name: source.sha256 for name, source in evidence.tables.items()}, indent=1) + "\n"


def _draw(evidence: Evidence, read: Read, bundle: Bundle, plots: Path) -> list[str]:
    from sono_training.evidence.plots import draw_all  # noqa: PLC0415  (a check draws nothing)

    draw_all(_panels(read.tables), evidence.subgroups, plots)
    if evidence.alerts is not None:
        alerts.draw(evidence.alerts, plots / alerts.PLOT)
    if not read.metadata:
        return ["the data are not there: no subgroups, no data card, no gallery"]
    absent: list[str] = []
    for name, failed in _failures(read, bundle).items():
        lacking = gallery.draw(failed, bundle, read.metadata, plots / f"failures-{name}.svg") if failed else []
        absent += [f"{image}: not in the data, left out of the gallery" for image in lacking]
    return absent


def _panels(tables: Mapping[str, ScoreTable]) -> list:  # type: ignore[type-arg]
    from sono_training.evidence.plots import Panel  # noqa: PLC0415

    found = []
    five = folds(tables)
    if five is not None:
        pool = pooled("busbra-5fold", five)
        found.append(Panel("BUS-BRA, patient 5-fold", pool, thresholds(pool, five), tuple(five)))
    names = {"b": "BUS-BRA only → BUSI", "c": "BUSI only → BUS-BRA"}
    found += [Panel(names[row], table, table.threshold) for row, table in external(tables).items()]
    if HELD_OUT in tables:
        found.append(Panel("BUSI held out, with normals", tables[HELD_OUT], tables[HELD_OUT].threshold))
    return found


def _subgroups(read: Read) -> dict[str, list[Subgroup]]:
    found: dict[str, list[Subgroup]] = {}
    five, other = folds(read.tables), external(read.tables)
    if five is not None:
        pool = pooled("busbra-5fold", five)
        limits = thresholds(pool, five)
        if limits is not None:
            kinds = subgroups.busbra_kinds(pool, read.metadata, subgroups.lesion_sizes(pool.image, read.metadata))
            found["busbra"] = subgroups.subgroups(pool, limits, kinds)
    if "b" in other and other["b"].threshold is not None:
        busi = other["b"]
        kinds = subgroups.busi_kinds(busi, read.metadata, subgroups.lesion_sizes(busi.image, read.metadata))
        found["busi"] = subgroups.subgroups(busi, other["b"].threshold, kinds)
    return found


def _failures(read: Read, bundle: Bundle) -> dict[str, list[gallery.Failure]]:
    threshold = bundle.manifest.operating_points[0].threshold
    return {name: gallery.failures(table, threshold) for name, table in _own_tests(read.tables, bundle).items()}


def _own_tests(tables: Mapping[str, ScoreTable], bundle: Bundle) -> dict[str, ScoreTable]:
    return {name: tables[name] for name in released(tables, bundle.manifest.provenance.weights_sha256)}


def _gallery_text(read: Read, bundle: Bundle) -> str:
    threshold = bundle.manifest.operating_points[0].threshold
    own = _own_tests(read.tables, bundle)
    failed = _failures(read, bundle)
    pictures = [f"![The malignant maps of the failures of {name}](plots/failures-{name}.svg)" for name in failed]
    return cards.filled(
        "gallery.md",
        {
            "version": f"{bundle.manifest.name} {bundle.manifest.version}",
            "threshold": f"{threshold:.4f}",
            "counts": "\n".join(f"- {gallery.counts(table, threshold)}" for table in own.values()) or "- no table yet",
            "pictures": "\n\n".join(pictures),
            "failures": words.gallery([each for rows in failed.values() for each in rows]),
        },
    )
