"""Export: all of a scan or nothing; the scan stays where it was."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sono_edge.commands.scans import app
from sono_edge.scan.export import copy_file, export, scans_of
from sono_edge.scan.records import CaptureRecord, ScanRecord
from sono_edge.scan.store import Store
from sono_models.command import main
from sono_models.errors import BadConfig, DiskFull, Stopped
from tests.support.pdf import words_of

ID = "20260301T093000Z-000000"
WHOLE = ["m001.mp4", "m001.png", "scan.json"]


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "scans"
    store = Store(folder, 100)
    store.open()
    for name in WHOLE[:2]:
        store.put(ID, name, name.encode())
    capture = CaptureRecord("m001", "manual", 1.0, "SCANNING", 0.1, 1.0, 0.1, clip=True)
    store.save(ScanRecord(ID, "2026-03-01T09:30:00.000Z", "WL-17", captures=(capture,)))
    return folder


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    made = tmp_path / "drive"
    made.mkdir()
    return made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_scan_is_exported_whole_and_stays(scans: Path, drive: Path) -> None:
    target = export(scans, ID, drive)
    assert names(target) == names(scans / ID) == WHOLE
    assert names(drive) == [ID]
    with pytest.raises(BadConfig, match="exported before"):
        export(scans, ID, drive)


def test_what_is_not_there_is_said(scans: Path, drive: Path) -> None:
    with pytest.raises(BadConfig, match="no such scan"):
        export(scans, "../../etc", drive)
    with pytest.raises(BadConfig, match="no such folder"):
        export(scans, ID, drive / "missing")


def test_a_drive_that_fills_leaves_everything_as_it_was(scans: Path, drive: Path) -> None:
    def fills(source: Path, target: Path) -> None:
        if source.name == WHOLE[1]:
            raise OSError(28, "No space left on device")
        copy_file(source, target)

    with pytest.raises(DiskFull, match="drive is full"):
        export(scans, ID, drive, copy=fills)
    assert names(drive) == []
    assert names(scans / ID) == WHOLE


def test_a_drive_that_is_pulled_leaves_the_scan_where_it_was(scans: Path, drive: Path) -> None:
    def pulled(source: Path, target: Path) -> None:
        if source.name == WHOLE[1]:
            shutil.rmtree(drive)
        copy_file(source, target)

    with pytest.raises(Stopped, match="plugged in"):
        export(scans, ID, drive, copy=pulled)
    assert names(scans / ID) == WHOLE
    drive.mkdir()
    assert export(scans, ID, drive) == drive / ID


def test_the_commands(scans: Path, drive: Path) -> None:
    state = ["--state", str(scans.parent)]
    listed = CliRunner().invoke(app, ["list", *state])
    assert listed.output == f"{ID}  WL-17  1 captures, 0 alerts, not ended\n"
    told = json.loads(CliRunner().invoke(app, ["list", "--json", *state]).output)
    assert told["scans"][0]["id"] == ID
    done = CliRunner().invoke(app, ["export", ID, "--to", str(drive), *state])
    assert done.output.strip() == str(drive / ID)
    assert scans_of(drive)[0].token == "WL-17"
    assert CliRunner().invoke(app, ["list", "--state", str(drive / "none")]).output == "No scans.\n"


def test_without_the_extra_the_folder_goes_and_the_missing_pdf_is_told(
    scans: Path, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "reportlab", None)
    state = ["--state", str(scans.parent)]
    done = CliRunner().invoke(app, ["export", ID, "--to", str(drive), "--json", *state])
    assert json.loads(done.output)["missing"].startswith("without the PDF")
    assert names(drive / ID) == WHOLE


def test_failure_is_told_in_json_too(scans: Path, drive: Path) -> None:
    state = ["--state", str(scans.parent)]
    failed = CliRunner().invoke(app, ["export", ID, "--to", str(drive), "--mounted", "--json", *state])
    assert json.loads(failed.stdout) == {"failed": "no drive is plugged in"}
    assert isinstance(failed.exception, BadConfig)
    assert list(drive.iterdir()) == []


@pytest.mark.parametrize(("options", "says"), [([], "Exam token WL-17"), (["--lang", "de"], "Auftragskennung WL-17")])
def test_the_pdf_speaks_the_language_that_is_asked_for_and_nothing_else_does(
    scans: Path, drive: Path, options: list[str], says: str
) -> None:
    state = ["--state", str(scans.parent)]
    done = CliRunner().invoke(app, ["export", ID, "--to", str(drive), *options, *state])
    assert done.exit_code == 0
    assert says in words_of((drive / ID / "card.pdf").read_bytes())
    assert (drive / ID / "scan.json").read_bytes() == (scans / ID / "scan.json").read_bytes()


def test_a_language_that_the_pdf_does_not_speak_is_refused(scans: Path, drive: Path) -> None:
    state = ["--state", str(scans.parent)]
    command = ["scans", "export", ID, "--to", str(drive), "--lang", "fr", *state]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 1
    failed = CliRunner().invoke(app, [*command[1:], "--json"])
    assert json.loads(failed.stdout) == {"failed": "the PDF does not speak it"}
    assert str(failed.exception) == "--lang fr: the PDF does not speak it. Choose one of en, de"
    assert list(drive.iterdir()) == []


def test_again_replaces_what_was_there_once_the_new_one_is_whole(scans: Path, drive: Path) -> None:
    export(scans, ID, drive)
    (drive / ID / WHOLE[0]).write_bytes(b"older")
    export(scans, ID, drive, again=True)
    assert (drive / ID / WHOLE[0]).read_bytes() == (scans / ID / WHOLE[0]).read_bytes()
    assert names(drive) == [ID]

    def fills(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(DiskFull):
        export(scans, ID, drive, copy=fills, again=True)
    assert names(drive / ID) == WHOLE
