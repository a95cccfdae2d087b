"""The page in a real browser: what a person sees, and that a page without news says so."""

from __future__ import annotations

from queue import Empty
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver.common import keys

from sono_edge.phantom import PhantomFrame
from sono_edge.scene import Scene, State
from sono_edge.view import Seen, SetAI, View
from sono_edge.view.record import to_jpeg
from tests.support.browser import BROWSER, DRIVER, SCREEN
from tests.support.page import Feed, pixels, pointing, severe, text_of, wait_for_words
from tests.support.scenes import PATIENCE_S, scene

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
]
TICK_PX = 2


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
        assert browser.find_element("id", "seen").get_attribute("data-idle") == "true"
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
