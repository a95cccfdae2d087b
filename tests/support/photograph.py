"""The README's pictures: `python -m tests.support.photograph docs/images/live-view.png`, and so for the others.

Starts a real agent on the phantom, opens its page in Debian's chromium, does what a person would, and takes a
screenshot: live-view.png once the page says that there is something to look at again, end-of-scan.png of the card
after a scan, scan-list.png of the list of scans.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from selenium.webdriver.support.wait import WebDriverWait

from sono_edge.scene import State
from tests.support.agents import device
from tests.support.browser import chromium
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


DOINGS = {"live-view.png": live, "end-of-scan.png": card, "scan-list.png": listed}


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
    photograph(Path(sys.argv[1]))
