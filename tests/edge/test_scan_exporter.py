"""The page's way to a drive: only onto a drive, in a child that may hang, with a PDF that holds what it says."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from re import DOTALL, findall

import cv2
import httpx
import pytest

from sono_edge.scan import exporter
from sono_edge.scan.exporter import NO_ANSWER, NOT_MOUNTED, NOT_SET, Exporter, is_on_a_drive
from sono_edge.scan.records import AlertRecord, CaptureRecord, Combined, ScanRecord, Score, Span, Summary
from sono_edge.scan.report import write_report
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.view import View
from tests.support.scans import SPEC, screen
from tests.support.waiting import until

ID = "20260301T093000Z-00000a"
LINE = "{} 20 0:{} / {} rw,relatime - {} none rw\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = Store(tmp_path / "state" / "scans", 100)
    store.put(ID, "m001.png", cv2.imencode(".png", screen())[1].tobytes())
    capture = CaptureRecord("m001", "manual", 1.0, "SCANNING", 0.1, 1.0, 0.1)
    store.save(ScanRecord(ID, "2026-03-01T09:30:00.000Z", "WL-17", "2026-03-01T09:40:00.000Z", (capture,)))
    return tmp_path / "state"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    (tmp_path / "a drive").mkdir()
    return tmp_path / "a drive"


@pytest.fixture
def mounts(tmp_path: Path, drive: Path) -> Path:
    """As the kernel tells of them: the system's, and one at the drive's folder."""
    table = tmp_path / "mountinfo"
    escaped = str(drive).replace(" ", "\\040")
    table.write_text(LINE.format(21, 1, "/", "ext4") + LINE.format(22, 2, escaped, "vfat"))
    return table


def test_only_a_mount_of_its_own_is_a_drive(tmp_path: Path, drive: Path, mounts: Path, state: Path) -> None:
    assert is_on_a_drive(drive, state, mounts)
    assert is_on_a_drive(drive / "scans", state, mounts)
    assert not is_on_a_drive(tmp_path, state, mounts)
    assert not is_on_a_drive(drive, drive / "state", mounts), "the device's own disk"
    assert not is_on_a_drive(drive, state, tmp_path / "none")
    mounts.write_text(LINE.format(21, 1, "/", "ext4"))
    assert not is_on_a_drive(drive, state, mounts), "pulled: an ordinary folder"


def test_why_nothing_can_be_exported_is_said(drive: Path, state: Path, mounts: Path) -> None:
    with Exporter(state, "") as nowhere, Exporter(state, str(drive.parent), mounts=mounts) as plain:
        assert (nowhere.drive.ready, nowhere.drive.why_not) == (False, NOT_SET)
        assert (plain.drive.ready, plain.drive.why_not) == (False, NOT_MOUNTED)
        assert not nowhere.export(ID)
        assert not plain.export(ID)


def test_the_child_refuses_what_is_no_drive(drive: Path, state: Path, mounts: Path) -> None:
    """It was pulled between the page's look and the child's: the kernel's own table knows of none."""
    with Exporter(state, str(drive), mounts=mounts) as ours:
        assert ours.export(ID)
        assert not ours.export(ID), "one at a time"
        until(lambda: ours.drive.outcome == "failed", seconds=60)
        assert (ours.drive.scan, ours.drive.reason) == (ID, "no drive is plugged in")
    assert list(drive.iterdir()) == []


def test_a_drive_that_hangs_is_given_up(
    drive: Path, state: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "ANSWER_S", 0.2)
    with Exporter(state, str(drive), mounts=mounts) as ours:
        assert ours.export(ID)
        until(lambda: ours.drive.outcome == "failed", seconds=60)
        assert ours.drive.reason == NO_ANSWER


@pytest.fixture
def page(state: Path, drive: Path, mounts: Path) -> Iterator[httpx.Client]:
    means = Means(Store(state / "scans", 100), SPEC, System("breast 0.0.0"), 0.0)
    with (
        ScanWriter(means) as scans,
        Exporter(state, str(drive), mounts=mounts) as to_drive,
        View(port=0, scans=scans, drive=to_drive, card="# Card\n<b>not bold</b>") as view,
        httpx.Client(base_url=view.url, headers={"X-Sono-View": "1"}) as client,
    ):
        until(lambda: scans.shown.records)
        yield client


