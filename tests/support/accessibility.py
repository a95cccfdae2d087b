"""axe-core on the page that the browser shows: what it finds to be serious or critical."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

RUN = "axe.run().then(arguments[arguments.length - 1], (error) => arguments[arguments.length - 1](String(error)))"
GRAVE = {"serious", "critical"}


@cache
def axe() -> str:
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def grave_findings(browser: Any) -> list[str]:
    """One line a place: impact, rule, element."""
    browser.execute_cdp_cmd("Runtime.evaluate", {"expression": axe()})  # the page's own policy admits no foreign script
    told = browser.execute_async_script(RUN)
    assert isinstance(told, dict), told
    assert len(told["passes"]) > 10, "axe looked at something"
    return [
        f"{found['impact']} {found['id']}: {node['target']}"
        for found in told["violations"]
        if found["impact"] in GRAVE
        for node in found["nodes"]
    ]
