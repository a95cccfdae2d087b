"""deploy/README.md, word for word: its shell blocks run as they stand, against a real broker, with a real bundle.

Only what a reader is told to change is changed (the first block's addresses), and `pip install`: what is tested is this
checkout; `test_container.py` installs it with the same extras into a fresh system.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import httpx
import pytest

from sono_fleet.publish.releases import repacked
from sono_models import messages
from sono_models.desired import opened
from sono_models.envelope import text_of
from sono_models.link import Endpoint, Link
from tests.support.alerts import AT
from tests.support.brokers import Mosquitto
from tests.support.bundles import BREAST
from tests.support.ports import free_port
from tests.support.runbook import RUNBOOK, section
from tests.support.waiting import until

pytestmark = pytest.mark.peer
BOARDS = ("board-1", "board-2", "board-3", "board-4")
SITE = "clinic-a"
INSTALL = """\
python3 -m venv .venv && . .venv/bin/activate
pip install -c constraints.txt './sonoedge-0.1.0-py3-none-any.whl[fleet]'
"""
OLD, NEW = "0.4.0", "0.4.1"


class Reader:
    """Who types the runbook into one shell. What a block starts with `&` goes on until the end."""

    def __init__(self, folder: Path, changes: dict[str, str]) -> None:
        self._folder, self._changes = folder, changes
        self.metrics: list[str] = []
        self._groups: list[int] = []
        folder.mkdir()
        (folder / ".exported").touch()

    def types(self, script: str) -> str:
        """What it says. Fails when a command does."""
        for said, meant in self._changes.items():
            script = script.replace(said, meant)
        log = self._folder / f"{len(self._groups)}.log"
        whole = f". ./.exported\n{script}\nexport -p > .exported\n"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        with log.open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-euo", "pipefail", "-c", whole],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env={**os.environ, "PATH": path, "COLUMNS": "200"},
            )
        self._groups.append(shell.pid)
        status = shell.wait(200)
        said = log.read_text("utf-8")
        assert status == 0, f"{script}\n--- ended with {status}:\n{said}"
        return said

    def leaves(self) -> None:
        for group in self._groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
        for group in self._groups:
            until(lambda group=group: not _lives(group))  # type: ignore[misc]


def _lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mosquitto") as running:
        yield running


@pytest.fixture
def reader(tmp_path: Path, broker: Mosquitto) -> Iterator[Reader]:
    changes = {
        INSTALL: ":\n",
        "127.0.0.1:1883": f"127.0.0.1:{broker.port}",
        "127.0.0.1:9108": f"127.0.0.1:{free_port()}",
        "127.0.0.1:9109": f"127.0.0.1:{free_port()}",
        "SERVER=/srv/updates": f"SERVER={tmp_path / 'srv'}",
    }
    made = Reader(tmp_path / "desk", changes)
    made.metrics = [changes[address] for address in ("127.0.0.1:9108", "127.0.0.1:9109")]
    try:
        yield made
    finally:
        made.leaves()


def bundles(folder: Path) -> bytes:
    """What the fleet runs, and what a training site hands over: the same content under the next version."""
    content = (BREAST / f"breast-{OLD}.tar").read_bytes()
    (folder / f"breast-{OLD}.tar").write_bytes(content)
    (folder / f"breast-{NEW}.tar").write_bytes(repacked(content, NEW))
    return content


def say_state(link: Link, board: str, bundle: bytes) -> None:
    state = messages.DeviceState(
        online=True,
        reason="connected",
        bundle=f"breast-{OLD}",
        bundle_sha256=sha256(bundle).hexdigest(),
        profile="bundle",
    )
    body = messages.encode("state", state, source=f"/sono/{SITE}/{board}", event_id="x", at=AT)
    link.publish(messages.topic_of(SITE, board, "state"), body)


def is_connected(address: str) -> bool:
    try:
        page = httpx.get(f"http://{address}/metrics", timeout=5.0).text
    except httpx.TransportError:
        return False
    return "sono_fleet_broker_connected 1.0" in page and "sono_fleet_database_up 1.0" in page


@pytest.mark.timeout(600)
def test_a_fleet_manager_reads_it_from_the_top(reader: Reader, broker: Mosquitto, tmp_path: Path) -> None:
    """The fleet's side, the repository, the daily refresh, a release that reaches a board, and the bad night."""
    for block in section("The fleet's side"):
        reader.types(block)
    for address in reader.metrics:
        until(lambda address=address: is_connected(address), seconds=60.0)  # type: ignore[misc]
    desk = tmp_path / "desk"
    for block in section("Once: the repository and its keys"):
        reader.types(block)
    assert (desk / "updates" / "metadata" / "1.root.json").is_file()
    for block in section("Every day, by a timer, on the server"):
        reader.types(block)
    content = bundles(desk)
    where = Endpoint(port=broker.port)
    with Link(where, "boards") as boards:
        for board in BOARDS:
            say_state(boards, board, content)
        assert boards.flush(20.0)
    until(lambda: len(reader.types("sono fleet devices --json").splitlines()) == len(BOARDS), seconds=60.0)
    for block in section("A release"):
        reader.types(block)
    with Link(where, "boards", subscribe=[f"sono/v1/{SITE}/+/desired"]) as boards:
        came: list[bytes] = []

        def order_came() -> bool:
            came.extend(one.body for one in boards.turn(0.05))
            return bool(came)

        until(order_came, seconds=60.0)
    event = messages.decode("desired", came[0])
    board = event.id.split("/")[1]
    order = opened(text_of(event.data), desk / "orders.pub", site=SITE, device=board)
    assert (order.rollout, order.target) == ("r7", f"breast/stable/breast-{NEW}.tar")
    sent = json.loads((tmp_path / "srv" / "metadata" / "timestamp.json").read_text("utf-8"))
    assert sent["signed"]["_type"] == "timestamp"
    assert list((tmp_path / "srv" / "targets").rglob(f"*breast-{NEW}.tar"))
    night(reader)
    keys(reader)


def night(reader: Reader) -> None:
    """What the table of "At two in the morning" says, each as it stands there."""
    (table,) = re.findall(r"^## At two in the morning\n(.*?)^## ", RUNBOOK, re.MULTILINE | re.DOTALL)
    for command in ("rollout pause r7", "rollout back r7", "rollout show r7", "audit show", "rollout stop-all"):
        assert f"sono fleet {command}`" in table
        reader.types(f"sono fleet {command}")
    assert "sono fleet audit verify`" in table
    assert "unbroken" in reader.types("sono fleet audit verify")


def keys(reader: Reader) -> None:
    first, revoke = section("Keys: yearly, and when one is lost")
    listed = reader.types(first)
    assert "root" in listed
    rows = json.loads(reader.types("sono fleet keys list --repository updates --keys keys --json"))["keys"]
    (keyid,) = [row["keyid"] for row in rows if row["key"].startswith("file:breast")]
    reader.types(f"export KEYID={keyid}\n{revoke}")


def test_nothing_in_a_block_is_left_to_be_guessed() -> None:
    for title in re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE):
        for block in section(title):
            assert "…" not in re.sub(r"\s#.*", "", block), title
