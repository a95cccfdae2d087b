"""What eyes meet: every state in both languages, themes and sizes, in greyscale, and as a deuteranope sees it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sono_edge.phantom import PhantomFrame
from sono_edge.scene import AlertLine, Scene, State
from sono_edge.view import View
from tests.support.browser import BROWSER, DRIVER, SCREEN
from tests.support.page import (
    CONTRASTS,
    OVERFLOWS,
    Feed,
    emulate,
    part,
    pointing,
    run,
    screenshot,
    severe,
    wait_for_words,
)
from tests.support.scenes import scene

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
]
BUTTONS = ("seen", "ai", "hold", "theme", "tone")
LETTERS = "return [...arguments].map((id) => parseFloat(getComputedStyle(document.getElementById(id)).fontSize))"
DEUTERANOPE = np.array([[0.29275, 0.70725, 0.0], [0.29275, 0.70725, 0.0], [-0.02234, 0.02234, 1.0]])
"""On linear RGB. Viénot, Brettel and Mollon, Color Research & Application 24 (1999) 243."""
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


@dataclass(frozen=True, slots=True)
class Look:
    size: tuple[int, int]
    language: str
    theme: str


def open_page(browser: Any, view: View, look: Look) -> None:
    screen = {**SCREEN, "width": look.size[0], "height": look.size[1]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    emulate(browser, prefers_color_scheme=look.theme)
    browser.get(f"{view.url}&lang={look.language}")


@pytest.mark.parametrize(
    "look",
    [
        Look((1280, 800), "en", "light"),
        Look((1920, 1080), "en", "dark"),
        Look((1280, 800), "de", "dark"),
        Look((1920, 1080), "de", "light"),
    ],
    ids=str,
)
def test_every_state_can_be_read(browser: Any, view: View, found: PhantomFrame, look: Look) -> None:
    lines = tuple(AlertLine(f"d/1/{i}", 100.0 - i * 20, 0.8, seen=i > 1, active=i == 0) for i in range(5))
    uplink = "Alerts wait in memory: the disk is full"
    strip = (0.3,) * 50 + (math.nan,) * 50
    with Feed(view, pointing(found)) as feed:
        open_page(browser, view, look)
        words = run(browser, "const { states } = await import('/static/strings.js'); return states;")
        assert browser.execute_script("return document.documentElement.lang") == look.language
        for state in State:
            reason = "unlike the pictures it learned from" if state is State.CANT_SAY else "no contact: left third"
            now = scene(picture=found.picture, state=state, reason=reason, alerts=lines, strip=strip, uplink=uplink)
            feed.now = replace(now, quality=0.4, attention_lo=0.1, attention_hi=0.3)
            wait_for_words(browser, words[state.name])
            dim = [text for text in browser.execute_script(CONTRASTS) if text[2] < 7]
            assert dim == [], state
            assert browser.execute_script(OVERFLOWS) == [], state
            assert max(browser.execute_script(LETTERS, "words", "band-words")) >= 0.05 * look.size[1], state
        for button in BUTTONS:
            millimetres_15 = 15 / 25.4 * math.hypot(*look.size) / 10
            assert min(browser.find_element("id", button).size.values()) >= millimetres_15
        assert severe(browser) == []


def test_a_reason_that_a_hand_can_mend_is_one_line_of_advice(browser: Any, view: View, found: PhantomFrame) -> None:
    look = Look((1280, 800), "en", "dark")
    shown = replace(scene(picture=found.picture, reason="no contact: left third"), quality=0.67)
    with Feed(view, replace(shown, attention_lo=0.1, attention_hi=0.3)):
        open_page(browser, view, look)
        wait_for_words(browser, "Scanning")
        texts = browser.execute_script(
            "return ['advice', 'reason', 'attention-note'].map((id) => document.getElementById(id).textContent)"
        )
    assert texts == ["Add gel or press gently (no contact: left third)", "", "20 %, between 10 and 30"]


def test_everything_that_can_be_pressed_or_measured_has_a_name(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, pointing(found)):
        open_page(browser, view, Look((1280, 800), "en", "dark"))
        wait_for_words(browser, "Look again here")
        nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node]
    assert [name for role, name in named if role == "button"] == [
        "Seen space bar",
        "AI off",
        "Hold where AI looked",
        "Light",
        "Tone off",
    ]
    assert [name for role, name in named if role == "meter"] == ["Picture quality", "Attention"]
    assert ("status", "") in named, "the state is read out when it changes"
    assert not [role for role, name in named if role in {"image", "region"} and not name]


def shoot(browser: Any, feed: Feed, now: Scene) -> NDArray[np.uint8]:
    feed.now = now
    wait_for_words(browser, now.state.value)
    return screenshot(browser)


def linear(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    share = rgb / 255.0
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def as_grey(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(linear(rgb) @ LUMINANCE)


def as_deuteranope(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    return np.asarray(np.clip(linear(rgb) @ DEUTERANOPE.T, 0.0, 1.0) @ LUMINANCE)


def contrast(one: float, other: float) -> float:
    return (max(one, other) + 0.05) / (min(one, other) + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_states_differ_without_colour_and_the_picture_has_none(
    browser: Any, view: View, found: PhantomFrame, theme: str
) -> None:
    with Feed(view, scene(picture=found.picture)) as feed:
        open_page(browser, view, Look((1280, 800), "en", theme))
        calm = shoot(browser, feed, scene(picture=found.picture))
        alert = shoot(browser, feed, pointing(found))
        for shot in (calm, alert):
            picture = part(browser, shot, "stage").astype(int)
            assert (picture.max(axis=2) == picture.min(axis=2)).all(), "grey, black and white only"
            red, green, blue = np.moveaxis(shot.astype(int), 2, 0)
            assert (blue <= red + 2).all(), "no blue"
            assert (2 * green >= red).all(), "no red"
        for seen_as in (as_grey, as_deuteranope):
            grounds = []
            for shot in (calm, alert):
                state = seen_as(part(browser, shot, "state"))
                ground = float(np.median(state))
                grounds.append(ground)
                assert max(contrast(ground, float(level)) for level in np.percentile(state, (2, 98))) >= 7
            assert contrast(*grounds) >= 7, "the alert's ground is another one, whatever its colour"
