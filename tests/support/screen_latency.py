"""How old a picture is on the screen: `python -m tests.support.screen_latency [SECONDS]`.

Starts a real agent on the phantom, opens its page in Debian's chromium mid-scan, and prints one JSON object: ms from a
picture's arrival in the agent to the frame of the screen after the one that it was drawn in, and from opening the page
until it was right. Two clocks of one machine, brought together as the page does it (Cristian's algorithm).
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.browser import chromium
from tests.support.page import run

WATCH = """
new MutationObserver(() => {
  if (document.body && !("stale" in document.body.dataset)) window.rightMs ??= performance.now();
}).observe(document, { attributes: true, subtree: true, attributeFilter: ["data-stale"] });
"""
READ = """
const { age, measured } = await import("/static/clock.js");
return { pictures: measured(), p50_ms: age(0.5), p95_ms: age(0.95), p99_ms: age(0.99), right_after_ms: window.rightMs };
"""


def measure(seconds: float) -> dict[str, Any]:
    """The figures of one page over so many seconds, the last 600 pictures of them."""
    with tempfile.TemporaryDirectory() as folder:
        agent = [sys.executable, "-m", "sono_models.command", "run", "--port", "0", "--state", folder, "--json"]
        with subprocess.Popen(agent, stdout=subprocess.PIPE, text=True) as running:
            assert running.stdout is not None
            url = json.loads(running.stdout.readline())["view_url"]
            with chromium(Path(folder) / "profile") as chrome:
                chrome.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
                chrome.get(url)
                time.sleep(seconds)
                found: dict[str, Any] = run(chrome, READ)
            running.terminate()
    return {name: round(value, 1) for name, value in found.items()}


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0)))  # noqa: T201
