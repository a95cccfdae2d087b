"""An update from end to end, every part real: signed, published, ordered, fetched, tried, found good; a bad one too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from sono_edge.bench import swap
from sono_edge.bench.candidates import repacked
from sono_edge.bench.live import mjpeg_server
from sono_edge.embedded import EmbeddedBroker
from sono_edge.slots.folder import Slots
from sono_models import bundle
from sono_models.profile import Profile
from tests.support.bundles import BREAST
from tests.support.profiles import KEYS, made_for, signed
from tests.support.update_server import UpdateServer
from tests.support.waiting import until

SONO = [sys.executable, "-m", "sono_models.command"]
LONG_S = 240.0
CONFIG = """\
[device]
site = "clinic"
id = "cart-1"
[source]
uri = "{stream}"
[model]
bundle = "{bundle}"
[view]
enabled = false
[broker]
host = "{broker.host}"
port = {broker.port}
[state]
folder = "{folder}/state"
[scan]
enabled = false
[uplink]
health_s = 1.0
[update]
url = "{updates}"
root = "{folder}/root.json"
desired_key = "{folder}/orders.pub"
profile_key = "{folder}/site.pub"
[trial]
shadow_frames = 12
shadow_per_s = 12
quiet_s = 0.4
probation_s = 0.5
probation_frames = 10
"""


def sono(*words: object) -> list[dict[str, Any]]:
    """What a command prints as JSON, an object a line."""
    said = subprocess.run([*SONO, *map(str, words)], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    return [json.loads(line) for line in said.stdout.splitlines() if line.startswith("{")]


@contextmanager
def child(folder: Path, *words: object) -> Iterator[None]:
    with (folder / f"{words[0]}-{words[1]}.log").open("wb") as log:
        running = subprocess.Popen([*SONO, *map(str, words)], stdout=log, stderr=log)
        try:
            yield
        finally:
            running.terminate()
            assert running.wait(40) == 0


class Fleet:
    """The fleet's commands on one database, and one device's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "agent.toml"
        self.database = f"sqlite:///{folder}/fleet.sqlite"
        self.repository, self.keys = folder / "updates", folder / "keys"

    def release(self, version: str, content: bytes) -> None:
        file = self.folder / f"breast-{version}.tar"
        file.write_bytes(content)
        (published,) = sono("fleet", "publish", file, "--channel", "stable", *self.signing, "--json")
        sono("fleet", "releases", "add", file, "--target", published["target"], "--database", self.database)

    def profile(self, profile: Profile) -> str:
        """Signed by the site's maker, published and registered; what alerts call it."""
        file = self.folder / f"{profile.name}-{profile.version}.profile.json"
        file.write_bytes(signed(profile))
        key = ("--profile-key", self.folder / "site.pub")
        (published,) = sono("fleet", "publish-profile", file, *key, *self.signing, "--json")
        (release,) = sono("fleet", "releases", "add", file, *key, "--database", self.database, "--json")
        assert release["target"] == published["target"]
        return f"{profile.name}-{profile.version}@{published['sha256'][:12]}"

    @property
    def signing(self) -> tuple[object, ...]:
        return "--repository", self.repository, "--keys", self.keys

    def roll_out(self, name: str, version: str, what: str = "--bundle", model: str = "breast") -> None:
        plan = (what, f"{model}-{version}", "--wave", "100%", "--soak", "0s", "--silence", "1h")
        sono("fleet", "rollout", "create", name, *plan, "--database", self.database)
        sono("fleet", "rollout", "approve", name, "--database", self.database)

    def state_of(self, name: str) -> str:
        (shown, *_) = sono("fleet", "rollout", "show", name, "--database", self.database, "--json")
        return str(shown["state"])

    def device(self) -> dict[str, Any] | None:
        found = sono("fleet", "devices", "--database", self.database, "--json")
        return found[0] if found else None


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """A repository with the bundle that ships, a good one and one that misses its golden vectors."""
    made = Fleet(tmp_path)
    sono("fleet", "init", *made.signing, "--model", "breast")
    (tmp_path / "root.json").write_bytes((made.repository / "metadata" / "1.root.json").read_bytes())
    sono("fleet", "rollout", "key", tmp_path / "orders")
    shipped = bundle.read(bundle.find(BREAST))
    made.release(shipped.manifest.version, shipped.path.read_bytes())
    made.release("1.0.1", repacked(shipped, "1.0.1"))
    made.release("1.0.2", repacked(shipped, "1.0.2", "golden"))
    return made


