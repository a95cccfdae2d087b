"""A scan on the page, from its token to the drive: a real agent, a real browser, real disks that fill and go."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray
from selenium.webdriver.support import wait as waits

from sono_edge.outbox import Outbox
from sono_edge.scan.export import scans_of
from sono_edge.scan.records import ScanRecord
from sono_models import DISCLAIMER
from tests.support.accessibility import grave_findings
from tests.support.agents import Device, device
from tests.support.browser import BROWSER, DRIVER, SCREEN
from tests.support.mounts import CAN_MOUNT, drive, pull
from tests.support.page import CONTRASTS, OVERFLOWS, emulate, key, pixels, screenshot, severe, tap, text_of, touch
from tests.support.pdf import words_of
from tests.support.waiting import until

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
    pytest.mark.skipif(not CAN_MOUNT, reason="needs to mount a drive: run it as root"),
]
PATIENCE_S = 90.0
"""The agent runs in a process of its own on a machine that others use; nothing is measured by it."""
MANY = 20_000
"""Files that keep an export busy until its drive is pulled."""
SMALL = """
const least = arguments[0];
return [...document.querySelectorAll("button, input, a")].filter((e) => e.checkVisibility())
  .map((e) => [e.id || e.dataset.key || e.textContent, e.getBoundingClientRect()])
  .filter(([, box]) => Math.min(box.width, box.height) < least).map(([name, box]) => [name, box.width, box.height]);
"""
WIDE = """
const all = [...document.querySelectorAll(".side .body, .side .body *")].filter((e) => e.checkVisibility());
return all.filter((e) => e.clientWidth && e.scrollWidth > e.clientWidth + 1)
  .map((e) => e.id || e.className || e.tagName);
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    folder = tmp_path_factory.mktemp("home")
    with drive(folder / "drive", 200_000) as mounted, device(folder, str(mounted), keep_days=30) as running:
        yield running


@pytest.fixture(scope="module")
def finished(browser: Any, home: Device) -> ScanRecord:
    """A scan with an alert and a capture, ended on the page."""
    if not kept(home):
        open_page(browser, home)
        start(browser, "WL-16")
        wait(browser, "return document.getElementById('points').children[0].dataset.mark === 'unseen'")
        wait(browser, "return document.querySelectorAll('#captures-list img').length > 0")
        end(browser)
    return kept(home)[0]


@pytest.fixture(autouse=True)
def _quiet(browser: Any) -> Iterator[None]:
    browser.get_log("browser")
    yield
    browser.get("about:blank")


def wait(browser: Any, script: str, *values: object) -> None:
    waits.WebDriverWait(browser, PATIENCE_S, 0.05).until(lambda b: b.execute_script(script, *values))


