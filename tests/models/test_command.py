"""`sono` from the outside: clear errors, exit statuses, no traceback for a user's mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.bundles import BREAST

SONO = [sys.executable, "-m", "sono_models.command"]


def sono(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SONO, *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_help_lists_each_sides_commands() -> None:
    done = sono("--help")
    assert done.returncode == 0
    for name in ("demo", "run", "replay", "uplink", "bench", "sweep", "fleet", "model"):
        assert f" {name} " in done.stdout
    assert "not a medical device" in " ".join(done.stdout.replace("│", "").split())


def test_show_and_verify_speak_json() -> None:
    shown = json.loads(sono("model", "show", "--json").stdout)
    assert shown["name"] == "breast"
    verified = json.loads(sono("model", "verify", "--json").stdout)
    assert verified["ok"] is True
    assert verified["sha256"] == shown["sha256"]
    assert set(verified["golden_difference"]) == {"onnx", "litert"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("model", "show", "--bundle", "nowhere"), "there is no such bundle"),
        (("replay", "nowhere.mp4"), "there is no such file"),
        (("run", "--source", "nowhere.mp4"), "there is no such file"),
        (("run", "--config", "nowhere.toml"), "nowhere.toml"),
        (("model", "evaluate", "--manifest", "nowhere.csv"), "there is no such file"),
        (("replay", "v4l2:/dev/video0"), "cannot be replayed"),
    ],
)
def test_a_users_mistake_is_one_line_and_a_status(arguments: tuple[str, ...], words: str) -> None:
    done = sono(*arguments)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_bundle_with_a_flipped_bit_starts_nothing(tmp_path: Path) -> None:
    (tar,) = BREAST.glob("*.tar")
    damaged = bytearray(tar.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    bad = tmp_path / tar.name
    bad.write_bytes(damaged)
    done = sono("run", "--bundle", str(bad), "--state", str(tmp_path / "state"), "--port", "0", "--seconds", "1")
    assert done.returncode == 1
    assert "does not match its sha256" in done.stderr
    assert not (tmp_path / "state").exists()


def test_wrong_usage_is_status_two() -> None:
    assert sono("replay").returncode == 2
    assert sono("nonsense").returncode == 2


def test_an_unknown_config_key_is_named_with_the_nearest_known(tmp_path: Path) -> None:
    config = tmp_path / "agent.toml"
    config.write_text("[view]\nprot = 8780\n", "utf-8")
    done = sono("run", "--config", str(config))
    assert done.returncode == 1
    assert "prot" in done.stderr
    assert "port" in done.stderr.replace("prot", "")
