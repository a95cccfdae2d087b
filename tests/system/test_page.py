"""The page in a real browser: what a person sees, and that a page without news says so."""

from __future__ import annotations

import base64
import math
import threading
from collections.abc import Iterator
from queue import Empty
from typing import Any, Self

import cv2
import numpy as np
import pytest
from selenium.webdriver.common import keys
from selenium.webdriver.support import wait as waits

from sono_edge.phantom import PhantomFrame, sweep
from sono_edge.scene import AlertLine, Scene, State
from sono_edge.view import Seen, SetAI, View
from sono_edge.view.record import to_jpeg
from tests.support.browser import BROWSER, DRIVER, SCREEN, chromium
from tests.support.scenes import PATIENCE_S, scene

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
]
TICK_PX = 2

CONTRASTS = """
const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
  .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const rgba = (css) => { const n = css.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n, 1] : n; };
const ground = (e) => { for (; e; e = e.parentElement) {
  const c = rgba(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [0, 0, 0, 1]; };
return [...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
  .map((e) => { const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
    return [e.id || e.tagName, e.textContent, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]; });
"""
OVERFLOWS = """
return [...document.querySelectorAll(".rail, .rail *, .band *")].filter((e) => e.checkVisibility())
  .filter((e) => (e.clientWidth && e.scrollWidth > e.clientWidth + 1) || e.getBoundingClientRect().bottom > innerHeight)
  .map((e) => e.id || e.className);
"""


class Feed:
    """A thread that shows one scene 30 times a second, as the agent would; `now` may be changed, None pauses."""

    def __init__(self, view: View, now: Scene) -> None:
        self.now: Scene | None = now
        self._view = view
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(1 / 30):
            if self.now is not None:
                self._view.show(self.now)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture(scope="module")
def found() -> PhantomFrame:
    """A phantom frame with a lesion well in view."""
    frames = [frame for frame in sweep(seconds=4) if frame.lesions]
    return max(frames, key=lambda frame: frame.lesions[0].box.area())


@pytest.fixture
def view(browser: Any) -> Iterator[View]:
    browser.get_log("browser")
    with View(port=0, token="a-token-of-some-length") as opened:
        yield opened
        browser.get("about:blank")  # a page whose view goes reports it


def pointing(found: PhantomFrame) -> Scene:
    line = AlertLine("d/1/7", 99.0, 0.8, seen=False, active=True)
    box = found.lesions[0].box
    return scene(picture=found.picture, state=State.ALERT, reason="6 of the last 9", box=box, alerts=(line,))


def wait_for_words(browser: Any, text: str) -> None:
    waits.WebDriverWait(browser, PATIENCE_S, 0.05).until(lambda b: text_of(b, "words") == text)


def text_of(browser: Any, identity: str) -> str:
    text: str = browser.execute_script("return document.getElementById(arguments[0]).textContent", identity)
    return text


def pixels(browser: Any, canvas: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """All pixels of a canvas, (height, width, 4): blue, green, red, alpha."""
    url: str = browser.execute_script("return document.getElementById(arguments[0]).toDataURL()", canvas)
    png = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
    decoded = cv2.imdecode(png, cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def severe(browser: Any) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_the_page_shows_state_picture_and_ticks(browser: Any, view: View, found: PhantomFrame) -> None:
    shown = pointing(found)
    with Feed(view, shown) as feed:
        browser.get(view.url)
        wait_for_words(browser, "Look again here")
        assert text_of(browser, "simulated") == "SIMULATED"
        assert text_of(browser, "outbox") == "3 alerts waiting to be sent"
        assert "token" not in browser.current_url
        jpeg = np.frombuffer(to_jpeg(found.picture), np.uint8)
        picture = pixels(browser, "picture")[..., 0].astype(int)
        sent = np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE), np.uint8)
        assert np.abs(picture - sent).max() <= 2, "two JPEG decoders may differ by so much"
        check_ticks(pixels(browser, "ticks"), shown, found.picture.shape[1] / found.picture.shape[0])
        feed.now = scene(picture=found.picture)
        wait_for_words(browser, "Scanning")
        assert not pixels(browser, "ticks").any()
        assert severe(browser) == []


