"""How old a picture is on the screen: `python -m tests.support.screen_latency [SECONDS]`.

Starts a real agent on the phantom, opens its page in Debian's chromium mid-scan, and prints one JSON object:
`capture_to_overlay_ms` {p50, p95, p99}, from a picture's arrival in the agent to the frame of the screen after the one
that it and its ticks were drawn in; `delay_frames` {p50, p99}, what the agent adds before it hands the picture on,
in frames of 1/30 s; `right_after_ms`, from opening the page until it was right; and how busy the machine was. Two
clocks of one machine, brought together as the page does it (Cristian's algorithm). `make latency` does this.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.support.browser import chromium
from tests.support.page import run

FPS = 30.0
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
                found: dict[str, float] = run(chrome, READ)
            running.terminate()
            totals = json.loads(running.stdout.read().strip().splitlines()[-1])
    return {
        "capture_to_overlay_ms": {name: round(found[f"{name}_ms"], 1) for name in ("p50", "p95", "p99")},
        "delay_frames": {name: round(totals["latency_ms"][name] * FPS / 1e3, 2) for name in ("p50", "p99")},
        "right_after_ms": round(found["right_after_ms"], 1),
        "pictures": found["pictures"],
        "frames_dropped": totals["frames_dropped"],
        "load": round(os.getloadavg()[0], 1),
        "cores": os.cpu_count(),
    }


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 15.0)))  # noqa: T201
