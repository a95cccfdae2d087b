"""A site profile on the device: verified before anything runs, in force everywhere, named everywhere."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import typer
from typer.testing import CliRunner

from sono_edge.board import Board
from sono_edge.commands.replay import replay as replay_command
from sono_edge.compose import running
from sono_edge.config import AgentConfig, with_
from sono_edge.outbox import Outbox
from sono_edge.replay import replay
from sono_edge.site_profile import under_profile
from sono_edge.sources import open_source
from sono_edge.uplink import Uplink
from sono_models import bundle
from sono_models.errors import BadConfig, BadProfile, SonoError
from sono_models.profile import Profile, Scaling, apply
from tests.support.alerts import some_vitals
from tests.support.bundles import BREAST
from tests.support.profiles import Files, made_for_breast, signed, written

BUNDLE = bundle.read(BREAST)
TODAY = datetime.now(UTC)


def config(folder: Path, files: Files, *, site: str = "clinic-a") -> AgentConfig:
    return with_(
        AgentConfig(),
        device={"site": site},
        source={"uri": "phantom:7"},
        model={"bundle": str(BREAST), "profile": str(files.profile), "profile_key": str(files.public)},
        view={"enabled": False},
        state={"folder": str(folder / "state")},
    )


def profile(*, threshold: float = 0.02) -> Profile:
    return made_for_breast(threshold=threshold, at=TODAY)


def test_without_a_profile_the_bundle_stands_as_it_is() -> None:
    assert under_profile(BUNDLE, "", "", site="clinic-a") == (BUNDLE, "bundle")


def test_the_agent_runs_under_the_profile_and_says_so(tmp_path: Path) -> None:
    sites = profile(threshold=0.42)
    files = written(tmp_path, signed(sites))
    with running(config(tmp_path, files)) as agent:
        assert agent.parts.pipeline.threshold == apply(BUNDLE.manifest, sites).law.t_hi != BUNDLE.manifest.law.t_hi
        said = agent.parts.told.profile
        assert said.startswith("clinic-a-1.2.0@")
        assert agent.vitals().profile == agent.totals()["profile"] == said
        assert agent.parts.told.shown == f"breast {BUNDLE.manifest.version}, site profile clinic-a-1.2.0"


@pytest.mark.parametrize(
    ("content", "site", "words"),
    [
        (signed(profile()), "clinic-b", "made for site 'clinic-a'"),
        (signed(made_for_breast(at=TODAY - timedelta(days=400))), "clinic-a", "expired"),
        (signed(profile())[:-20], "clinic-a", "not a signed file"),
        (
            signed(
                msgspec.structs.replace(profile(), bundle=msgspec.structs.replace(profile().bundle, version="9.0.0"))
            ),
            "clinic-a",
            "made for bundle breast 9.0.0",
        ),
    ],
)
def test_the_agent_does_not_start_on_a_profile_that_may_not_be_used(
    tmp_path: Path, content: bytes, site: str, words: str
) -> None:
    files = written(tmp_path, content)
    with pytest.raises(BadProfile, match=words), running(config(tmp_path, files, site=site)):
        pytest.fail("it started")
    assert not (tmp_path / "state").exists()


def test_the_alerts_of_a_replay_name_the_profile(tmp_path: Path) -> None:
    """With a calibration that lifts every score the phantom's tissue is enough for an alert."""
    lifted = msgspec.structs.replace(profile(), calibration={"malignant": Scaling(1.0, 10.0)})
    files = written(tmp_path, signed(lifted))
    under, said = under_profile(BUNDLE, str(files.profile), str(files.public), site=None)
    lines = replay(open_source("phantom:7"), under, "onnx", frames=9, profile=said)
    assert {line["alert"]["profile"] for line in lines if "alert" in line} == {said}


def test_the_retained_state_names_the_profile_of_the_last_vitals(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", "clinic-a", "board-1")
    with outbox, Uplink(AgentConfig(), outbox, Board(tmp_path), threading.Event()) as uplink:
        assert uplink._device_state(online=True, reason="").profile == ""
        outbox.put_vitals(msgspec.structs.replace(some_vitals(), profile="clinic-a-1.2.0@0123456789ab"))
        assert uplink._device_state(online=True, reason="").profile == "clinic-a-1.2.0@0123456789ab"


def test_the_commands_take_a_profile_with_its_key_or_none(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(replay_command)
    files, out = written(tmp_path, signed(profile())), tmp_path / "out.jsonl"
    given = ["phantom:7", "--bundle", str(BREAST), "--out", str(out), "--frames", "12", "--profile", str(files.profile)]
    alone = CliRunner().invoke(app, given)
    assert isinstance(alone.exception, BadConfig)
    assert CliRunner().invoke(app, [*given, "--profile-key", str(files.public)]).exception is None
    assert all("frame" in json.loads(line) or "alert" in json.loads(line) for line in out.read_text().splitlines())
    wrong = CliRunner().invoke(app, [*given, "--profile-key", str(files.profile)])
    assert isinstance(wrong.exception, SonoError)


def test_an_agent_without_a_profile_loads_nothing_that_verifies() -> None:
    program = (
        "import sys, sono_edge.compose, sono_edge.commands.run, sono_edge.commands.replay\n"
        "from sono_edge.site_profile import under_profile\n"
        "under_profile(None, '', '', site='a')\n"
        "verifying = ('securesystemslib', 'cryptography', 'sono_models.profile')\n"
        "print([name for name in sys.modules if name.startswith(verifying)])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
