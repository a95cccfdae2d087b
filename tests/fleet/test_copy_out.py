"""The repository copied out: in which order, again after a cut, and what is refused. With a device that fetches it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sono_edge.updater.refusal import UpdateRefused
from sono_edge.updater.run import Outcome
from sono_fleet.commands import app
from sono_fleet.publish.outlets import Folder, Outlet, outlet
from sono_fleet.publish.outward import TIMESTAMP, copy_out
from sono_models.errors import BadConfig, Unavailable
from tests.support.s3_store import BUCKET, S3Store
from tests.support.update_server import UpdateServer
from tests.support.updates import BUNDLES, NOW, Device, Fleet

V1, V2 = BUNDLES["1.0.0"], BUNDLES["1.1.0"]


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    made = Fleet(tmp_path)
    made.init()
    made.publish(V1)
    return made


class Cut(Exception):
    """The line breaks."""


class Recorded:
    """An outlet in memory that notes its writes, and breaks after some."""

    def __init__(self, breaks_after: int = 10**6) -> None:
        self.said, self.files, self.order = "memory", dict[str, bytes](), list[str]()
        self.breaks_after, self.garbles = breaks_after, False

    def digest(self, path: str) -> str | None:
        return Folder.digest(self, path)  # type: ignore[arg-type]

    def put(self, path: str, content: bytes, cache: str) -> None:
        assert ("immutable" in cache) == (path != TIMESTAMP)
        if len(self.order) == self.breaks_after:
            raise Cut
        self.order.append(path)
        self.files[path] = content[:-1] if self.garbles else content

    def get(self, path: str) -> bytes | None:
        return self.files.get(path)


def everything(folder: Path) -> dict[str, bytes]:
    found = [path for top in ("metadata", "targets") for path in (folder / top).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_targets_go_first_and_the_timestamp_last(fleet: Fleet) -> None:
    fleet.rotate("root")
    fleet.publish(V2)
    there = Recorded()
    done = copy_out(fleet.repository, there, NOW)
    assert there.files == everything(fleet.repository)
    ranks = [_rank(path) for path in there.order]
    assert ranks == sorted(ranks)
    assert there.order[-1] == TIMESTAMP
    roots = [path for path in there.order if path.endswith(".root.json")]
    assert roots == ["metadata/1.root.json", "metadata/2.root.json"]
    assert (done.written, done.skipped) == (len(there.order), 0)


def _rank(path: str) -> int:
    if path.startswith("targets/"):
        return 0
    return {"targets": 2, "root": 3, "snapshot": 4, "timestamp": 5}.get(Path(path).stem.rpartition(".")[2], 1)


def test_a_copy_that_was_cut_off_shows_the_old_state_and_goes_on(fleet: Fleet) -> None:
    there = Recorded()
    copy_out(fleet.repository, there, NOW)
    before = there.files[TIMESTAMP]
    fleet.publish(V2)
    there.order.clear()
    there.breaks_after = 2
    with pytest.raises(Cut):
        copy_out(fleet.repository, there, NOW)
    assert there.files[TIMESTAMP] == before
    there.breaks_after = 10**6
    done = copy_out(fleet.repository, there, NOW)
    assert there.files == everything(fleet.repository)
    assert len(there.order) == len(set(there.order)), "nothing went twice"
    assert done.skipped >= 2
    assert copy_out(fleet.repository, there, NOW).written == 0


def test_what_is_changed_there_is_refused_and_repaired_on_demand(fleet: Fleet) -> None:
    there = Recorded()
    copy_out(fleet.repository, there, NOW)
    (target,) = (path for path in there.files if path.startswith("targets/"))
    there.files[target] = there.files[target][:-1] + b"x"
    with pytest.raises(BadConfig, match=r"another content .* --repair"):
        copy_out(fleet.repository, there, NOW)
    assert copy_out(fleet.repository, there, NOW, repair=True).written == 1
    assert there.files == everything(fleet.repository)


def test_bytes_that_come_back_otherwise_are_noticed(fleet: Fleet) -> None:
    there = Recorded()
    there.garbles = True
    with pytest.raises(Unavailable, match="not what was written"):
        copy_out(fleet.repository, there, NOW)
    assert TIMESTAMP not in there.files


def test_an_older_copy_does_not_go_over_a_newer_one(fleet: Fleet) -> None:
    there = Recorded()
    fleet.refresh()
    copy_out(fleet.repository, there, NOW)
    other = Fleet(fleet.folder / "other")
    other.init()
    with pytest.raises(BadConfig, match="newer"):
        copy_out(other.repository, there, NOW)
    there.files[TIMESTAMP] = b"{}"
    with pytest.raises(BadConfig, match="not metadata"):
        copy_out(fleet.repository, there, NOW)


def test_what_is_not_whole_here_does_not_go_out(fleet: Fleet) -> None:
    there = Recorded()
    with pytest.raises(BadConfig, match="refresh"):
        copy_out(fleet.repository, there, NOW + timedelta(days=8))
    (target,) = (fleet.repository / "targets").rglob("*.tar")
    target.write_bytes(V2)
    with pytest.raises(BadConfig, match="not what was signed"):
        copy_out(fleet.repository, there, NOW)
    with pytest.raises(BadConfig, match="no repository"):
        copy_out(fleet.folder / "nothing", there, NOW)
    assert not there.files


def test_into_a_folder_by_command(fleet: Fleet, tmp_path: Path) -> None:
    to = tmp_path / "web"
    arguments = ["copy-out", "--repository", str(fleet.repository), "--to", str(to), "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["timestamp"] >= 1
    assert everything(to) == everything(fleet.repository)
    with UpdateServer(to) as server:
        assert _device(fleet, tmp_path, server.url).update() is Outcome.STAGED


@pytest.mark.parametrize(
    ("to", "endpoint", "words"),
    [
        ("ftp://x/y", "", "neither"),
        ("s3:///x", "", "names no bucket"),
        ("folder", "https://x", "goes with s3"),
        ("s3://b/x", "x", "not https"),
        ("s3://b/x", "http://store.example.org", "not encrypted"),
    ],
)
def test_a_place_that_cannot_be_is_refused(to: str, endpoint: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        outlet(to, endpoint)


def _part_of(device: Device) -> Path:
    """Where a run that was cut off left what it had."""
    return device.state / "slots" / "incoming" / f"{sha256(V1).hexdigest()}.part"


def _spent(device: Device) -> int:
    """Bytes that it took off the network."""
    return int(json.loads((device.state / "update-budget.json").read_bytes())["bytes"])


def _device(fleet: Fleet, folder: Path, url: str) -> Device:
    made = Device(folder / "device", fleet.repository / "metadata" / "1.root.json", url)
    made.folder.mkdir(parents=True, exist_ok=True)
    made.order(V1, "1.0.0")
    return made


# A real store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    with S3Store(tmp_path_factory.mktemp("s3")) as running:
        yield running


@pytest.fixture
def place(store: S3Store, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A prefix of this test's own."""
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)
    return f"fleet-{abs(hash(request.node.name)) % 10**8}"


