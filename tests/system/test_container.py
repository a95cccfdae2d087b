"""Containerfile and compose file, read by hadolint and by Docker's own compose. `make images` builds and runs both."""

from __future__ import annotations

import http.server
import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import ROOT
from tests.support.ports import free_port
from tests.support.prometheus import FOLDER

CONTAINER = ROOT / "deploy" / "container"
BINARIES = Path(sys.executable).parent
WORDS = {"SONO_DB_PASSWORD": "x", "SONO_GRAFANA_PASSWORD": "y"}
OURS = ("ingest", "engine", "serve")


@pytest.mark.peer
def test_hadolint_finds_nothing() -> None:
    command = [str(BINARIES / "hadolint"), "--no-color", str(CONTAINER / "Containerfile")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


def composed(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [
        str(BINARIES / "docker-compose"),
        "--file",
        str(CONTAINER / "compose.yaml"),
        "config",
        "--format",
        "json",
    ]
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    done = composed(WORDS)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)["services"]
    return found


@pytest.mark.peer
def test_it_does_not_start_without_passwords() -> None:
    done = composed({})
    assert not done.stdout  # the package's wrapper swallows the exit status
    # compose names the one it comes upon first, in no fixed order
    assert re.search(r"required variable SONO_(DB|GRAFANA)_PASSWORD is missing a value: see env.example", done.stderr)
    assert set(WORDS) <= set(re.findall(r"^(\w+)=", (CONTAINER / "env.example").read_text("utf-8"), re.MULTILINE))


@pytest.mark.peer
def test_everything_is_there_and_may_do_little(services: dict[str, Any]) -> None:
    assert {*OURS, "mosquitto", "postgres", "prometheus", "grafana"} == set(services)
    for name, service in services.items():
        assert not service.get("privileged"), name
        assert service["restart"] == "unless-stopped", name
        if name != "postgres":  # its entrypoint changes owner and user
            assert service["cap_drop"] == ["ALL"], name
            assert service["security_opt"] == ["no-new-privileges:true"], name
    for name in OURS:
        assert services[name]["read_only"], name
        assert services[name]["build"]["target"] == "fleet"
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}
    assert set(published) == {"mosquitto", "serve", "grafana"}
    assert published["grafana"][0]["host_ip"] == "127.0.0.1"


@pytest.mark.peer
def test_every_file_that_it_mounts_from_here_is_here(services: dict[str, Any]) -> None:
    made = {CONTAINER / "secrets", Path("/etc/sonoedge/broker")}  # by the fleet's own commands
    mounts = [
        Path(one["source"])
        for service in services.values()
        for one in service.get("volumes", [])
        if one["type"] == "bind"
    ]
    assert len(mounts) >= 6
    for path in mounts:
        assert path.exists() or path in made, path


@pytest.mark.peer
@pytest.mark.parametrize("name", OURS)
def test_every_service_starts_a_command_that_there_is(services: dict[str, Any], name: str) -> None:
    words = services[name]["command"]
    bare = [word for word in words[:2] if not word.startswith("-")]
    command = [str(BINARIES / "sono"), *bare, "--help"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, env={"COLUMNS": "200"}).stdout
    for option in (word for word in words if word.startswith("--")):
        assert option in shown


def test_prometheus_in_compose_is_as_elsewhere_but_for_its_addresses() -> None:
    mine = (CONTAINER / "prometheus.yml").read_text("utf-8")
    theirs = (FOLDER / "prometheus.yml").read_text("utf-8")
    for name, port in (("ingest", 9108), ("engine", 9109)):
        assert f'"{name}:{port}"' in mine
        mine = mine.replace(f"{name}:{port}", f"127.0.0.1:{port}")
    kept = [[line for line in text.splitlines() if line and not line.startswith("#")] for text in (mine, theirs)]
    assert kept[0] == kept[1]


@contextmanager
def answering(body: str, status: int = 200) -> Iterator[str]:
    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()
        thread.join()


def health(url: str) -> tuple[int, str]:
    command = [sys.executable, str(CONTAINER / "healthy.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"SONO_HEALTH_URL": url})
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("missing", ["broker_connected", "database_up"])
def test_healthy_is_with_a_broker_and_a_database(missing: str) -> None:
    page = "# HELP sono_fleet_broker_connected 0\nsono_fleet_broker_connected 1.0\nsono_fleet_database_up 1.0\n"
    with answering(page) as url:
        assert health(url) == (0, "")
    with answering(page.replace(f"\nsono_fleet_{missing} 1.0", f"\nsono_fleet_{missing} 0.0")) as url:
        assert health(url) == (1, f"sono_fleet_{missing} 0.0\n")


def test_what_does_not_answer_is_not_healthy() -> None:
    status, said = health(f"http://127.0.0.1:{free_port()}/metrics")
    assert (status, "refused" in said) == (1, True)
    with answering("", 500) as url:
        assert health(url)[0] == 1
    with answering("log in", 401) as url:
        assert health(url)[0] == 0
    assert health("")[1] == "SONO_HEALTH_URL '' is no http address\n"