@contextmanager
def running(fleet: Fleet, folder: Path) -> Iterator[swap.Board]:
    """Broker, web server and scanner; ingest, engine, uplink and agent as processes of their own."""
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(folder / "broker"))
        updates = stack.enter_context(UpdateServer(fleet.repository))
        stream = stack.enter_context(mjpeg_server(swap.Stream(), 30.0))
        places = {"stream": stream, "bundle": bundle.find(BREAST), "updates": updates.url, "folder": folder}
        fleet.config.write_text(CONFIG.format(broker=broker, **places), "utf-8")
        store = ("--broker", f"{broker.host}:{broker.port}", "--database", fleet.database)
        stack.enter_context(child(folder, "fleet", "ingest", *store))
        stack.enter_context(child(folder, "fleet", "engine", *store, "--key", folder / "orders", "--every", "0.2"))
        stack.enter_context(child(folder, "uplink", "--config", fleet.config))
        yield stack.enter_context(swap.Board(fleet.config, folder / "agent.log"))


@pytest.mark.timeout(600)
def test_an_update_arrives_and_a_bad_one_does_not(fleet: Fleet, tmp_path: Path) -> None:
    slots = Slots(tmp_path / "state" / "slots")
    with running(fleet, tmp_path) as board:
        until(lambda: (fleet.device() or {}).get("bundle"), seconds=LONG_S)

        fleet.roll_out("forward", "1.0.1")
        until(lambda: _fetched(fleet), seconds=LONG_S)
        until(lambda: fleet.state_of("forward") == "done", seconds=LONG_S)
        assert _judges(slots) == "1.0.1"

        fleet.roll_out("worse", "1.0.2")
        until(lambda: _fetched(fleet), seconds=LONG_S)
        until(lambda: fleet.state_of("worse") in {"back", "going-back"}, seconds=LONG_S)
        assert _judges(slots) == "1.0.1"
        assert "golden" in (slots.refused("breast", "1.0.2") or "")
        assert board.starts == 1
    sono("fleet", "audit", "verify", "--database", fleet.database)


@pytest.mark.timeout(600)
def test_a_site_profile_arrives_and_is_named_and_taken_off(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "site.pub").write_bytes(KEYS.public)
    # the bundle's own cut under the profile's calibration: whatever the board sees, both decide alike
    mine = made_for(bundle.read(BREAST).manifest, threshold=0.1562, at=datetime.now(UTC), site="clinic")
    said = fleet.profile(mine)
    fleet.profile(msgspec.structs.replace(mine, site="another", name="another"))
    with running(fleet, tmp_path) as board:
        until(lambda: (fleet.device() or {}).get("bundle"), seconds=LONG_S)
        known = (fleet.device() or {})["bundle"]

        fleet.roll_out("local", "1.2.0", "--profile", "clinic-a")
        until(lambda: _fetched(fleet), seconds=LONG_S)
        until(lambda: fleet.state_of("local") == "done", seconds=LONG_S)
        until(lambda: (fleet.device() or {}).get("profile") == said, seconds=LONG_S)
        assert (fleet.device() or {})["bundle"] == known
        assert not list((tmp_path / "state" / "slots" / "incoming").glob("*"))

        elsewhere = ["fleet", "rollout", "create", "elsewhere", "--profile", "another-1.2.0"]
        refused = subprocess.run(
            [*SONO, *elsewhere, "--database", fleet.database], capture_output=True, text=True, check=False
        )
        assert refused.returncode != 0
        assert "names no device" in refused.stderr

        sono("fleet", "rollout", "back", "local", "--database", fleet.database)
        until(lambda: _fetched(fleet), seconds=LONG_S)
        until(lambda: fleet.state_of("local") == "back", seconds=LONG_S)
        until(lambda: (fleet.device() or {}).get("profile") == "bundle", seconds=LONG_S)
        assert board.starts == 1


def _judges(slots: Slots) -> str:
    current = slots.current()
    return current.version if current else ""


def _fetched(fleet: Fleet) -> bool:
    """What the timer on a board does."""
    command = [*SONO, "updater", "--config", str(fleet.config), "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return '"staged"' in said.splitlines()[-1] if said else False
