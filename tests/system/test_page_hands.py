"""What hands do to the page: keys, foot switch and touch are the same presses; a held picture; the tone; the pulse."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from queue import Empty
from typing import Any

import numpy as np
import pytest

from sono_edge.phantom import PhantomFrame
from sono_edge.scene import Saliency, Scene, State
from sono_edge.view import Seen, SetAI, View
from sono_models.inputs import InputSpec, letterbox
from tests.support.browser import BROWSER, DRIVER
from tests.support.page import (
    OVERFLOWS,
    Feed,
    emulate,
    key,
    pixels,
    pointing,
    run,
    tap,
    text_of,
    touch,
    wait_for,
    wait_for_words,
)
from tests.support.scenes import PATIENCE_S, scene

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs Debian's chromium and chromium-driver"),
]
COUNT_CAPTURES = """
window.captures = 0;
const real = window.fetch;
window.fetch = (path, ...rest) => { if (path === "/capture") window.captures += 1; return real(path, ...rest); };
"""


def nothing_more(view: View) -> None:
    with pytest.raises(Empty):
        view.commands.get_nowait()


def test_short_is_seen_and_long_is_capture(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, pointing(found)):
        browser.get(view.url)
        wait_for_words(browser, "Look again here")
        browser.execute_script(COUNT_CAPTURES)
        for name in (" ", "PageDown", "PageUp"):
            tap(browser, name)
            assert view.commands.get(timeout=PATIENCE_S) == Seen("d/1/7")
        touch(browser, "touchStart", "seen")
        touch(browser, "touchEnd", "seen")
        assert view.commands.get(timeout=PATIENCE_S) == Seen("d/1/7")
        for count, name in enumerate((" ", "PageDown"), start=1):
            key(browser, "keyDown", name)
            wait_for(browser, f"return window.captures === {count}")
            key(browser, "keyUp", name)
        touch(browser, "touchStart", "seen")
        wait_for(browser, "return window.captures === 3")
        touch(browser, "touchEnd", "seen")
        tap(browser, "a")  # what comes after a long press would have come before this
        while (press := view.commands.get(timeout=PATIENCE_S)) != SetAI(on=False):
            assert not isinstance(press, Seen), "a long press is no short one"


CAPTURING = """
const [real, asked] = [window.fetch, (window.asked = [])];
const scan = { scan: null, trouble: "", captures: [
  { id: "d-1", captured_s: 10, kind: "automatic", seen: true },
  { id: "d/2", captured_s: 20, kind: "manual", seen: false }] };
