"""The updater over a real web server that fails as real ones do; the order it follows; what it tells the fleet."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from sono_edge.bench.tamper.stand_in import stand_in
from sono_edge.slots.records import Slot
from sono_edge.updater import budget as budget_file
from sono_edge.updater import download
from sono_edge.updater.refusal import REASONS, Code, UpdateRefused
from sono_edge.updater.run import Outcome
from sono_models.desired import FILE
from sono_models.errors import BadConfig, BadOrder, Stopped
from tests.support.authority import Authority
from tests.support.update_server import UpdateServer
from tests.support.updates import BUNDLES, NOW, Device, Fleet
from tests.support.waiting import until

V1, V2 = BUNDLES["1.0.0"], BUNDLES["1.1.0"]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.init()
    fleet.publish(V1)
    fleet.publish(V2, devices=("cart",))
    fleet.publish(stand_in("1.3.0", min_agent="99.0.0"))
    return fleet


@pytest.fixture
def server(published: Fleet) -> Iterator[UpdateServer]:
    with UpdateServer(published.repository) as running:
        yield running


@pytest.fixture
def device(tmp_path: Path, published: Fleet, server: UpdateServer) -> Device:
    made = Device(tmp_path, published.repository / "metadata" / "1.root.json", server.url)
    made.order(V1, "1.0.0")
    return made


def refused(device: Device, code: Code) -> UpdateRefused:
    before = device.staged
    with pytest.raises(UpdateRefused) as caught:
        device.update()
    assert caught.value.code is code, str(caught.value)
    assert device.staged == before
    return caught.value


def part(device: Device) -> Path:
    (found,) = (device.state / "slots" / "incoming").glob("*.part")
    return found


def test_an_order_is_fetched_verified_staged_and_told(device: Device) -> None:
    assert device.update() is Outcome.STAGED
    assert device.staged == V1
    assert device.heard.phases == ["offered", "downloading", "verified"]
    staged = msgspec.json.decode((device.state / "slots" / "staged" / "staged.json").read_bytes())
    assert (staged["rollout"], staged["serial"], staged["version"], staged["size"]) == ("r1", 1, "1.0.0", len(V1))
    assert device.update() is Outcome.DONE
    assert len(device.heard.reports) == 3


def test_without_an_order_nothing_is_asked(device: Device, server: UpdateServer) -> None:
    (device.state / FILE).unlink()
    assert device.update() is Outcome.NOTHING
    assert server.asked == {}


# The way


def test_a_server_that_cuts_is_resumed_where_it_cut(device: Device, server: UpdateServer) -> None:
    server.faults.cut_every = 70_000
    assert device.update() is Outcome.STAGED
    assert device.staged == V1
    target_bytes = sum(len(V1) - int(r[6:-1]) if r else 0 for r in server.ranges)
    assert len([r for r in server.ranges if r]) == len(V1) // 70_000
    assert target_bytes > 0
    assert server.sent < len(V1) + 10_000, "nothing of the target came twice"


def test_a_run_that_gave_up_is_resumed_by_the_next(device: Device, server: UpdateServer) -> None:
    device.settings["retries"] = 0
    server.faults.cut_every = 70_000
    refused(device, Code.UNREACHABLE)
    assert part(device).stat().st_size == 70_000
    assert device.heard.phases[-1] == "downloading"
    server.faults.cut_every = 0
    assert device.update() is Outcome.STAGED
    assert "bytes=70000-" in server.ranges


def test_what_an_earlier_run_left_damaged_is_fetched_again(device: Device, server: UpdateServer) -> None:
    device.settings["retries"] = 0
    server.faults.cut_every = 70_000
    refused(device, Code.UNREACHABLE)
    part(device).write_bytes(bytes(70_000))
    server.faults.cut_every = 0
    assert device.update() is Outcome.STAGED
    assert device.staged == V1


def test_a_part_that_is_too_long_is_dropped(device: Device, server: UpdateServer) -> None:
    device.settings["retries"] = 0
    server.faults.cut_every = 70_000
    refused(device, Code.UNREACHABLE)
    with part(device).open("ab") as file:
        file.write(bytes(len(V1)))
    server.faults.cut_every = 0
    assert device.update() is Outcome.STAGED


def test_a_server_that_cannot_resume_begins_again(device: Device, server: UpdateServer) -> None:
    server.faults.cut_every = 70_000
    device.settings["retries"] = 0
    refused(device, Code.UNREACHABLE)
    server.faults.cut_every, server.faults.no_range = 0, True
    assert device.update() is Outcome.STAGED
    assert device.staged == V1


def test_an_answer_for_another_range_is_not_taken(device: Device, server: UpdateServer) -> None:
    server.faults.cut_every, server.faults.wrong_range = 70_000, True
    refused(device, Code.UNREACHABLE)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_a_no_is_final_for_this_order(device: Device, server: UpdateServer, status: int) -> None:
    server.faults.status = status
    refused(device, Code.ABSENT)
    asked = sum(count for path, count in server.asked.items() if "/targets/" in path)
    assert asked == 1, "a no is not asked again"
    server.faults.status = 0
    before = dict(server.asked)
    assert "not tried again" in str(refused(device, Code.ABSENT))
    assert server.asked == before, "nor by the next run"
    assert device.heard.phases.count("refused") == 1
    device.order(V1, "1.0.0", serial=2)
    assert device.update() is Outcome.STAGED


@pytest.mark.parametrize("status", [500, 502, 503, 429, 408])
def test_what_may_heal_is_tried_again_so_many_times(device: Device, server: UpdateServer, status: int) -> None:
    server.faults.status = status
    device.settings["retries"] = 3
    with pytest.raises(UpdateRefused) as caught:
        device.update()
    assert caught.value.code in {Code.UNREACHABLE, Code.ABSENT}
    assert sum(count for path, count in server.asked.items() if "/targets/" in path) == 4
    server.faults.status = 0
    if caught.value.code is Code.UNREACHABLE:
        assert device.update() is Outcome.STAGED


def test_a_short_trouble_is_not_told(device: Device, server: UpdateServer) -> None:
    server.faults.statuses = [503, 503]
    assert device.update() is Outcome.STAGED
    assert device.heard.phases == ["offered", "downloading", "verified"]


def test_metadata_are_tried_again_too(device: Device, server: UpdateServer) -> None:
    server.faults.where, server.faults.statuses = "/metadata/", [503, 500]
    assert device.update() is Outcome.STAGED


def test_redirects_lead_nowhere(device: Device, server: UpdateServer) -> None:
    server.faults.redirect = "http://127.0.0.1:9/elsewhere"
    refused(device, Code.ABSENT)


@pytest.mark.parametrize("where", ["/metadata/", "/targets/"])
def test_a_server_that_drips_is_left(device: Device, server: UpdateServer, where: str) -> None:
    device.settings |= {"retries": 1, "slowest_bytes_s": 100}
    server.faults.where, server.faults.drip_s = where, 0.001
    refused(device, Code.SLOW)
    server.faults.drip_s = 0.0
    assert device.update() is Outcome.STAGED


@pytest.mark.parametrize("where", ["/metadata/", "/targets/"])
def test_a_server_that_says_nothing_is_left(device: Device, server: UpdateServer, where: str) -> None:
    device.settings |= {"retries": 0, "timeout_s": 0.3}
    server.faults.where, server.faults.silent = where, True
    refused(device, Code.SLOW)


def test_no_server_is_tried_again_by_the_next_run(device: Device, server: UpdateServer) -> None:
    device.url = "http://127.0.0.1:9"
    device.settings["retries"] = 1
    assert "cannot be reached" in str(refused(device, Code.UNREACHABLE))
    refused(device, Code.UNREACHABLE)
    assert device.heard.phases == ["offered", "downloading"], "a trouble that lasts is told once"
    device.url = server.url
    assert device.update() is Outcome.STAGED


def test_a_target_that_is_longer_than_signed_is_cut_off(device: Device, server: UpdateServer) -> None:
    server.faults.swap = lambda content: content + bytes(5_000_000)
    refused(device, Code.OVERSIZED)
    counted = json.loads((device.state / budget_file.FILE).read_text(encoding="utf-8"))["bytes"]
    assert counted < len(V1) + 100_000, "the first byte too many ends it"


def test_a_target_that_stays_short_is_not_taken(device: Device, server: UpdateServer) -> None:
    server.faults.short_by = 10
    device.settings["retries"] = 1
    refused(device, Code.UNREACHABLE)


def test_a_damaged_target_is_given_up_at_the_third_time(device: Device, server: UpdateServer) -> None:
    server.faults.swap = lambda content: bytes(len(content))
    for _ in range(3):
        refused(device, Code.DAMAGED)
    server.faults.swap = None
    assert "not tried again" in str(refused(device, Code.DAMAGED))


def test_a_server_and_a_device_that_know_each_other(device: Device, published: Fleet, tmp_path: Path) -> None:
    """Mutual TLS; a server of another authority is not spoken to, a device without a certificate is not heard."""
    authority = Authority(tmp_path / "ca")
    own, board = authority.issue("server"), authority.issue("board-1")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.cert))
    context.load_cert_chain(own.cert, own.key)
    context.verify_mode = ssl.CERT_REQUIRED
    with UpdateServer(published.repository, context) as server:
        device.url = server.url
        device.settings |= {"retries": 0, "tls_ca": str(authority.cert)}
        refused(device, Code.UNREACHABLE)
        device.settings |= {"tls_cert": str(board.cert), "tls_key": str(board.key)}
        device.settings["tls_ca"] = str(Authority(tmp_path / "other").cert)
        refused(device, Code.UNREACHABLE)
        assert server.asked == {}
        device.settings["tls_ca"] = str(authority.cert)
        assert device.update() is Outcome.STAGED


def test_a_proxy_is_asked_instead(device: Device) -> None:
    shutil.copytree(device.root.parents[1], device.folder / "behind" / "updates")
    with UpdateServer(device.folder / "behind") as proxy:
        device.url, device.settings["proxy"] = "http://127.0.0.1:9/updates", proxy.url
        assert device.update() is Outcome.STAGED
        assert all(path.startswith("http://127.0.0.1:9/updates/") for path in proxy.asked)


def test_a_trouble_that_lasts_is_told_once(device: Device, server: UpdateServer) -> None:
    server.faults.status = 503
    device.settings["retries"] = 0
    for _ in range(3):
        refused(device, Code.UNREACHABLE)
    assert [(report.phase, report.code) for report in device.heard.reports] == [
        ("offered", ""),
        ("downloading", ""),
        ("downloading", "unreachable"),
    ]


# The budget and the disk


def test_the_months_data_are_never_exceeded(device: Device, server: UpdateServer, published: Fleet) -> None:
    spent = device.state / budget_file.FILE
    month = f"{NOW:%Y-%m}"
    device.settings["budget_mb"] = 1
    spent.write_text(json.dumps({"month": month, "bytes": 1_000_000 - 100_000}), encoding="utf-8")
    assert "update.budget_mb" in str(refused(device, Code.BUDGET))
    assert server.sent < 20_000, "what does not fit is not begun"
    spent.write_text(json.dumps({"month": "2020-01", "bytes": 10**9}), encoding="utf-8")
    assert device.update() is Outcome.STAGED
    counted = json.loads(spent.read_text(encoding="utf-8"))
    assert counted["month"] == month
    assert len(V1) < counted["bytes"] < len(V1) + 20_000


def test_a_kill_counts_too_much_rather_than_too_little(tmp_path: Path) -> None:
    path = tmp_path / "budget.json"
    killed = budget_file.Budget(path, 10_000_000, NOW)
    killed.take(1000)
    left = json.loads(path.read_text(encoding="utf-8"))["bytes"]
    assert 1000 <= left <= 1000 + budget_file.AHEAD
    with budget_file.Budget(path, left + 10, NOW) as next_run, pytest.raises(UpdateRefused):
        next_run.take(11)


def test_a_full_disk_is_refused_before_it_is_full(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SPARE", 1 << 60)
    assert "Free some space" in str(refused(device, Code.DISK))
    monkeypatch.undo()
    assert device.update() is Outcome.STAGED


def test_a_disk_that_fills_up_gives_the_room_back(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download, "_to_disk", full)
    refused(device, Code.DISK)
    assert list((device.state / "slots" / "incoming").iterdir()) == []
    monkeypatch.undo()
    assert device.update() is Outcome.STAGED


def test_a_state_folder_that_cannot_be_used_is_said(device: Device) -> None:
    (device.state / "tuf").write_text("in the way", encoding="utf-8")
    with pytest.raises(Stopped, match="tuf"):
        device.update()


def test_what_a_killed_run_left_in_the_cache_is_swept(device: Device) -> None:
    left = device.state / "tuf" / "tmpabc123"
    left.parent.mkdir()
    left.write_bytes(b"half")
    assert device.update() is Outcome.STAGED
    assert not left.exists()


# The order


def test_before_its_time_nothing_is_fetched(device: Device, server: UpdateServer) -> None:
    device.order(V1, "1.0.0", not_before=NOW + timedelta(hours=2))
    assert device.update() is Outcome.NOT_YET
    assert server.asked == {}
    device.now = NOW + timedelta(hours=2, seconds=1)
    assert device.update() is Outcome.STAGED


def test_after_its_deadline_nothing_is_fetched(device: Device, server: UpdateServer) -> None:
    device.now = NOW + timedelta(hours=7)
    refused(device, Code.TOO_LATE)
    assert server.asked == {}
    assert (device.heard.phases, device.heard.code) == (["refused"], "too-late")


def test_what_the_fleet_took_back_is_not_fetched(device: Device, server: UpdateServer) -> None:
    device.order(V1, "1.0.0", cancelled=True)
    refused(device, Code.CANCELLED)
    assert server.asked == {}


def test_what_the_fleet_takes_back_is_not_tried_any_more(device: Device) -> None:
    device.order(V1, "1.0.0")
    assert device.update() is Outcome.STAGED
    device.order(V1, "1.0.0", serial=2, rollout="another", cancelled=True)
    refused(device, Code.CANCELLED)
    assert device.staged == V1
    device.order(V1, "1.0.0", serial=3, cancelled=True)
    with pytest.raises(UpdateRefused) as caught:
        device.update()
    assert caught.value.code is Code.CANCELLED
    assert device.staged is None


def test_a_signed_order_that_was_overtaken_is_not_played_again(device: Device) -> None:
    device.order(V1, "1.0.0", serial=5)
    assert device.update() is Outcome.STAGED
    device.order(V2, "1.1.0", serial=4)
    refused(device, Code.STALE)
    device.order(V1, "1.0.0", serial=5)
    assert device.update() is Outcome.DONE


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"serial": 2, "cancelled": True}, Code.CANCELLED),
        ({"serial": 2, "rollout": "r2"}, Code.SUPERSEDED),
        ({"serial": 2, "rollout": "r2", "cancelled": True}, Code.SUPERSEDED),
    ],
)
def test_a_changed_order_ends_a_download_under_way(
    device: Device, server: UpdateServer, changes: dict[str, object], code: Code
) -> None:
    told = threading.Event()

    def change(sent: int) -> None:
        if sent > 100_000 and not told.is_set():
            told.set()
            device.order(V1, "1.0.0", **changes)
        if told.is_set():
            server._gone.wait(0.05)  # so that the device sees the new order before the last byte

    server.faults.on_bytes = change
    refused(device, code)
    assert server.sent < len(V1)
    assert list((device.state / "slots" / "incoming").iterdir()) == []


def test_a_forged_order_cannot_end_a_download(device: Device, server: UpdateServer) -> None:
    def forge(sent: int) -> None:
        if sent > 9000:
            (device.state / FILE).write_bytes(b"{}")

    server.faults.on_bytes = forge
    assert device.update() is Outcome.STAGED
    with pytest.raises(BadOrder):
        device.update()


def test_a_forged_or_anothers_order_is_refused(device: Device, server: UpdateServer) -> None:
    path = device.state / FILE
    genuine = path.read_bytes()
    path.write_bytes(genuine.replace(b'"sig": "', b'"sig": "00', 1))
    with pytest.raises(BadOrder):
        device.update()
    device.order(V1, "1.0.0", device="board-2")
    with pytest.raises(BadOrder, match="board-2"):
        device.update()
    assert server.asked == {}


@pytest.mark.parametrize(
    ("version", "content", "changes", "code"),
    [
        ("1.0.0", V2, {}, Code.OTHER_TARGET),
        ("1.0.0", V1, {"size": len(V1) + 1}, Code.OTHER_TARGET),
        ("1.0.0", V1, {"size": 13 * 1024 * 1024}, Code.TOO_LARGE),
        ("1.0.0", V1, {"target": "breast/beta/breast-1.0.0.tar"}, Code.CHANNEL),
        ("1.0.0", V1, {"target": "../../etc/passwd"}, Code.CHANNEL),
        ("1.0.0", V1, {"target": "breast/stable/breast-1.1.0.tar"}, Code.CHANNEL),
        ("1.0.0", V1, {"profile_target": "profiles/clinic-a/x.profile.json"}, Code.BAD_PROFILE),
        ("7.7.7", V1, {}, Code.NOT_PUBLISHED),
        ("1.1.0", V2, {}, Code.DEVICE_CLASS),
        ("1.3.0", stand_in("1.3.0", min_agent="99.0.0"), {}, Code.OLD_AGENT),
    ],
)
def test_an_order_that_does_not_fit_is_refused(
    device: Device, server: UpdateServer, version: str, content: bytes, changes: dict[str, object], code: Code
) -> None:
    device.order(content, version, **changes)
    refusal = refused(device, code)
    assert refusal.next_step
    assert device.heard.code == code
    assert not any("/targets/" in path for path in server.asked)


def test_a_bundle_for_this_class_of_device_is_taken(device: Device) -> None:
    device.settings["device_class"] = "cart"
    device.order(V2, "1.1.0")
    assert device.update() is Outcome.STAGED


def test_a_version_that_failed_here_is_never_fetched_again(device: Device, server: UpdateServer) -> None:
    slots = device.state / "slots"
    slots.mkdir()
    kept = {"name": "breast", "version": "1.0.0", "sha256": "", "code": "crash", "reason": "it crashed twice", "at": ""}
    (slots / "refused.json").write_text(json.dumps({"refused": [kept]}), encoding="utf-8")
    assert "it crashed twice" in str(refused(device, Code.FAILED_HERE))
    assert server.asked == {}


def test_what_runs_already_is_not_fetched(device: Device, server: UpdateServer) -> None:
    slots = device.state / "slots"
    slots.mkdir()
    digest = hashlib.sha256(V1).hexdigest()
    slot = Slot("breast", "1.0.0", digest, "active")
    (slots / "current.json").write_bytes(msgspec.json.encode(slot))
    assert device.update() is Outcome.NOT_YET  # on probation: what becomes of it is told by the agent
    (slots / "current.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(slot, place="good")))
    assert device.update() is Outcome.DONE
    assert [report.phase for report in device.heard.reports] == ["good"]
    assert server.asked == {}


def test_the_table_names_every_reason_and_a_next_step() -> None:
    assert set(REASONS) == set(Code)
    assert all(reason.words and reason.next_step for reason in REASONS.values())


# The process


def write_config(device: Device) -> Path:
    config = device.config
    update = {name: getattr(config.update, name) for name in ("root", "url", "desired_key", "retry_first_s")}
    lines = ["[device]", f'site = "{config.device.site}"', f'id = "{config.device.id}"', "[state]"]
    lines += [f'folder = "{device.state}"', "[update]", *(f"{k} = {json.dumps(v)}" for k, v in update.items())]
    path = device.folder / "agent.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def sono(*words: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sono_models.command", *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env={**os.environ, **environment}, **pipes)  # type: ignore[call-overload,no-any-return]


def test_a_killed_updater_goes_on_where_it_was(device: Device, server: UpdateServer) -> None:
    """SIGKILL again and again in the middle of the download; at the end little more than one file was sent."""
    config = str(write_config(device))
    for round_ in range(1, 4):
        reached, limit = threading.Event(), server.sent + 80_000

        def stall(sent: int, limit: int = limit, reached: threading.Event = reached) -> None:
            if sent > limit:
                reached.set()
                server._gone.wait(0.05)

        server.faults.on_bytes = stall
        with sono("updater", "--config", config) as child:
            until(reached.is_set)
            child.send_signal(signal.SIGKILL)
            child.communicate(timeout=20)
        assert device.staged is None, round_
    server.faults.on_bytes = None
    with sono("updater", "--config", config, "--json") as child:
        said, trouble = child.communicate(timeout=60)
    assert child.returncode == 0, trouble
    assert json.loads(said.splitlines()[-1]) == {"outcome": "staged"}
    assert device.staged == V1
    assert server.sent < 2 * len(V1)


def test_a_stopped_updater_ends_and_keeps_what_it_has(device: Device, server: UpdateServer) -> None:
    server.faults.on_bytes = lambda sent: device.stop.set() if sent > 100_000 else None
    with pytest.raises(Stopped):
        device.update()
    assert part(device).is_file()


def test_the_command_refuses_in_one_line_and_fails(device: Device, server: UpdateServer) -> None:
    server.faults.status = 404
    with sono("updater", "--config", str(write_config(device))) as child:
        _, trouble = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "Traceback" not in trouble
    assert trouble.splitlines()[-1].startswith("error: breast/stable/breast-1.0.0.tar: the server says no")


def test_there_is_one_updater_at_a_time(device: Device) -> None:
    with device.run(), pytest.raises(Stopped, match="another one"):
        device.update()


def test_a_board_without_cryptography_verifies_too(device: Device, tmp_path: Path) -> None:
    """The device's base install: securesystemslib's own Ed25519."""
    block = tmp_path / "block"
    block.mkdir()
    (block / "cryptography.py").write_text("raise ImportError('not on this board')\n", encoding="utf-8")
    with sono("updater", "--config", str(write_config(device)), PYTHONPATH=str(block)) as child:
        _, trouble = child.communicate(timeout=60)
    assert child.returncode == 0, trouble
    assert device.staged == V1


def test_the_agent_and_the_uplink_never_load_tuf() -> None:
    code = "import sys, sono_edge.agent, sono_edge.uplink, sono_edge.compose; print('tuf' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert said.strip() == "False"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "http://updates.example.org/x"}, "not encrypted"),
        ({"url": "ftp://updates.example.org"}, "not https"),
        ({"proxy": "proxy"}, "not http://HOST:PORT"),
        ({"tls_cert": "x.pem"}, "go together"),
        ({"retry_first_s": 10.0, "retry_longest_s": 1.0}, "below"),
    ],
)
def test_settings_that_cannot_work_are_refused(device: Device, changes: dict[str, object], words: str) -> None:
    device.settings |= changes
    if "url" in changes:
        device.url = str(device.settings.pop("url"))
    with pytest.raises(BadConfig, match=words):
        device.update()


@pytest.mark.parametrize("name", ["url", "desired_key", "root"])
def test_a_missing_setting_is_named(device: Device, name: str) -> None:
    device.settings[name] = ""
    with pytest.raises(BadConfig, match=f"update.{name}"):
        device.update()


def test_a_stick_takes_the_newest_for_this_channel(device: Device, published: Fleet) -> None:
    device.settings["device_class"] = "cart"
    stick = device.folder / "stick"
    shutil.copytree(published.repository, stick)
    assert "newer agent" in str(refused_from(device, stick))  # 1.3.0 wants one, and is the newest


def refused_from(device: Device, stick: Path) -> UpdateRefused:
    with pytest.raises(UpdateRefused) as caught:
        device.update(stick)
    return caught.value
