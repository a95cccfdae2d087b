"""Root keys on a PKCS#11 token: SoftHSM stands for a real one, behind the same interface."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sono_edge.updater.run import Outcome
from sono_fleet.commands import app
from tests.support.updates import BUNDLES, Device, Fleet

LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, LABEL = "123456", "sonoedge-test"

pytestmark = [
    pytest.mark.peer,
    pytest.mark.skipif(not LIBRARY.is_file() or shutil.which("pkcs11-tool") is None, reason="softhsm2, opensc"),
]


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Two keys on one token; what `--root-key` calls the first of them, but for its number."""
    (tmp_path / "tokens").mkdir()
    settings = tmp_path / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n", encoding="utf-8")
    monkeypatch.setenv("SOFTHSM2_CONF", str(settings))
    monkeypatch.setenv("PYKCS11LIB", str(LIBRARY))
    monkeypatch.setenv("SONO_TOKEN_PIN", PIN)
    _run("softhsm2-util", "--init-token", "--free", "--label", LABEL, "--pin", PIN, "--so-pin", PIN)
    for number in ("02", "03"):
        key = ("--keypairgen", "--key-type", "EC:prime256v1", "--usage-sign", "--id", number, "--label", number)
        _run("pkcs11-tool", "--module", str(LIBRARY), "--token-label", LABEL, "--login", "--pin", PIN, *key)
    return LABEL


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def sono(fleet: Fleet, *words: str) -> Result:
    outcome = CliRunner().invoke(
        app, [*words, "--repository", str(fleet.repository), "--keys", str(fleet.keys)], catch_exceptions=False
    )
    assert outcome.exit_code == 0, outcome.output
    return outcome


def test_a_root_of_which_a_token_holds_a_key(token: str, tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    sono(fleet, "init", "--root-key", f"hsm:2?label={token}")
    assert "hsm:2" in sono(fleet, "keys", "list").output
    assert sorted(path.name for path in fleet.keys.glob("root-*.pem")) == ["root-1.pem", "root-2.pem"]
    fleet.publish(BUNDLES["1.0.0"])
    root = tmp_path / "root.json"
    shutil.copy(fleet.repository / "metadata" / "1.root.json", root)
    (fleet.keys / "root-2.pem").unlink()  # so that the token must sign: 2 of 3
    sono(fleet, "keys", "rotate", "timestamp")
    sono(fleet, "keys", "rotate", "root", "--new-key", f"hsm:3?label={token}")
    device = Device(tmp_path / "device", root)
    device.folder.mkdir()
    assert device.update(fleet.repository) is Outcome.STAGED