window.fetch = (path, ...rest) => {
  if (path !== "/scan" && path !== "/capture") return real(path, ...rest);
  asked.push(path);
  return Promise.resolve(path === "/scan" ? Response.json(scan) : new Response(null, { status: 204 }));
};
"""
"""A device that captures, at the seam where the page asks it."""


def test_captured_frames_are_listed_where_the_device_has_them(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, pointing(found)):
        browser.get(view.url)
        wait_for_words(browser, "Look again here")
        assert browser.execute_script("return document.getElementById('captures').hidden"), "a device without"
        before = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": CAPTURING})
        browser.get(view.url)
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", before)
        wait_for_words(browser, "Look again here")
        wait_for(browser, "return document.querySelectorAll('#captures-list img').length === 2")
        pictures = browser.find_elements("css selector", "#captures-list img")
        assert [picture.get_dom_attribute("src") for picture in pictures] == [
            "/scan/captures/d%2F2.png",
            "/scan/captures/d-1.png",
        ]
        wait_for(browser, "return document.getElementById('seen-note').textContent === 'space bar · hold: capture'")
        assert browser.execute_script(OVERFLOWS) == []
        key(browser, "keyDown", " ")
        wait_for(browser, "return document.getElementById('seen-note').textContent === 'captured'")
        key(browser, "keyUp", " ")
        wait_for(browser, "return asked.filter((path) => path === '/scan').length > 1")
        nothing_more(view)


def test_letters_and_buttons_do_the_same(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, scene(picture=found.picture)):
        browser.get(view.url)
        wait_for_words(browser, "Scanning")
        tap(browser, "a")
        touch(browser, "touchStart", "ai")
        touch(browser, "touchEnd", "ai")
        assert [view.commands.get(timeout=PATIENCE_S) for _ in range(2)] == [SetAI(on=False)] * 2
        theme = "return document.documentElement.dataset.theme"
        assert browser.execute_script(theme) == "dark"
        tap(browser, "l")
        wait_for(browser, "return document.documentElement.dataset.theme === 'light'")
        browser.find_element("id", "theme").click()
        assert browser.execute_script(theme) == "dark"
        tone = browser.find_element("id", "tone")
        assert tone.get_attribute("aria-pressed") == "false", "silent until it is switched on"
        tap(browser, "t")
        wait_for(browser, "return document.getElementById('tone-words').textContent === 'Tone on'")
        assert tone.get_attribute("aria-pressed") == "true"
        tone.click()
        assert tone.get_attribute("aria-pressed") == "false"
        nothing_more(view)


READ_A_CODE = """
for (const key of [..."aH1ltsm-a", "Enter"]) {
  for (const kind of ["keydown", "keyup"]) {
    document.activeElement.dispatchEvent(new KeyboardEvent(kind, { key, bubbles: true, cancelable: true }));
  }
}
"""


def test_a_code_that_is_read_while_no_field_is_open_presses_nothing(
    browser: Any, view: View, found: PhantomFrame
) -> None:
    with Feed(view, scene(picture=found.picture)):
        browser.get(view.url)
        wait_for_words(browser, "Scanning")
        browser.execute_script(READ_A_CODE)
        run(browser, "await new Promise((done) => setTimeout(done, 300));")
        assert browser.execute_script("return document.documentElement.dataset.theme") == "dark"
        assert text_of(browser, "tone-words") == "Tone off"
        assert browser.execute_script("return document.getElementById('held').hidden")
        tap(browser, "a")
        assert view.commands.get(timeout=PATIENCE_S) == SetAI(on=False), "a hand's press, and the only one"
        nothing_more(view)


def salient(found: PhantomFrame) -> Scene:
    """A scored scene whose saliency is one round spot on the lesion."""
    _, placement = letterbox(found.picture, InputSpec(256, 256))
    across, down = found.lesions[0].box.centre()
    x, y = placement.x0 + across * placement.width, placement.y0 + down * placement.height
    rows, columns = np.mgrid[0:16, 0:16]
    far = np.hypot((columns + 0.5) / 16 - x, (rows + 0.5) / 16 - y)
    spot = np.asarray(0.8 * np.exp(-((far / 0.12) ** 2)), np.float32)
    return replace(scene(picture=found.picture), saliency=Saliency(spot, placement))


def test_a_held_picture_stands_and_shows_where_the_model_looked(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, salient(found)) as feed:
        browser.get(view.url)
        wait_for_words(browser, "Scanning")
        key(browser, "keyDown", "h")
        wait_for(
            browser, "return document.getElementById('held-words').textContent.startsWith('Held, not live: where')"
        )
        lines = pixels(browser, "ticks")
        drawn = lines[..., 3] > 0
        assert 0.001 < drawn.mean() < 0.05, "lines, no fill"
        assert (lines[..., :3].max(axis=2) == lines[..., :3].min(axis=2)).all(), "white with a black halo"
        rows, columns = np.nonzero(drawn)
        across, down = found.lesions[0].box.centre()
        high = lines.shape[1] * found.picture.shape[0] / found.picture.shape[1]
        top = (lines.shape[0] - high) / 2
        assert abs(columns.mean() - across * lines.shape[1]) < 0.03 * lines.shape[1]
        assert abs(rows.mean() - (top + down * high)) < 0.03 * high
        held = pixels(browser, "picture")
        feed.now = scene(picture=np.full_like(found.picture, 7), state=State.CANT_SAY)
        wait_for_words(browser, "Can't say")
        assert np.array_equal(pixels(browser, "picture"), held), "the rail goes on, the picture stands"
        key(browser, "keyUp", "h")
        wait_for(browser, "return document.getElementById('held').hidden")
        assert not pixels(browser, "ticks").any()


def test_one_soft_tone_for_an_alert(browser: Any, view: View, found: PhantomFrame) -> None:
    with Feed(view, scene(picture=found.picture)):
        browser.get(view.url)
        played = run(
            browser,
            """
            const { Tone } = await import("/static/tone.js");
            const [tone, counts] = [new Tone(), []];
            const hear = (...names) => {
              tone.hear(names.map((alert) => ({ alert, active: true, seen: false })));
              counts.push(tone.played);
            };
            hear("a"); tone.toggle(); hear("a"); hear("a", "b"); hear("a", "b"); hear("b"); hear("a"); hear("c");
            tone.toggle(); hear("d"); tone.toggle(); hear("d");
            return counts;
            """,
        )
    assert played == [0, 0, 1, 1, 1, 1, 2, 2, 2]


def test_the_pulse_is_slow_and_stands_still_for_who_wishes_so(browser: Any, view: View) -> None:
    browser.get(view.url)
    script = """
    const { PERIOD_MS, opacityAt } = await import("/static/pulse.js");
    return [PERIOD_MS, Array.from({ length: 200 }, (_, i) => opacityAt(i * 50))];
    """
    period, opacities = run(browser, script)
    assert period >= 2000
    assert min(opacities) > 0.3
    assert max(abs(a - b) for a, b in pairwise(opacities)) < 0.1, "it breathes"
    emulate(browser, prefers_reduced_motion="reduce")
    assert set(run(browser, script)[1]) == {1}
    emulate(browser, prefers_color_scheme="dark")
