"""The page's way to a drive: only onto a drive, in a child that may hang."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import pytest

from sono_edge.scan import exporter
from sono_edge.scan.exporter import NO_ANSWER, NOT_MOUNTED, NOT_SET, Exporter, is_on_a_drive
from sono_edge.scan.records import CaptureRecord, ScanRecord
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
        assert not nowhere.export(ID, "en")
        assert not plain.export(ID, "en")


def test_the_child_refuses_what_is_no_drive(drive: Path, state: Path, mounts: Path) -> None:
    """It was pulled between the page's look and the child's: the kernel's own table knows of none."""
    with Exporter(state, str(drive), mounts=mounts) as ours:
        assert ours.export(ID, "en")
        assert not ours.export(ID, "en"), "one at a time"
        until(lambda: ours.drive.outcome == "failed", seconds=60)
        assert (ours.drive.scan, ours.drive.reason) == (ID, "no drive is plugged in")
    assert list(drive.iterdir()) == []


def test_a_drive_that_hangs_is_given_up(
    drive: Path, state: Path, mounts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "ANSWER_S", 0.2)
    with Exporter(state, str(drive), mounts=mounts) as ours:
        assert ours.export(ID, "en")
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
    assert page.post("/scan/export", json={"scan": ID, "lang": 1}).status_code == 400
    assert page.post("/scan/export", json={"scan": ID}, headers={"X-Sono-View": "1"}).status_code == 202
    assert page.post("/scan/export", json={"scan": ID}).status_code == 409
    until(lambda: page.get("/scan/export").json()["outcome"] == "failed", seconds=60)


@pytest.mark.parametrize(("asked", "told"), [({}, "en"), ({"lang": "de"}, "de"), ({"lang": "fr --to /"}, "en")])
def test_the_pdf_speaks_the_pages_language(
    page: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], told: str
) -> None:
    """A program that only says what it was called with stands in for the child."""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\nprintf \'{"exported": "", "missing": "%s"}\' "$*"\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    assert page.post("/scan/export", json={"scan": ID, **asked}).status_code == 202
    until(lambda: page.get("/scan/export").json()["outcome"] == "done", seconds=60)
    assert f" scans export {ID} " in (said := page.get("/scan/export").json()["reason"])
    assert f" --lang {told} --" in said


def test_the_models_card_is_text_whatever_is_in_it(page: httpx.Client) -> None:
    answer = page.get("/card")
    assert "<h1>Card</h1>" in answer.text
    assert "&lt;b&gt;not bold" in answer.text
    assert "<b>" not in answer.text
    assert "Research prototype, not a medical device" in answer.text