def check_ticks(ticks: np.ndarray[Any, np.dtype[np.uint8]], shown: Scene, aspect: float) -> None:
    """Two white pixels with black beside them at 1.15 times the box, and nothing in between."""
    assert shown.box is not None
    height, width = ticks.shape[:2]
    high = min(height, width / aspect)
    wide = high * aspect
    across, down = shown.box.centre()
    half_x, half_y = (shown.box.x1 - shown.box.x0) / 2 * 1.15, (shown.box.y1 - shown.box.y0) / 2 * 1.15
    middle_x, middle_y = (width - wide) / 2 + across * wide, (height - high) / 2 + down * high
    white = np.asarray(ticks.min(axis=2) > 250)
    for sign_x in (-1, 1):
        for sign_y in (-1, 1):
            x, y = middle_x + sign_x * half_x * wide, middle_y + sign_y * half_y * high
            # A little way along the horizontal arm.
            column = round(x - sign_x * 8)
            rows = np.flatnonzero(white[:, column])
            here = rows[np.abs(rows - y) < TICK_PX + 1]
            assert len(here) == TICK_PX
            for beside in (here[0] - 1, here[-1] + 1):
                assert ticks[beside, column].tolist() == [0, 0, 0, 255]
    assert not ticks[round(middle_y), round(middle_x)].any()
    assert (ticks[..., 3] > 0).mean() < 0.01
    assert (ticks[..., :3].max(axis=2) == ticks[..., :3].min(axis=2)).all(), "no colour inside of the picture"


def test_the_space_bar_is_seen_wherever_the_focus_is(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, pointing(found)) as feed:
        browser.get(view.url)
        wait_for_words(browser, "Look again here")
        browser.find_element("tag name", "body").send_keys(keys.Keys.SPACE)
        assert view.commands.get(timeout=PATIENCE_S) == Seen("d/1/7")
        browser.find_element("id", "ai").send_keys(keys.Keys.SPACE)
        assert view.commands.get(timeout=PATIENCE_S) == Seen("d/1/7")
        browser.find_element("id", "seen").click()
        assert view.commands.get(timeout=PATIENCE_S) == Seen("d/1/7")
        browser.find_element("id", "ai").click()
        assert view.commands.get(timeout=PATIENCE_S) == SetAI(on=False)
        feed.now = scene(picture=found.picture, state=State.AI_OFF)
        wait_for_words(browser, "AI is off")
        assert not browser.find_element("id", "seen").is_enabled()
        browser.find_element("tag name", "body").send_keys(keys.Keys.SPACE)
        browser.find_element("id", "ai").click()
        assert view.commands.get(timeout=PATIENCE_S) == SetAI(on=True)
        with pytest.raises(Empty):
            view.commands.get_nowait()


def test_a_feed_that_stops_is_not_nothing_found(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, pointing(found)) as feed:
        browser.get(view.url)
        wait_for_words(browser, "Look again here")
        feed.now = None
        wait_for_words(browser, "AI not running")
        band = browser.find_element("id", "band")
        assert band.size["width"] == SCREEN["width"]
        assert band.text.startswith("AI NOT RUNNING\nNo picture for ")
        assert text_of(browser, "veil-words").startswith("Not live: picture from ")
        assert text_of(browser, "attention-note") == "not running"
        assert not pixels(browser, "ticks").any()
        feed.now = scene(picture=found.picture)
        wait_for_words(browser, "Scanning")
        assert not browser.find_element("id", "band").is_displayed()


def test_a_device_that_goes_and_comes_back(browser: Any, found: PhantomFrame) -> None:
    with View(port=0) as view, Feed(view, scene(picture=found.picture)):
        browser.get(view.url)
        wait_for_words(browser, "Scanning")
        view.__exit__()
        wait_for_words(browser, "AI not running")
        assert text_of(browser, "band-reason") == "No connection to the device"
        view.__enter__()
        wait_for_words(browser, "Scanning")
    browser.get_log("browser")  # the losses above are the browser's to report


@pytest.mark.parametrize("size", [(1280, 800), (1920, 1080)])
def test_every_state_can_be_read(browser: Any, view: View, found: PhantomFrame, size: tuple[int, int]) -> None:
    lines = tuple(AlertLine(f"d/1/{i}", 100.0 - i * 20, 0.8, seen=i > 1, active=i == 0) for i in range(5))
    with Feed(view, pointing(found)) as feed:
        screen = {**SCREEN, "width": size[0], "height": size[1]}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(view.url)
        for state in State:
            reason = "" if state is State.SCANNING else "Left third of the probe has no contact"
            strip = (0.3,) * 50 + (math.nan,) * 50
            uplink = "The broker does not answer: alerts wait on this device"
            feed.now = scene(
                picture=found.picture, state=state, reason=reason, alerts=lines, strip=strip, uplink=uplink
            )
            wait_for_words(browser, state.value)
            dim = [text for text in browser.execute_script(CONTRASTS) if text[2] < 7]
            assert dim == [], state
            assert browser.execute_script(OVERFLOWS) == [], state
        for button in ("seen", "ai"):
            millimetres_15 = 15 / 25.4 * math.hypot(*size) / 10
            assert min(browser.find_element("id", button).size.values()) >= millimetres_15
        assert severe(browser) == []
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
