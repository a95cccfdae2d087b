"""The README's picture: `python -m tests.support.photograph docs/images/live-view.png`.

Starts a real agent on the phantom, opens its page in Debian's chromium, and takes a screenshot once the page
says that there is something to look at again.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from sono_edge.scene import State
from tests.support.browser import chromium
from tests.support.page import emulate

SETTLE_S = 1.2


def photograph(path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        agent = [sys.executable, "-m", "sono_models.command", "run", "--port", "0", "--state", folder, "--json"]
        with subprocess.Popen(agent, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            url = json.loads(running.stdout.readline())["view_url"]
            with chromium(Path(folder) / "profile") as chrome:
                emulate(chrome, prefers_color_scheme="dark")
                chrome.get(url)
                words = State.ALERT.value
                WebDriverWait(chrome, 60, 0.05).until(lambda page: words in page.find_element(By.TAG_NAME, "body").text)
                time.sleep(SETTLE_S)
                chrome.save_screenshot(str(path))
            running.terminate()


if __name__ == "__main__":
    photograph(Path(sys.argv[1]))
