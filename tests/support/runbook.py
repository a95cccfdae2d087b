"""deploy/README.md as a reader types it. `python3 -m tests.support.runbook HEADING N`: the Nth block of a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path

RUNBOOK = (Path(__file__).resolve().parents[2] / "deploy" / "README.md").read_text("utf-8")


def section(title: str) -> list[str]:
    """The indented blocks beneath a heading, each as one script."""
    (text,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^    .*\n)+(?:\n?(?:^    .*\n)+)*", text, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in blocks]


if __name__ == "__main__":
    sys.stdout.write(section(sys.argv[1])[int(sys.argv[2]) - 1])