def open_page(browser: Any, running: Device, language: str = "en", size: tuple[int, int] = (1280, 800)) -> None:
    screen = {**SCREEN, "width": size[0], "height": size[1]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(f"{running.url}{'&' if '?' in running.url else '?'}lang={language}")
    wait(browser, "return !document.getElementById('scan').hidden")


def start(browser: Any, token: str) -> None:
    """As a reader of codes does it: it types, and ends with Enter."""
    if text_of(browser, "scan-words") == "Start scan":
        tap(browser, "s")
    else:
        tap(browser, "m")
    wait(browser, "return !document.getElementById('side').hidden")
    browser.find_element("id", "token").send_keys(f"{token}\n")
    wait(browser, "return document.getElementById('side').hidden")
    wait(browser, "return document.getElementById('scan-words').textContent === 'End scan'")


def end(browser: Any) -> None:
    key(browser, "keyDown", "End")
    wait(browser, "return document.body.dataset.view === 'card'")
    key(browser, "keyUp", "End")


def kept(running: Device) -> tuple[ScanRecord, ...]:
    """The scans that ended with a card."""
    return tuple(one for one in scans_of(running.state / "scans") if one.summary and one.token)


def events(running: Device) -> list[dict[str, Any]]:
    with Outbox(running.state / "outbox.sqlite", "demo", "board-1") as outbox:
        return [json.loads(item.body)["data"] for item in outbox.after(0, 10_000)]


def test_a_token_is_no_name(browser: Any, home: Device) -> None:
    open_page(browser, home)
    assert closed(browser), "nothing opens by itself"
    tap(browser, "m")
    wait(browser, "return document.getElementById('token') !== null")
    field = browser.find_element("id", "token")
    assert "Never a name" in text_of(browser, "token-hint")
    for wrong in ("Rossi Maria", "Müller", "x" * 65):
        field.clear()
        field.send_keys(f"{wrong}\n")
        wait(browser, "return document.getElementById('token-wrong').textContent.startsWith('Not a token')")
        assert field.get_attribute("aria-invalid") == "true"
    field.clear()
    field.send_keys("ahst")
    assert text_of(browser, "ai-words") == "AI off", "what is typed is no press"
    tap(browser, "Escape")
    assert closed(browser)


def closed(browser: Any) -> bool:
    hidden: bool = browser.execute_script("return document.getElementById('side').hidden")
    return hidden


def test_a_scan_from_its_token_to_its_card(browser: Any, home: Device) -> None:
    open_page(browser, home)
    start(browser, "WL-17_a")
    wait(browser, "return document.getElementById('points').children[0].dataset.mark === 'unseen'")
    tap(browser, " ")
    wait(browser, "return document.getElementById('seen-note').textContent.startsWith('why? 1 looked again')")
    tap(browser, "2")
    until(lambda: any(one["reason"] == "known-finding" for one in events(home)), seconds=PATIENCE_S)
    key(browser, "keyDown", " ")
    wait(browser, "return document.getElementById('seen-note').textContent === 'captured'")
    key(browser, "keyUp", " ")
    wait(browser, "return [...document.querySelectorAll('#captures-list img')].some((e) => e.src.includes('/m0'))")
    assert closed(browser), "nothing popped up during the scan"
    assert browser.execute_script(OVERFLOWS) == []
    touch(browser, "touchStart", "scan")
    touch(browser, "touchEnd", "scan")
    wait(browser, "return document.getElementById('seen-note').textContent === 'hold to end the scan'")
    assert text_of(browser, "scan-words") == "End scan"
    end(browser)
    assert severe(browser) == []
    check_card(browser, next(one for one in kept(home) if one.token == "WL-17_a"))


def check_card(browser: Any, record: ScanRecord) -> None:
    assert record.summary is not None
    card = browser.find_element("id", "side-body").text
    for words in ("Research prototype, not a medical device", "WL-17_a", "Scanned", "Usable: the AI judged"):
        assert words in card
    assert "What the AI could not judge" in card
    assert "Judged by breast" in card
    shown = [frame.get_attribute("data-key") for frame in browser.find_elements("css selector", ".frame")]
    assert tuple(shown) == record.summary.ranked
    assert any(name.startswith("m") for name in shown)


def test_a_held_frame_shows_where_the_ai_looked(browser: Any, home: Device, finished: ScanRecord) -> None:
    open_card(browser, home, finished)
    frame = browser.find_elements("css selector", ".frame")[0]
    browser.execute_script("arguments[0].focus()", frame)
    key(browser, "keyDown", "Enter")
    wait(browser, "return !document.getElementById('look').hidden")
    capture = next(one for one in finished.captures if one.id == frame.get_attribute("data-key"))
    stored = cv2.imread(str(home.state / "scans" / finished.id / f"{capture.id}.png"), cv2.IMREAD_GRAYSCALE)
    assert stored is not None
    large = pixels(browser, "look-picture")
    assert large.shape[:2] == stored.shape
    assert abs(int(large[..., 0].astype(int).sum()) - int(stored.astype(int).sum())) <= stored.size, (
        "the stored picture"
    )
    lines = pixels(browser, "look-lines")
    assert 0.0005 < (lines[..., 3] > 0).mean() < 0.08, "lines, no fill"
    assert (lines[..., :3].max(axis=2) == lines[..., :3].min(axis=2)).all(), "no colour"
    assert browser.find_element("id", "stage").is_displayed(), "the live picture stays"
    key(browser, "keyUp", "Enter")
    wait(browser, "return document.getElementById('look').hidden")
    touch(browser, "touchStart", "side-title")
    touch(browser, "touchEnd", "side-title")


def test_a_reason_and_the_readers_category_on_the_card(browser: Any, home: Device, finished: ScanRecord) -> None:
    open_card(browser, home, finished)
    assert finished.alerts
    alert = finished.alerts[0].alert
    press(browser, f"{alert}-artefact")
    until(lambda: ("acknowledged", alert, "artefact") in told(home), seconds=PATIENCE_S)
    wait(browser, f"return document.querySelector('[data-key=\"{alert}-artefact\"]').ariaPressed === 'true'")
    press(browser, "impression-4")
    wait(browser, "return document.querySelector('.together') !== null")
    record = next(one for one in kept(home) if one.id == finished.id)
    assert record.summary is not None
    assert record.summary.combined is not None
    assert record.summary.score is not None
    system = record.summary.score.value
    assert record.summary.combined.value == pytest.approx((0.485 + system) / 2, abs=1e-4)
    words = browser.find_element("css selector", ".together").text
    assert words.replace("\N{NO-BREAK SPACE}", " ").endswith(f"(reader 48.5 %, system {system * 100:.0f} %)")
    assert "research only" in browser.find_element("id", "side-body").text
    assert (record.alerts[0].seen, record.alerts[0].reason) == (True, "artefact")
    seen = sum(one.seen for one in record.alerts)
    assert (record.summary.alerts_seen, record.summary.alerts_unseen) == (seen, len(record.alerts) - seen)
    assert f"{seen} seen, {len(record.alerts) - seen} not seen." in browser.find_element("id", "side-body").text


def told(home: Device) -> list[tuple[str, str, str]]:
    return [(one["kind"], one["alert"], one["reason"]) for one in events(home)]


def press(browser: Any, name: str) -> None:
    browser.execute_script(f"document.querySelector('[data-key=\"{name}\"]').scrollIntoView({{ block: 'center' }})")
    browser.find_element("css selector", f'[data-key="{name}"]').click()


def open_card(browser: Any, home: Device, record: ScanRecord, language: str = "en") -> None:
    """From the list, as a person comes to it."""
    open_page(browser, home, language)
    tap(browser, "m")
    wait(browser, "return document.querySelector(`[data-key='open-${arguments[0]}']`) !== null", record.id)
    press(browser, f"open-{record.id}")
    wait(browser, "return document.body.dataset.view === 'card'")


def test_to_the_drive_whole_and_told(browser: Any, home: Device, finished: ScanRecord) -> None:
    open_page(browser, home)
    tap(browser, "m")
    wait(browser, "return document.querySelector(`[data-key='save-${arguments[0]}']`) !== null", finished.id)
    words = browser.find_element("css selector", ".kept").text
    assert "of 2000 MB used" in words
    assert "Deleted after 30 days" in words
    assert "A drive is plugged in" in words
    press(browser, f"save-{finished.id}")
    wait_outcome(browser, "Saved to the drive")
    folder = Path(home.drive) / finished.id
    own = {path.name for path in (home.state / "scans" / finished.id).iterdir()}
    assert {path.name for path in folder.iterdir()} == own | {"card.pdf"}
    assert [path.name for path in Path(home.drive).iterdir()] == [finished.id], "nothing half-written is left"
    pdf = (folder / "card.pdf").read_bytes()
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert msgspec.json.decode((folder / "scan.json").read_bytes(), type=ScanRecord).id == finished.id
    for entry in (folder / "scan.json", folder / "card.pdf"):
        entry.unlink()
    press(browser, f"save-{finished.id}")
    until((folder / "card.pdf").is_file, seconds=PATIENCE_S)
    assert {path.name for path in folder.iterdir()} == own | {"card.pdf"}, "and again, after what was entered since"
    assert DISCLAIMER in words_of((folder / "card.pdf").read_bytes())


def test_the_pdf_speaks_the_pages_language(browser: Any, home: Device, finished: ScanRecord) -> None:
    open_card(browser, home, finished, "de")
    card = Path(home.drive) / finished.id / "card.pdf"
    card.unlink(missing_ok=True)
    wait(browser, "return document.querySelector('.save')?.disabled === false")
    press(browser, f"save-{finished.id}")
    until(card.is_file, seconds=PATIENCE_S)
    wait_outcome(browser, "Auf dem Laufwerk gesichert")
    words = words_of(card.read_bytes())
    for said in ("Forschungsprototyp, kein Medizinprodukt.", "Nutzbar: von der KI beurteilt", "Wert des Scans"):
        assert said in words
    own = home.state / "scans" / finished.id / "scan.json"
    assert (card.parent / own.name).read_bytes() == own.read_bytes(), "the JSON speaks English"


def wait_outcome(browser: Any, words: str) -> None:
    wait(
        browser, "return [...document.querySelectorAll('.outcome')].some((e) => e.textContent === arguments[0])", words
    )


@pytest.mark.parametrize(
    ("language", "theme", "size"),
    [
        ("en", "dark", (1280, 800)),
        ("de", "light", (1280, 800)),
        ("de", "dark", (1920, 1080)),
        ("en", "light", (390, 844)),
    ],
)
def test_everything_can_be_read_and_hit(
    browser: Any, home: Device, finished: ScanRecord, language: str, theme: str, size: tuple[int, int]
) -> None:
    emulate(browser, prefers_color_scheme=theme)
    open_page(browser, home, language, size)
    least = 92 if size[0] < 1000 else 15 / 25.4 * math.hypot(*size) / 10
    for view in views(browser, finished):
        assert [text for text in browser.execute_script(CONTRASTS) if text[2] < 7] == [], view
        assert browser.execute_script(SMALL, math.floor(least)) == [], view
        assert browser.execute_script(WIDE) == [], view
        check_colours(screenshot(browser))
        if size[0] > size[1]:
            assert browser.execute_script(OVERFLOWS) == [], view
        assert browser.find_element("id", "stage").is_displayed(), "the live picture never leaves the page"
    emulate(browser, prefers_color_scheme="dark")


def check_colours(shot: NDArray[np.uint8]) -> None:
    red, green, blue = np.moveaxis(shot.astype(int), 2, 0)
    assert (blue <= red + 2).all(), "no blue"
    assert (2 * green >= red).all(), "no red: nothing is told by red and green"


def views(browser: Any, record: ScanRecord) -> Iterator[str]:
    """Live, the list, and the card, one after the other."""
    wait(browser, "return document.body.dataset.stale === undefined")
    yield "live"
    tap(browser, "m")
    wait(browser, "return document.querySelector(`[data-key='open-${arguments[0]}']`) !== null", record.id)
    yield "list"
    press(browser, f"open-{record.id}")
    wait(browser, "return document.body.dataset.view === 'card'")
    yield "card"


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing_serious(browser: Any, home: Device, finished: ScanRecord, theme: str) -> None:
    emulate(browser, prefers_color_scheme=theme)
    open_page(browser, home)
    for view in views(browser, finished):
        assert grave_findings(browser) == [], view
    browser.find_element("css selector", ".score a").click()
    wait(browser, "return document.title === 'Model card'")
    assert grave_findings(browser) == []
    assert "Research prototype, not a medical device" in browser.find_element("tag name", "body").text
    browser.find_element("id", "back").click()
    wait(browser, "return document.body.dataset.view === 'card'")
    emulate(browser, prefers_color_scheme="dark")


def test_a_drive_that_is_not_there_or_full_or_pulled_is_told(
    browser: Any, tmp_path: Path, home: Device, finished: ScanRecord
) -> None:
    """A device of its own, with a scan of the other one."""
    own = tmp_path / "state" / "scans" / finished.id
    shutil.copytree(home.state / "scans" / finished.id, own)
    mount = tmp_path / "drive"
    mount.mkdir()
    with device(tmp_path, str(mount)) as running:
        open_page(browser, running)
        tap(browser, "m")
        wait(browser, "return document.querySelector('.kept')?.textContent.includes('No drive is plugged in')")
        wait(browser, "return document.querySelector('.save') !== null")
        assert not browser.find_element("css selector", ".save").is_enabled()
        with drive(mount, 64):
            wait(browser, "return document.querySelector('.kept').textContent.includes('A drive is plugged in')")
            press(browser, f"save-{finished.id}")
            wait_outcome(browser, "Not saved: the drive is full; the scan is still on this device")
            assert list(mount.iterdir()) == []
        assert (own / "scan.json").is_file()
        for number in range(MANY):
            (own / f"x{number}.bin").write_bytes(bytes(64))
        with drive(mount, 400_000):
            wait(browser, "return document.querySelector('.kept').textContent.includes('A drive is plugged in')")
            press(browser, f"save-{finished.id}")
            until((mount / f".{finished.id}.part").is_dir, seconds=PATIENCE_S)
            pull(mount)
        wait_outcome(browser, "Not saved: the drive was pulled or takes nothing; the scan is still on this device")
        wait(browser, "return document.querySelector('.kept').textContent.includes('No drive is plugged in')")
        assert list(mount.iterdir()) == [], "and nothing went to the disk under it"
        assert (own / "scan.json").is_file()


def test_a_full_disk_stops_recording_says_so_and_alerts_go_on(browser: Any, tmp_path: Path) -> None:
    with drive(tmp_path / "state" / "scans", 300), device(tmp_path) as running:
        open_page(browser, running)
        wait(
            browser,
            "return document.getElementById('captures-note').textContent.startsWith('Recording stopped: no room')",
        )
        assert text_of(browser, "captures-note").endswith("Alerts go on")
        before = len(raised(running))
        until(lambda: len(raised(running)) >= before + 2, seconds=PATIENCE_S)
        assert text_of(browser, "captures-note").startswith("Recording stopped")
        assert closed(browser), "said in its place, not in a window"
        folders = [path for path in (running.state / "scans").iterdir() if path.is_dir()]
        assert not [path for folder in folders for path in folder.iterdir() if path.name.endswith(".part")]


def raised(running: Device) -> list[dict[str, Any]]:
    with suppress(FileNotFoundError):
        return [one for one in events(running) if one["kind"] == "raised"]
    return []
