"""The card as a PDF: it says what the page's card says, in the page's languages and words."""

from __future__ import annotations

import re
from inspect import getsource
from pathlib import Path
from string import Formatter
from typing import get_args, get_type_hints

import cv2
import pytest

from sono_edge.scan import report
from sono_edge.scan.records import AlertRecord, CaptureRecord, Combined, ScanRecord, Score, Span, Summary
from sono_edge.scan.report import write_report
from sono_edge.scan.summary import JUDGED, MAPPING
from sono_edge.scan.words import LANGUAGES, SAID, SENTENCES, Both, Language, Words, language_named
from sono_edge.scene import State, plain
from sono_models import DISCLAIMER
from sono_models.messages import SeenReason
from sono_models.uncertainty import REASONS
from tests.support.pdf import words_of
from tests.support.scans import screen
from tests.support.strings import FORBIDDEN, strings, texts

ID = "20260301T093000Z-00000a"
CAPTURE = CaptureRecord("m001", "manual", 61.0, "SCANNING", 0.1, 1.0, 0.1)
SUMMARY = Summary(
    scanned_s=75.0,
    usable_s=60.0,
    usable_share=0.8,
    paused=(Span("FROZEN", "Frozen, AI paused", 0.4),),
    cant_say=(Span("CANT_SAY", "unlike the pictures it learned from", 9.0),),
    ranked=("m001", "m009"),
    ranked_by="score times quality",
    alerts_seen=1,
    alerts_unseen=0,
    score=Score("greatest-frame", 0.634, 0.4, 0.8, "the greatest score of a frame"),
    combined=Combined(4, 0.485, 0.634, 0.5595, MAPPING),
    frames_judged=1800,
    frames_dropped=2,
    bundle="breast 0.3.0",
    impression=4,
)
ALERTS = (AlertRecord("r-1", 12.0, 0.7, seen=True, reason="known-finding"), AlertRecord("r-2", 30.0, 0.6))
WHOLE = ScanRecord(ID, "2026-03-01T09:30:00.000Z", "WL-17", "x", (CAPTURE,), ALERTS, SUMMARY)
SAYS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Research prototype, not a medical device.",
        "Exam token WL-17. Scan",
        "Frozen, AI paused",
        "< 1 s",
        "unlike the pictures it learned from",
        "63 %, between 40 % and 80 %. The greatest score of a frame",
        "Not a probability of disease",
        "BI-RADS 4",
        "56 % (reader 48.5 %, system 63 %)",
        "seen: known finding",
        "not seen",
        "m001, 1:01",
        "breast 0.3.0",
    ),
    "de": (
        "Forschungsprototyp, kein Medizinprodukt.",
        "Auftragskennung WL-17. Scan",
        "Standbild, KI pausiert",
        "< 1 s",
        "anders als die gelernten Bilder",
        "63 %, zwischen 40 % und 80 %. Der größte Wert eines Bildes",
        "Keine Krankheitswahrscheinlichkeit",
        "BI-RADS 4",
        "56 % (Mensch 48,5 %, System 63 %)",
        "gesehen: schon bekannt",
        "nicht gesehen",
        "m001, 1:01",
        "breast 0.3.0",
    ),
}
SEEN = set(get_args(SeenReason)) - {""}
PAGES = {
    "title": "cardTitle",
    "time": "time",
    "scanned": "scanned",
    "usable": "usable",
    "unsure": "unsure",
    "score": "score",
    "no_score": "noScore",
    "within": "within",
    "alerts": "points",
    "seen": "seenBefore",
    "unseen": "unseen",
    "no_frames": "noFrames",
}
"""Sentences that the page has too, by its own names."""


def written(record: ScanRecord, folder: Path, language: Language) -> bytes:
    write_report(record, folder, language)
    return (folder / "card.pdf").read_bytes()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_pdf_says_what_the_card_says(tmp_path: Path, language: Language) -> None:
    cv2.imwrite(str(tmp_path / "m001.png"), screen())
    first = written(WHOLE, tmp_path, language)
    words = words_of(first)
    for expected in SAYS[language]:
        assert expected in words, words
    assert f"/Lang ({language})".encode() in first
    assert written(WHOLE, tmp_path, language) == first, "the same scan, the same bytes"


@pytest.mark.parametrize(
    ("language", "not_ended", "unreadable"),
    [
        ("en", "did not end in the ordinary way", "the picture cannot be read"),
        ("de", "nicht ordentlich beendet", "das Bild ist nicht lesbar"),
    ],
)
def test_a_pdf_of_a_scan_that_did_not_end_and_of_a_picture_that_is_none(
    tmp_path: Path, language: Language, not_ended: str, unreadable: str
) -> None:
    (tmp_path / "m001.png").write_bytes(b"no picture")
    words = words_of(written(ScanRecord(ID, "2026-03-01T09:30:00.000Z", captures=(CAPTURE,)), tmp_path, language))
    assert not_ended in words
    assert unreadable in words


def test_a_reason_that_is_not_known_here_stands_as_the_device_says_it() -> None:
    words = Words("de")
    assert words.of("a reason of a later device") == "a reason of a later device"
    assert words.of("LATER", "A later state <b>") == "A later state <b>"
    assert language_named("fr") is None


def test_both_languages_fill_in_the_same() -> None:
    assert LANGUAGES == Both._fields == tuple(strings())
    for key, both in {**SENTENCES, **SAID}.items():
        assert all(text.strip() == text != "" for text in both), key
        assert filled(both.en) == filled(both.de), key
        for text in both:
            text.encode("latin-1")  # the letters of the PDF's font
            assert not re.search(FORBIDDEN, text.replace("BI-RADS {impression}", ""), re.IGNORECASE), text
    assert [name for name in SENTENCES if f'"{name}"' not in getsource(report)] == [], "nobody says it"


def filled(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def test_all_that_the_device_says_of_a_scan_is_known() -> None:
    pauses = {state.name for state in State if state not in JUDGED | {State.CANT_SAY}}
    doubts = {plain(reason.partition(": ")[2]) for reason in REASONS} | {State.CANT_SAY.value}
    kinds = set(get_args(get_type_hints(Score)["kind"]))
    assert set(SAID) == pauses | doubts | kinds | {MAPPING} | SEEN


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_page_says_too_is_said_in_its_words(language: Language) -> None:
    page, words = texts(strings()[language]), Words(language)
    own = {name: getattr(both, language) for name, both in SENTENCES.items()}
    assert own["disclaimer"] == page["note"] + "."
    assert {name: own[name] for name in PAGES} == {name: page[named] for name, named in PAGES.items()}
    assert own["combined"].startswith(page["combined"])
    assert page["scoreNote"].split(". ")[0] in own["scored"]
    assert words.of(MAPPING) == page["combinedNote"]
    assert words.of("sweep").startswith(page["sweep"] + " (")
    for said in set(SAID) - {MAPPING, "sweep", *SEEN}:
        assert words.of(said) == page[said]
    for reason in SEEN:
        assert words.of(reason).casefold() == page[reason].casefold(), "in the middle of a sentence"


def test_the_english_disclaimer_is_the_projects() -> None:
    assert SENTENCES["disclaimer"].en == DISCLAIMER
