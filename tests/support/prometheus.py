"""Prometheus as a real peer: Debian's, on a port of this machine, with our own rules, told where to scrape."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.bundles import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until

FOLDER = ROOT / "deploy" / "prometheus"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboard.json"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its HTTP API. https://prometheus.io/docs/prometheus/latest/querying/api/"""

    url: str

    def get(self, path: str, **parameters: str | float) -> Any:
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=30.0)
        said = answer.json()
        assert said["status"] == "success", f"{path} {parameters}: {said}"
        return said["data"]

    def series(self, query: str, begin: float, end: float) -> list[dict[str, Any]]:
        """What a query gave at any second of a time."""
        found: list[dict[str, Any]] = self.get("query_range", query=query, start=begin, end=end, step=1)["result"]
        return found


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, int]) -> Iterator[Prometheus]:
    """With the configuration and rules that are shipped; other ports, and every second."""
    folder.mkdir()
    (folder / "rules.yml").write_text((FOLDER / "rules.yml").read_text("utf-8"), "utf-8")
    settings = re.sub(r"(?<=_interval: )15s", "1s", (FOLDER / "prometheus.yml").read_text("utf-8"))
    settings = settings.replace("scrape_timeout: 10s", "scrape_timeout: 1s")
    for address, port in targets.items():
        assert address in settings
        settings = settings.replace(address, f"127.0.0.1:{port}")
    (folder / "prometheus.yml").write_text(settings, "utf-8")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            made = Prometheus(f"http://127.0.0.1:{port}")
            until(lambda: _answers(f"{made.url}/-/ready"), seconds=60.0)
            yield made
        finally:
            running.terminate()
            running.wait(30)


def dashboard_queries() -> list[str]:
    """Of every panel, each once."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return list(dict.fromkeys(target["expr"] for panel in panels for target in panel.get("targets", [])))


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2.0).status_code == 200
    except httpx.TransportError:
        return False
