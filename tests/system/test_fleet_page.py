"""The fleet's page in a real chromium, on a real engine and broker: what a manager does, by mouse, keys and phone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from sono_fleet.rollout import desk
from sono_fleet.rollout.course import State
from tests.support.accessibility import grave_findings
from tests.support.browser import BROWSER, DRIVER, SCREEN
from tests.support.fleet_page import PASSWORD, page
from tests.support.fleet_scene import Scene, scene
from tests.support.page import emulate, wait_for

pytestmark = [
    pytest.mark.peer,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
]
WIDER = "return document.documentElement.scrollWidth > document.documentElement.clientWidth"
EVERYWHERE = (
    "/devices",
    "/devices/clinic-mitte/cart-011",
    "/rollouts",
    "/rollouts/r1",
    "/rollouts/r1/plan",
    "/new-rollout",
    "/releases",
    "/burden",
    "/alerts",
    "/audit",
)


@dataclass(frozen=True, slots=True)
class At:
    url: str
    made: Scene
    browser: Any

    def open(self, path: str) -> None:
        self.browser.get(self.url + path)

    def log_in(self, name: str = "anna") -> None:
        self.browser.delete_all_cookies()
        self.open("/login")
        self.browser.find_element("id", "name").send_keys(name)
        self.browser.find_element("id", "password").send_keys(f"{PASSWORD}\n")
        self.wait("return location.pathname === '/devices'")

    def wait(self, script: str) -> None:
        wait_for(self.browser, script)

    def press(self, words: str) -> None:
        """The button of these words that is to be seen."""
        script = """return [...document.querySelectorAll("button, a")]
          .find((e) => e.checkVisibility() && e.textContent.trim() === arguments[0])"""
        found = self.browser.execute_script(script, words)
        assert found is not None, words
        found.click()

    def keys(self, *names: str) -> None:
        for name in names:
            code = {"Tab": 9, "Enter": 13, "Escape": 27, "/": 191}[name]
            text = {"Enter": "\r", "/": "/"}.get(name, "")
            press = {"key": name, "windowsVirtualKeyCode": code, "text": text}
            self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown", **press})
            self.browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyUp", **press})

    def focused(self) -> str:
        words: str = self.browser.execute_script(
            "return document.activeElement.textContent.trim() || document.activeElement.id"
        )
        return words

    def severe(self) -> list[str]:
        return [entry["message"] for entry in self.browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.fixture
def at(browser: Any, tmp_path: Any) -> Iterator[At]:
    browser.get_log("browser")
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
    emulate(browser, prefers_color_scheme="dark")
    with scene(tmp_path) as made:
        made.begin("r1", 10, 100, soak_s=40.0, max_failures=2, deadline_s=86_400.0)
        with page(made.store.database, made.fleet.clock) as (url, _):
            yield At(url, made, browser)
            browser.get("about:blank")


@contextmanager
def working(made: Scene) -> Iterator[None]:
    """The engine looks and the boards behave, for as long as the block lasts."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.05):
            made.step()

    thread = threading.Thread(target=run, name="fleet")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


def test_a_manager_finds_a_device_approves_a_roll_out_and_follows_it_live(at: At) -> None:
    at.log_in()
    at.browser.find_element("id", "q").send_keys("north 030")
    at.wait("return document.querySelectorAll('#found tbody tr').length === 1 && location.search.includes('north')")
    at.press("clinic-north/cart-030")
    at.wait("return document.querySelector('h1').textContent === 'clinic-north/cart-030'")
    assert "connection lost" in at.browser.find_element("id", "main").text
    at.open("/rollouts/r1")
    at.press("Approve…")
    at.press("Approve")
    at.wait("return document.querySelector('.standing').dataset.state === 'running'")
    with working(at.made):
        at.wait("return document.querySelector('[data-standing=open] .ink-under-way, .bar [fill]') !== null")
        at.wait("return document.querySelector('.waves li').dataset.standing === 'passed'")
        at.wait("return [...document.querySelectorAll('.actions button')].some((e) => e.textContent === 'Pause…')")
        at.press("Pause…")
        at.browser.find_element("id", "ask-pause-reason").send_keys("lunch")
        at.press("Pause")
        at.wait("return document.querySelector('.standing').textContent.includes('pause by anna: lunch')")
    assert at.made.records.one("r1").course.state is State.PAUSED
    assert at.severe() == []


def test_what_another_decides_shows_up_by_itself_with_other_buttons(at: At) -> None:
    at.log_in("vera")
    at.open("/rollouts/r1")
    assert at.browser.find_elements("css selector", ".actions button") == []
    at.log_in("otto")
    at.open("/rollouts/r1")
    assert "Approve: an approver can do that." in at.browser.find_element("css selector", ".actions").text
    desk.say(at.made.records, "r1", "approve", at.made.fleet.now, by="anna")
    at.wait("return document.querySelector('.standing').dataset.state === 'running'")
    at.wait("return !document.querySelector('.actions').textContent.includes('approver')")
    desk.say(at.made.records, "r1", "pause", at.made.fleet.now, by="anna", reason="<img src=x onerror=alert(1)>")
    at.wait("return document.querySelector('.standing').textContent.includes('<img src=x')")
    at.wait("return [...document.querySelectorAll('.actions button')].some((e) => e.textContent === 'Resume…')")
    assert at.browser.find_elements("css selector", "img") == []
    assert at.severe() == []


def test_by_keys_alone_search_and_stop_everything(at: At) -> None:
    at.log_in("otto")
    at.browser.execute_script("document.activeElement.blur()")
    at.keys("/")
    assert at.focused() == "q"
    at.open("/rollouts/r1")
    at.keys("Tab")
    assert at.focused() == "Skip to the content"
    at.keys("Tab", "Tab")
    assert at.focused() == "Stop all…"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert at.browser.execute_script(outline) == "solid"
    at.keys("Enter")
    at.wait("return document.activeElement.id === 'stop-all-reason'")
    at.keys("Escape")
    at.wait("return !document.querySelector('#stop-all').matches(':popover-open')")
    assert at.focused() == "Stop all…", "back where one was"
    at.keys("Enter")
    at.wait("return document.activeElement.id === 'stop-all-reason'")
    at.browser.switch_to.active_element.send_keys("smoke\n")
    at.wait("return document.querySelector('.banner') !== null")
    assert at.browser.current_url == f"{at.url}/rollouts/r1"
    assert at.made.records.stopped() == "smoke"
    assert at.made.records.one("r1").course.state is State.PAUSED


def test_on_a_phone_nothing_is_wider_than_the_screen_and_axe_finds_nothing_grave(at: At) -> None:
    desk.say(at.made.records, "r1", "approve", at.made.fleet.now, by="anna")
    for _ in range(4):
        at.made.step(slow=2, bad=7)
    for theme, width in (("dark", 360), ("light", 1280)):
        emulate(at.browser, prefers_color_scheme=theme, prefers_reduced_motion="reduce")
        screen = {**SCREEN, "width": width, "mobile": width == 360}
        at.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        at.browser.delete_all_cookies()
        at.open("/login")
        assert grave_findings(at.browser) == [], theme
        at.log_in()
        for path in EVERYWHERE:
            at.open(path)
            assert not at.browser.execute_script(WIDER), (path, width)
            assert grave_findings(at.browser) == [], (path, theme)
        at.open("/rollouts/r1")
        at.press("Take back…")
        assert grave_findings(at.browser) == [], "the question, too"
        assert at.severe() == []
