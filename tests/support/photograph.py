"""The README's pictures: `python -m tests.support.photograph docs/images/live-view.png`, and so for the others.

Starts a real agent on the phantom, opens its page in Debian's chromium, does what a person would, and takes a
screenshot: live-view.png once the page says that there is something to look at again, end-of-scan.png of the card
after a scan, scan-list.png of the list of scans. The fleet's pages: fleet-devices.png, fleet-rollout.png and
fleet-phone.png, of a fleet of 300 boards on a real engine.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from selenium.webdriver.support.wait import WebDriverWait

from sono_edge.scene import State
from sono_fleet.rollout import desk
from tests.support.agents import device
from tests.support.browser import SCREEN, chromium
from tests.support.fleet_page import PASSWORD, page
from tests.support.fleet_scene import Scene, scene
from tests.support.page import emulate, key, tap

SETTLE_S = 1.2
PATIENCE_S = 240
TOKENS = ("WL-2041", "WL-2042", "WL-2043")


def wait(page: Any, script: str) -> None:
    WebDriverWait(page, PATIENCE_S, 0.05).until(lambda shown: shown.execute_script(script))


def live(page: Any) -> None:
    wait(page, f"return document.getElementById('words').textContent === '{State.ALERT.value}'")


def scan(page: Any, token: str) -> None:
    """One scan, from its token to its card, with an alert seen and a frame captured."""
    tap(page, "m")
    wait(page, "return document.getElementById('token') !== null")
    page.find_element("id", "token").send_keys(f"{token}\n")
    wait(page, "return document.getElementById('side').hidden")
    wait(page, "return document.querySelector('#points [data-mark=unseen]') !== null")
    tap(page, " ")
    wait(page, "return document.querySelectorAll('#captures-list img').length > 2")
    key(page, "keyDown", "s")
    wait(page, "return document.body.dataset.view === 'card'")
    key(page, "keyUp", "s")


def card(page: Any) -> None:
    scan(page, TOKENS[0])
    wait(page, "return [...document.querySelectorAll('.frame img')].every((image) => image.complete)")


def listed(page: Any) -> None:
    emulate(page, prefers_color_scheme="light")
    for token in TOKENS:
        scan(page, token)
    tap(page, "m")
    wait(page, "return document.querySelectorAll('.scans li').length > 2")


def enter(shown: Any, url: str, to: str) -> None:
    """Log in as the approver."""
    shown.get(f"{url}/login?to={to}")
    shown.find_element("id", "name").send_keys("anna")
    shown.find_element("id", "password").send_keys(f"{PASSWORD}\n")
    wait(shown, "return document.querySelector('main h1') !== null && document.querySelector('#password') === null")


def half_way(made: Scene) -> None:
    """A roll-out whose second wave is under way, with a failure that is borne."""
    made.begin("breast-0-3-1", 1, 25, 60, 100, max_failures=3, sample=2, soak_s=40.0, deadline_s=86_400.0)
    desk.say(made.records, "breast-0-3-1", "approve", made.fleet.now, by="anna")
    for _ in range(13):
        made.step()
    for _ in range(6):
        made.step(slow=3, bad=31)


def screen(shown: Any, width: int, height: int) -> None:
    metrics = {**SCREEN, "width": width, "height": height, "mobile": width < 500}
    shown.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def fleet_devices(shown: Any, url: str) -> None:
    emulate(shown, prefers_color_scheme="light")
    enter(shown, url, "/devices?sort=waiting")


def fleet_rollout(shown: Any, url: str) -> None:
    screen(shown, 1280, 1180)
    enter(shown, url, "/rollouts/breast-0-3-1")


def fleet_phone(shown: Any, url: str) -> None:
    screen(shown, 360, 780)
    enter(shown, url, "/devices?show=undelivered")


DOINGS = {"live-view.png": live, "end-of-scan.png": card, "scan-list.png": listed}
FLEET = {"fleet-devices.png": fleet_devices, "fleet-rollout.png": fleet_rollout, "fleet-phone.png": fleet_phone}


def photograph_fleet(folder: Path, names: Sequence[str]) -> None:
    """Any number of them, of one fleet."""
    with tempfile.TemporaryDirectory() as work, scene(Path(work)) as made:
        half_way(made)
        with page(made.store.database, made.fleet.clock) as (url, _house):
            for name in names:
                with chromium(Path(work) / f"profile-{name}") as shown:
                    emulate(shown, prefers_color_scheme="dark")
                    FLEET[name](shown, url)
                    time.sleep(SETTLE_S)
                    shown.save_screenshot(str(folder / name))


def photograph(path: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory(dir="/dev/shm") as drive,
        device(Path(folder), drive, keep_days=30) as running,
        chromium(Path(folder) / "profile") as page,
    ):
        emulate(page, prefers_color_scheme="dark")
        page.get(running.url)
        wait(page, "return !document.getElementById('scan').hidden")
        DOINGS[path.name](page)
        time.sleep(SETTLE_S)
        page.save_screenshot(str(path))


if __name__ == "__main__":
    asked = [Path(word) for word in sys.argv[1:]]
    if asked[0].name in FLEET:
        photograph_fleet(asked[0].parent, [path.name for path in asked])
    else:
        photograph(asked[0])
