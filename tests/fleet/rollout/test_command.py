"""`sono fleet rollout …` as a manager uses it: tables, JSON, dry runs, one clear line for what cannot be."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sono_fleet.commands import app
from sono_fleet.rollout import releases
from sono_fleet.rollout.fleet import Release
from sono_fleet.rollout.records import Records
from sono_fleet.rollout.words import limits, seconds, wave
from sono_fleet.store import Store
from sono_models.bundle import read
from sono_models.errors import BadConfig, SonoError
from tests.support.bundles import BREAST
from tests.support.profiles import made_for_breast, signed, written
from tests.support.rollouts import Fleet


class Desk:
    """The command line on one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def says(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--database", self._url])
        assert done.exit_code == 0, done.output
        return done.output

    def rows(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.says(*arguments, "--json").splitlines()]

    def refuses(self, *arguments: str) -> str:
        done = CliRunner().invoke(app, [*arguments, "--database", self._url])
        assert isinstance(done.exception, SonoError), done.output
        return str(done.exception)


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    monkeypatch.setenv("COLUMNS", "220")
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        yield Fleet(store, 20)


@pytest.fixture
def desk(fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr("sono_fleet.rollout.command.now", fleet.clock)
    return Desk(f"sqlite:///{tmp_path / 'fleet.sqlite'}")


CREATE = ("rollout", "create", "r1", "--bundle", "breast-0.3.1")


def test_a_roll_out_from_its_making_to_its_end(desk: Desk, fleet: Fleet) -> None:
    rows = desk.rows(*CREATE, "--wave", "10%,soak=1h", "--wave", "100%", "--by", "ana", "--dry-run")
    assert [row["wave"] for row in rows] == ["10%"] * 2 + ["100%"] * 18
    assert desk.rows("rollout", "list") == []
    assert "Roll-out r1 waits" in desk.says(*CREATE, "--wave", "10%,soak=1h", "--wave", "100%", "--by", "ana")
    assert len(desk.rows("rollout", "plan", "r1")) == 20
    assert "is running" in desk.says("rollout", "approve", "r1", "--by", "ben")
    assert "is paused" in desk.says("rollout", "pause", "r1", "--reason", "lunch")
    assert "pause by" in desk.rows("rollout", "list")[0]["reason"]
    desk.says("rollout", "resume", "r1")
    (shown,) = desk.rows("rollout", "show", "r1")
    assert (shown["state"], shown["wave"], shown["plan"]["by"]) == ("running", "10%", "ana")
    assert "breast 0.3.1" in desk.says("rollout", "show", "r1")
    assert "Everything is stopped (1 roll-outs)" in desk.says("rollout", "stop-all", "--reason", "ghosts")
    assert "everything is stopped: ghosts" in desk.says("rollout", "list")
    assert "everything is stopped" in desk.refuses("rollout", "resume", "r1")
    desk.says("rollout", "stop-all", "--release")
    assert "is aborted" in desk.says("rollout", "abort", "r1")
    assert "is going-back" in desk.says("rollout", "back", "r1")
    actions = [row["action"] for row in desk.rows("audit", "show", "--rollout", "r1")]
    assert actions == ["create", "approve", "pause", "resume", "stopped", "abort", "back", "roll-back"]
    assert "unbroken" in desk.says("audit", "verify")
    assert desk.rows("audit", "verify")[0]["ok"] is True
    head = desk.says("audit", "head").strip()
    assert re.fullmatch(r"\d+:[0-9a-f]{64}", head)
    assert "unbroken" in desk.says("audit", "verify", "--expect", head)
    assert "cut off" in desk.refuses("audit", "verify", "--expect", "999:" + "0" * 64)
    assert not Records(fleet.database).one("r1").course.members


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--site", "nowhere"), "names no device that is known"),
        (("--wave", "everyone"), "neither a share nor a tag"),
        (("--wave", "10%,soak=long"), "not a time"),
        (("--wave", "10%,speed=9"), "no setting of a wave"),
        (("--wave", "50%", "--wave", "10%"), "do not grow"),
        (("--wave", "500%"), "<= 100"),
        (("--limit", "shift"), "not KEY:LEAST:MOST"),
        (("--deadline", "0s"), "no deadline"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(desk: Desk, arguments: tuple[str, ...], words: str) -> None:
    before = desk.says("audit", "head")
    assert words in desk.refuses(*CREATE, *arguments)
    assert desk.rows("rollout", "list") == []
    assert desk.says("audit", "head") == before


def test_names_that_are_not_known_are_refused(desk: Desk) -> None:
    assert "not registered" in desk.refuses("rollout", "create", "r1", "--bundle", "breast-9.9.9")
    assert "name at least one of --bundle and --profile" in desk.refuses("rollout", "create", "r1")
    for word in ("plan", "show", "approve", "pause", "resume", "abort", "back"):
        assert "there is none" in desk.refuses("rollout", word, "nothing")
    desk.says(*CREATE)
    assert "r1, which is waiting" in desk.refuses("rollout", "create", "r2", "--bundle", "breast-0.3.1")
    assert "means nothing" in desk.refuses("rollout", "resume", "r1")


def test_a_database_that_is_away_is_one_line(tmp_path: Path) -> None:
    away = Desk(f"sqlite:///{tmp_path}/none/fleet.sqlite")
    assert "unable to open" in away.refuses("rollout", "list")
    assert "only SQLite and PostgreSQL" in Desk("mysql://x/y").refuses("rollout", "list")


def test_tags_sites_and_devices(desk: Desk) -> None:
    assert desk.says("devices", "tag", "demo/d1", "ward", "canary") == "demo/d1: canary, ward\n"
    assert [row["tags"] for row in desk.rows("devices") if row["device"] == "d1"] == [["canary", "ward"]]
    assert "canary" in desk.says("devices")
    assert "Berlin" in desk.says("sites", "set", "demo", "--timezone", "Europe/Berlin", "--window", "Sun 01:00-04:00")
    assert desk.rows("sites", "list")[0]["windows"] == ["Sun 01:00-04:00"]
    assert "Europe/Berlin" in desk.says("sites", "list")
    rows = desk.rows(*CREATE, "--wave", "tag:canary", "--wave", "100%", "--dry-run")
    assert [row["device"] for row in rows if row["wave"] == "tag:canary"] == ["d1"]
    assert rows[0]["not_before"].startswith("2026-03-08T00:00:00")
    assert desk.says("devices", "tag", "demo/d1", "ward", "--remove") == "demo/d1: canary\n"
    assert "never said anything" in desk.refuses("devices", "tag", "demo/x", "ward")


def test_a_bundle_and_a_profile_are_registered(fleet: Fleet, desk: Desk, tmp_path: Path) -> None:
    bundle = read(BREAST)
    manifest = bundle.manifest
    said = f"{manifest.name}-{manifest.version}"
    other = Release("bundle", manifest.name, manifest.version, "elsewhere.tar", "f" * 64, 1)
    releases.add(fleet.database, other, fleet.now, by="ana")
    assert "another sha256" in desk.refuses("releases", "add", str(BREAST))
    made = written(tmp_path, signed(made_for_breast()))
    (row,) = desk.rows("releases", "add", str(made.profile), "--profile-key", str(made.public))
    assert (row["kind"], row["site"], row["bundle"]) == ("profile", "clinic-a", said)
    assert "was registered already" in desk.says(
        "releases", "add", str(made.profile), "--profile-key", str(made.public)
    )
    assert {row["kind"] for row in desk.rows("releases", "list")} == {"bundle", "profile"}
    assert "clinic-a" in desk.says("releases", "list")


def test_a_key_is_made_once_and_kept_to_oneself(tmp_path: Path) -> None:
    out = tmp_path / "desired.pem"
    done = CliRunner().invoke(app, ["rollout", "key", str(out)])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert b"ed25519" in (tmp_path / "desired.pub").read_bytes()
    before = out.read_bytes()
    again = CliRunner().invoke(app, ["rollout", "key", str(out)])
    assert isinstance(again.exception, BadConfig)
    assert out.read_bytes() == before


def test_an_engine_without_a_key_that_signs_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "key.pem"
    bad.write_text("not a key")
    for key in (bad, tmp_path / "none.pem"):
        done = CliRunner().invoke(
            app, ["engine", "--key", str(key), "--database", f"sqlite:///{tmp_path / 'f.sqlite'}"]
        )
        assert isinstance(done.exception, BadConfig), done.output


def test_times_waves_and_limits_as_words() -> None:
    assert [seconds(text) for text in ("90s", "30m", "24h", "7d", "1.5h")] == [90, 1800, 86_400, 604_800, 5400]
    made = wave("tag:ward,deadline=4h,sample=5,max-failures=2,at-once=20,approval", {"soak_s": 60.0})
    assert (made.tag, made.percent, made.soak_s, made.deadline_s) == ("ward", None, 60, 14_400)
    assert (made.sample, made.max_failures, made.at_once, made.approval) == (5, 2, 20, True)
    found = {limit.key: limit for limit in limits(["shift:-0.05:0.05", "agreement:0.95::needed", "mine::3"])}
    assert (found["shift"].least, found["shift"].most) == (-0.05, 0.05)
    assert (found["agreement"].least, found["agreement"].most, found["agreement"].needed) == (0.95, None, True)
    assert (found["mine"].most, found["mine"].kind) == (3, "clinical")
    assert found["latency_ratio"].most == 1.5