@pytest.mark.peer
@pytest.mark.timeout(120)
def test_a_device_updates_from_an_s3_store_and_a_cut_download_goes_on(
    fleet: Fleet, tmp_path: Path, store: S3Store, place: str
) -> None:
    arguments = ["copy-out", "--repository", str(fleet.repository), "--endpoint", store.endpoint, "--json"]
    to = ["--to", f"s3://{BUCKET}/{place}"]
    done = CliRunner().invoke(app, [*arguments, *to])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["written"] == len(everything(fleet.repository))
    again = CliRunner().invoke(app, [*arguments, *to])
    assert json.loads(again.output)["written"] == 0
    device = _device(fleet, tmp_path, f"{store.url}/{place}")
    half = len(V1) // 2
    part = _part_of(device)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(V1[:half])
    assert device.update() is Outcome.STAGED
    assert device.staged == V1
    assert _spent(device) < len(V1) - half + 40_000, "the first half was not fetched again"


@pytest.mark.peer
@pytest.mark.timeout(120)
def test_an_object_that_was_changed_in_the_store_is_taken_by_nobody(
    fleet: Fleet, tmp_path: Path, store: S3Store, place: str
) -> None:
    there = outlet(f"s3://{BUCKET}/{place}", store.endpoint)
    copy_out(fleet.repository, there, NOW)
    (target,) = (path for path in everything(fleet.repository) if path.startswith("targets/"))
    there.put(target, V1[:-1] + bytes((V1[-1] ^ 1,)), "no-cache")
    device = _device(fleet, tmp_path, f"{store.url}/{place}")
    with pytest.raises(UpdateRefused, match="not what was signed"):
        device.update()
    assert device.staged is None
    with pytest.raises(BadConfig, match="--repair"):
        copy_out(fleet.repository, there, NOW)
    assert copy_out(fleet.repository, there, NOW, repair=True).written == 1
    device = _device(fleet, tmp_path / "second", f"{store.url}/{place}")
    assert device.update() is Outcome.STAGED


@pytest.mark.peer
@pytest.mark.timeout(120)
def test_who_may_not_write_is_told_so(
    fleet: Fleet, store: S3Store, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: Outlet = outlet(f"s3://{BUCKET}/{place}", store.endpoint)
    monkeypatch.setitem(os.environ, "AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(BadConfig, match="does not let us"):
        copy_out(fleet.repository, outlet(f"s3://{BUCKET}/{place}", store.endpoint), NOW)
    copy_out(fleet.repository, there, NOW)
