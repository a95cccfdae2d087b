"""Publishing and the keys: what is refused, what lies where, and that a failed change leaves no trace."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, Targets
from typer.testing import CliRunner, Result

from sono_edge.bench.tamper.stand_in import stand_in
from sono_fleet.commands import app
from sono_fleet.publish import releases
from sono_models import bundle
from sono_models.command import main
from sono_models.errors import BadBundle, BadConfig
from tests.support.bundles import BREAST
from tests.support.updates import BUNDLES, NOW, Fleet

V1, V2 = BUNDLES["1.0.0"], BUNDLES["1.1.0"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.init()
    return made


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def unchanged(fleet: Fleet, kind: type[Exception], words: str, act: Callable[[], object]) -> None:
    before = everything(fleet.repository)
    with pytest.raises(kind, match=words):
        act()
    assert everything(fleet.repository) == before


def test_the_roles_are_as_designed(fleet: Fleet) -> None:
    root = Metadata.from_bytes((fleet.repository / "metadata" / "1.root.json").read_bytes()).signed
    assert (len(root.roles["root"].keyids), root.roles["root"].threshold) == (3, 2)
    assert root.consistent_snapshot
    targets: Targets = (
        Metadata[Targets].from_bytes((fleet.repository / "metadata" / "1.targets.json").read_bytes()).signed
    )
    assert targets.targets == {}, "it only delegates"
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    assert targets.delegations.roles["breast"].paths == ["breast/stable/*", "breast/beta/*"]
    keys = {key for role in root.roles.values() for key in role.keyids} | set(targets.delegations.keys)
    assert len(keys) == 7, "no two roles share a key"


def test_private_keys_are_their_owners_alone(fleet: Fleet) -> None:
    assert stat.S_IMODE(fleet.keys.stat().st_mode) == 0o700
    found = list(fleet.keys.glob("*.pem"))
    assert len(found) == 7
    assert {stat.S_IMODE(path.stat().st_mode) for path in found} == {0o600}
    (fleet.keys / "timestamp-1.pem").chmod(0o640)
    unchanged(fleet, BadConfig, "chmod 600", fleet.refresh)


def test_what_is_published_lies_under_its_digest(fleet: Fleet) -> None:
    done = fleet.publish(V1)
    assert done.target == "breast/stable/breast-1.0.0.tar"
    assert (fleet.repository / "targets/breast/stable" / f"{done.sha256}.breast-1.0.0.tar").read_bytes() == V1
    with fleet.change() as change:
        assert [one.version for one in releases.published(change)] == ["1.0.0"]


def test_the_bundle_that_ships_can_be_published(fleet: Fleet) -> None:
    with fleet.change() as change:
        done = releases.publish(change, BREAST, "beta")
    assert done.size == bundle.find(BREAST).stat().st_size


def test_the_same_bytes_again_change_nothing(fleet: Fleet) -> None:
    fleet.publish(V1)
    before = everything(fleet.repository)
    assert not fleet.publish(V1).fresh
    assert everything(fleet.repository) == before


def test_a_version_has_one_content(fleet: Fleet) -> None:
    fleet.publish(V1)
    other = stand_in("1.0.0", seed=5)
    unchanged(fleet, BadBundle, "other bytes", lambda: fleet.publish(other))
    unchanged(fleet, BadBundle, "other bytes", lambda: fleet.publish(other, channel="beta"))


def test_a_channel_only_goes_up(fleet: Fleet) -> None:
    fleet.publish(V2)
    unchanged(fleet, BadBundle, "not higher than 1.1.0", lambda: fleet.publish(V1))
    fleet.publish(V1, channel="beta")
    fleet.publish(stand_in("1.10.0"))
    unchanged(fleet, BadBundle, "not higher than 1.10.0", lambda: fleet.publish(stand_in("1.9.9")))


@pytest.mark.parametrize("content", [b"", b"rubbish", V1[:-600], V1[:5000] + b"x" + V1[5001:]])
def test_what_is_no_whole_bundle_is_not_signed(fleet: Fleet, content: bytes) -> None:
    unchanged(fleet, BadBundle, "outgoing.tar", lambda: fleet.publish(content))


def test_models_and_channels_that_nobody_may_sign_for(fleet: Fleet) -> None:
    unchanged(fleet, BadConfig, "fleet delegate lung", lambda: fleet.publish(stand_in("1.0.0", name="lung")))
    unchanged(fleet, BadConfig, "no such channel", lambda: fleet.publish(V1, channel="nightly"))
    unchanged(fleet, BadBundle, "versions MAJOR", lambda: fleet.publish(stand_in("1.0.0-rc1")))
    unchanged(fleet, BadBundle, "names are", lambda: fleet.publish(stand_in("1.0.0", name="../x")))


def test_a_roll_back_is_the_old_content_under_a_new_version(fleet: Fleet, tmp_path: Path) -> None:
    fleet.publish(V1, devices=("cart",))
    fleet.publish(V2)
    with fleet.change() as change:
        done = releases.roll_back(change, "breast", "stable", "1.0.0", "1.1.1")
    path = tmp_path / "again.tar"
    path.write_bytes((fleet.repository / "targets/breast/stable" / f"{done.sha256}.breast-1.1.1.tar").read_bytes())
    again = bundle.read(path)
    path.write_bytes(V1)
    old = bundle.read(path)
    assert again.manifest.version == "1.1.1"
    assert again.manifest.files == old.manifest.files
    role: Targets = Metadata[Targets].from_bytes((fleet.repository / "metadata" / "4.breast.json").read_bytes()).signed
    assert role.targets[done.target].custom["devices"] == ["cart"]


@pytest.mark.parametrize(("to", "new", "words"), [("9.9.9", "1.2.0", "1.0.0, 1.1.0"), ("1.0.0", "1.0.5", "not higher")])
def test_a_roll_back_that_is_none(fleet: Fleet, to: str, new: str, words: str) -> None:
    fleet.publish(V1)
    fleet.publish(V2)

    def act() -> None:
        with fleet.change() as change:
            releases.roll_back(change, "breast", "stable", to, new)

    unchanged(fleet, (BadConfig, BadBundle), words, act)  # type: ignore[arg-type]


def test_the_online_keys_alone_refresh(fleet: Fleet) -> None:
    fleet.publish(V1)
    for path in fleet.keys.glob("*.pem"):
        if path.name.partition("-")[0] not in {"snapshot", "timestamp"}:
            path.unlink()
    before = Metadata.from_bytes((fleet.repository / "metadata" / "timestamp.json").read_bytes()).signed
    fleet.now = NOW + timedelta(days=3)
    fleet.refresh()
    after = Metadata.from_bytes((fleet.repository / "metadata" / "timestamp.json").read_bytes()).signed
    assert after.version == before.version + 1
    assert after.expires == before.expires + timedelta(days=3)
    unchanged(fleet, BadConfig, r"needs 1 of 1 keys, 0 are in .*Bring file:breast-1\.pem", lambda: fleet.publish(V2))
    unchanged(fleet, BadConfig, "needs 2 of 3 keys", lambda: fleet.rotate("root"))


def test_two_of_three_root_keys_are_enough(fleet: Fleet) -> None:
    (fleet.keys / "root-2.pem").unlink()
    fleet.rotate("root")
    (fleet.keys / "root-3.pem").unlink()
    unchanged(fleet, BadConfig, r"Bring file:root-2\.pem, file:root-3\.pem", lambda: fleet.rotate("timestamp"))


def test_old_keys_are_put_away_and_revoked_ones_destroyed(fleet: Fleet) -> None:
    fleet.rotate("snapshot")
    fleet.rotate("timestamp", destroy=True)
    assert (fleet.keys / "retired" / "snapshot-1.pem").is_file()
    assert not list(fleet.keys.rglob("timestamp-1.pem"))
    ring = json.loads((fleet.keys / "ring.json").read_bytes())
    assert len(ring["keys"]) == 7


def test_nothing_is_signed_over_what_others_wrote(fleet: Fleet) -> None:
    path = fleet.repository / "metadata" / "1.breast.json"
    tree = json.loads(path.read_bytes())
    tree["signed"]["expires"] = "2099-01-01T00:00:00Z"
    path.write_bytes(json.dumps(tree).encode())
    unchanged(fleet, BadConfig, "not signed by the breast keys", lambda: fleet.publish(V1))


def test_a_change_of_keys_that_a_power_cut_stopped_is_mended(fleet: Fleet) -> None:
    """The new root is there, what the new keys should have signed is not."""
    timestamp, snapshot = (fleet.repository / "metadata" / name for name in ("timestamp.json", "1.snapshot.json"))
    old = {path: path.read_bytes() for path in (timestamp, snapshot)}
    fleet.rotate("snapshot")
    timestamp.write_bytes(old[timestamp])
    (fleet.repository / "metadata" / "2.snapshot.json").unlink()
    fleet.refresh()
    fleet.publish(V1)
    root = Metadata.from_bytes((fleet.repository / "metadata" / "2.root.json").read_bytes()).signed
    md = Metadata.from_bytes((fleet.repository / "metadata" / "3.snapshot.json").read_bytes())
    root.verify_delegate("snapshot", md.signed_bytes, md.signatures)


# The commands


def run(fleet: Fleet, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--repository", str(fleet.repository), "--keys", str(fleet.keys)])


def test_the_commands_from_nothing_to_a_release(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    secret = tmp_path / "words"
    secret.write_text("correct horse\n", encoding="utf-8")
    locked = ("--passphrase-file", str(secret))
    tar = tmp_path / "breast-1.0.0.tar"
    tar.write_bytes(V1)
    made = run(fleet, "init", *locked, "--json")
    assert made.exit_code == 0, made.output
    assert json.loads(made.output)["root"].endswith("1.root.json")
    assert b"ENCRYPTED" in (fleet.keys / "root-1.pem").read_bytes()
    assert b"ENCRYPTED" not in (fleet.keys / "timestamp-1.pem").read_bytes()
    assert isinstance(run(fleet, "publish", str(tar)).exception, BadConfig)
    done = run(fleet, "publish", str(tar), *locked, "--json")
    assert json.loads(done.output)["target"] == "breast/stable/breast-1.0.0.tar"
    assert "nothing changed" in run(fleet, "publish", str(tar), *locked).output
    for role in ("root", "targets", "snapshot", "timestamp"):
        assert run(fleet, "keys", "rotate", role, *locked).exit_code == 0
    assert run(fleet, "keys", "rotate", "model", "--model", "breast", *locked).exit_code == 0
    keys = json.loads(run(fleet, "keys", "list", "--json").output)["keys"]
    assert len(keys) == 7
    stolen = next(key["keyid"] for key in keys if key["role"] == "breast")
    assert json.loads(run(fleet, "keys", "revoke", stolen[:10], *locked, "--json").output)["revoked"] == stolen
    assert run(fleet, "delegate", "lung", *locked).exit_code == 0
    ends = json.loads(run(fleet, "refresh", "--json").output)["expires"]
    assert set(ends) == {"root", "targets", "snapshot", "timestamp", "breast", "lung"}
    assert run(fleet, "refresh", "--role", "root", *locked).exit_code == 0
    back = run(fleet, "roll-back", "breast", "--to", "1.0.0", "--as", "1.0.1", *locked)
    assert back.exit_code == 0, back.output
    listed = CliRunner().invoke(app, ["published", "--repository", str(fleet.repository)]).output
    assert [line.split()[0] for line in listed.splitlines()] == [
        "breast/stable/breast-1.0.0.tar",
        "breast/stable/breast-1.0.1.tar",
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("init",), "in use already"),
        (("keys", "rotate", "model"), "--model"),
        (("keys", "rotate", "president"), "is not root"),
        (("keys", "revoke", "ffffffffffff"), "no key begins so"),
        (("publish", "nowhere.tar"), "no such bundle"),
        (("publish", "x", "--passphrase-file", "nowhere"), "Name a readable file"),
        (("delegate", "breast"), "is a role already"),
        (("refresh", "--role", "president"), "no such role"),
    ],
)
def test_bad_input_is_named(fleet: Fleet, words: tuple[str, ...], said: str) -> None:
    outcome = run(fleet, *words)
    assert outcome.exit_code != 0
    assert said in f"{outcome.output} {outcome.exception}"


def test_a_repository_never_holds_its_keys(tmp_path: Path) -> None:
    fleet = Fleet(tmp_path)
    words = ["init", "--repository", str(fleet.repository), "--keys", str(fleet.repository / "keys")]
    assert "is public" in str(CliRunner().invoke(app, words).exception)


def test_a_token_that_is_not_there_is_said(tmp_path: Path) -> None:
    outcome = run(Fleet(tmp_path), "init", "--root-key", "hsm:2?label=nobody")
    assert isinstance(outcome.exception, BadConfig)
    assert "sonoedge[token]" in str(outcome.exception)
    assert not (tmp_path / "repository").exists()


def test_no_repository_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fleet", "published", "--repository", str(tmp_path / "nowhere")])
    assert caught.value.code == 1
    assert capsys.readouterr().err.startswith("error: ")


def test_changes_at_the_same_time_wait_for_each_other(fleet: Fleet) -> None:
    words = [sys.executable, "-m", "sono_models.command", "fleet", "refresh"]
    words += ["--repository", str(fleet.repository), "--keys", str(fleet.keys)]
    children = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [child.wait(60) for child in children] == [0] * 4
    version = Metadata.from_bytes((fleet.repository / "metadata" / "timestamp.json").read_bytes()).signed.version
    assert version == 5


def test_a_folder_that_takes_nothing_is_said(fleet: Fleet) -> None:
    (fleet.repository / "targets").write_text("in the way", encoding="utf-8")
    unchanged(fleet, BadConfig, "Make it writable", lambda: fleet.publish(V1))