def test_what_the_page_may_ask(page: httpx.Client) -> None:
    assert page.get("/scan/export").json()["ready"] is True
    assert page.get("/scan/list").json()["retention"]["quota_mb"] == 100
    assert page.get(f"/scan/records/{ID}").json()["token"] == "WL-17"
    assert page.get(f"/scan/records/{ID}/m001.png").content.startswith(b"\x89PNG")
    for wrong in (f"/scan/records/{ID}/scan.json.png", f"/scan/records/{ID}/..%2fm001.png", "/scan/records/x/m001.png"):
        assert page.get(wrong).status_code == 404
    assert page.post("/scan/export", json={"scan": "../../etc"}).status_code == 404
    assert page.post("/scan/export", json={"folder": "/etc"}).status_code == 400
    assert page.post("/scan/export", content=b"x" * 2000).status_code == 400
    assert page.post("/scan/export", json={"scan": ID}, headers={"X-Sono-View": "1"}).status_code == 202
    assert page.post("/scan/export", json={"scan": ID}).status_code == 409
    until(lambda: page.get("/scan/export").json()["outcome"] == "failed", seconds=60)


def test_the_models_card_is_text_whatever_is_in_it(page: httpx.Client) -> None:
    answer = page.get("/card")
    assert "<h1>Card</h1>" in answer.text
    assert "&lt;b&gt;not bold" in answer.text
    assert "<b>" not in answer.text
    assert "Research prototype, not a medical device" in answer.text


def words_of(pdf: bytes) -> str:
    """The shown strings of a PDF whose streams are base-85 and deflated, as ours are."""
    from base64 import a85decode  # noqa: PLC0415

    streams = findall(rb"ASCII85Decode.*?stream\r?\n(.*?)endstream", pdf, DOTALL)
    shown = []
    for stream in streams:
        try:
            shown.append(zlib.decompress(a85decode(stream.strip().removesuffix(b"~>"))).decode("latin-1"))
        except (zlib.error, ValueError):
            continue
    return " ".join(part for text in shown for part in findall(r"\((.*?)\) Tj", text))


def test_the_pdf_says_what_the_card_says(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "m001.png"), screen())
    capture = CaptureRecord("m001", "manual", 61.0, "SCANNING", 0.1, 1.0, 0.1)
    summary = Summary(
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
        combined=Combined(4, 0.485, 0.634, 0.5595, "average; research"),
        frames_judged=1800,
        frames_dropped=2,
        bundle="breast 0.3.0",
        impression=4,
    )
    alerts = (AlertRecord("r-1", 12.0, 0.7, seen=True, reason="artefact"), AlertRecord("r-2", 30.0, 0.6))
    record = ScanRecord(ID, "2026-03-01T09:30:00.000Z", "WL-17", "x", (capture,), alerts, summary)
    write_report(record, tmp_path)
    first = (tmp_path / "card.pdf").read_bytes()
    words = words_of(first)
    for expected in (
        "Research prototype",
        "WL-17",
        "Frozen, AI paused",
        "< 1 s",
        "unlike the pictures it learned from",
        "63 %, between 40 % and 80 %",
        "BI-RADS 4",
        "56 %",
        "seen: artefact",
        "not seen",
        "m001, 1:01",
        "breast 0.3.0",
    ):
        assert expected in words, words
    assert "malign" not in words.lower()
    write_report(record, tmp_path)
    assert (tmp_path / "card.pdf").read_bytes() == first, "the same scan, the same bytes"


def test_a_pdf_of_a_scan_that_did_not_end_and_of_a_picture_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "m001.png").write_bytes(b"no picture")
    capture = CaptureRecord("m001", "manual", 1.0, "SCANNING", 0.1, 1.0, 0.1)
    write_report(ScanRecord(ID, "2026-03-01T09:30:00.000Z", captures=(capture,)), tmp_path)
    words = words_of((tmp_path / "card.pdf").read_bytes())
    assert "did not end in the ordinary way" in words
    assert "cannot be read" in words
