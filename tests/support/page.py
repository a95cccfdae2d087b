"""The page as a browser test meets it: scenes that keep coming, and what is on the screen."""

from __future__ import annotations

import base64
import threading
from typing import Any, Self

import cv2
import numpy as np
from selenium.webdriver.support import wait as waits

from sono_edge.phantom import PhantomFrame
from sono_edge.scene import AlertLine, Scene, State
from sono_edge.view import View
from tests.support.scenes import PATIENCE_S, scene

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
# The list of alerts leaves out whole lines when it is full.
OVERFLOWS = """
return [...document.querySelectorAll(".rail, .rail *, .band *")]
  .filter((e) => e.checkVisibility() && e.id !== "points")
  .filter((e) => (e.clientWidth && e.scrollWidth > e.clientWidth + 1) || e.getBoundingClientRect().bottom > innerHeight
    || (e.id === "state" && e.scrollHeight > e.clientHeight + 1))
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
    """What the browser complains of; that a device without captures has no /scan is known."""
    said = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in said if "/scan " not in message]


def screenshot(browser: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """All of the screen, (height, width, 3): red, green, blue."""
    decoded = cv2.imdecode(np.frombuffer(browser.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def part(browser: Any, shot: np.ndarray[Any, np.dtype[np.uint8]], identity: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The element's own pixels."""
    at = browser.find_element("id", identity).rect
    left, top = round(at["x"]), round(at["y"])
    return shot[top : top + round(at["height"]), left : left + round(at["width"])]


def key(browser: Any, kind: str, name: str) -> None:
    """One end of a press of a real key: kind is "keyDown" or "keyUp"."""
    code = {" ": "Space"}.get(name, name if len(name) > 1 else f"Key{name.upper()}")
    browser.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": kind, "key": name, "code": code})


def tap(browser: Any, name: str) -> None:
    key(browser, "keyDown", name)
    key(browser, "keyUp", name)


def touch(browser: Any, kind: str, identity: str) -> None:
    """A finger on the middle of an element: kind is "touchStart" or "touchEnd"."""
    at = browser.find_element("id", identity).rect
    points = [{"x": at["x"] + at["width"] / 2, "y": at["y"] + at["height"] / 2}] if kind == "touchStart" else []
    browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})


def wait_for(browser: Any, script: str) -> None:
    """Until the script gives something true."""
    waits.WebDriverWait(browser, PATIENCE_S, 0.05).until(lambda b: b.execute_script(script))


def run(browser: Any, script: str) -> Any:
    """The value of an async function's body, in the page."""
    return browser.execute_async_script(f"(async () => {{ {script} }})().then(arguments[arguments.length - 1]);")


def emulate(browser: Any, **features: str) -> None:
    """The system's wishes: prefers_color_scheme="dark", prefers_reduced_motion="reduce"."""
    wishes = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wishes})
