"""The view: who may come in, what the stream carries, and that no browser can hold up the frame path."""

from __future__ import annotations

import ast
import inspect
import math
import re
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType

import cv2
import httpx
import msgspec
import numpy as np
import pytest

from sono_edge import gates
from sono_edge.meter import Intervals
from sono_edge.scene import AlertLine, Saliency, State, plain
from sono_edge.view import Press, Seen, SetAI, View
from sono_edge.view.door import Asked, Door, Verdict
from sono_edge.view.live import WATCHERS_MOST
from sono_edge.view.record import overlay, to_jpeg
from sono_edge.view.routes import PRESSES_MOST, read_page
from sono_edge.view.stage import Stage
from sono_models.address import host_of, is_loopback
from sono_models.errors import BadConfig
from sono_models.inputs import Box, Placement
from sono_models.uncertainty import REASONS
from tests.support.scenes import PATIENCE_S, Stream, scene
from tests.support.strings import FORBIDDEN, strings

TOKEN = "a-token-of-some-length"
OURS = {"X-Sono-View": "1"}
NOISE = np.random.default_rng(7).integers(0, 256, (480, 640), np.uint8)
"""A picture that a JPEG cannot make small."""


@pytest.fixture
def view() -> Iterator[View]:
    with View(port=0) as opened:
        yield opened


@pytest.fixture(scope="module")
def quiet() -> Iterator[View]:
    """A view that is shown nothing: one for all tests of single answers."""
    with View(port=0) as opened:
        yield opened


@pytest.fixture
def browser(quiet: View) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=quiet.url, headers=OURS) as client:
        yield client
    take_all(quiet)


def port_of(view: View) -> int:
    port = httpx.URL(view.url).port
    assert port
    return port


def take_all(view: View) -> list[Press]:
    return [view.commands.get_nowait() for _ in range(view.commands.qsize())]


def wait_until(holds: Callable[[], bool]) -> None:
    """For what another thread does and tells nobody."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, "it never came to hold"
        time.sleep(0.01)


def view_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "view"]


# What the stream carries


def test_a_record_holds_the_picture_and_its_own_overlay(view: View) -> None:
    picture = np.tile(np.arange(0, 240, dtype=np.uint8), (60, 1))
    line = AlertLine("d/1/1", 97.0, 0.8, seen=False, active=True)
    with Stream(port_of(view)) as stream:
        view.show(scene(3, picture=picture, state=State.ALERT, box=Box(0.1, 0.2, 0.3, 0.4), alerts=(line,)))
        record = stream.scene()
    values = record.values
    assert (values["frame"], values["state"], values["words"]) == (3, "ALERT", "Look again here")
    assert values["box"] == [0.1, 0.2, 0.3, 0.4]
    assert values["alerts"] == [{"alert": "d/1/1", "ago_s": 3.1, "seen": False, "active": True}]
    assert values["strip"] == [0.1, 0.2, None]
    assert (values["outbox_depth"], values["simulated"], values["threshold"]) == (3, True, 0.6)
    decoded = cv2.imdecode(np.frombuffer(record.jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).max() <= 4


def test_a_scene_without_a_picture_has_an_empty_one(view: View) -> None:
    view.show(scene(state=State.NO_SIGNAL))
    with Stream(port_of(view)) as stream:
        assert stream.scene().jpeg == b""


def test_one_who_comes_later_gets_the_newest_at_once(view: View) -> None:
    for index in range(5):
        view.show(scene(index))
    with Stream(port_of(view)) as stream:
        assert stream.read().values["frame"] == 4


def test_without_scenes_the_stream_says_how_old_the_last_one_is() -> None:
    now = [5.0]
    with View(port=0, clock=lambda: now[0]) as view, Stream(port_of(view)) as stream:
        assert stream.read().values == {"kind": "beat", "age_s": None}
        view.show(scene())
        stream.scene()
        now[0] = 8.5
        ages = [stream.read().values["age_s"] for _ in range(2)]
        assert ages[-1] == 3.5


def test_every_state_and_number_has_json() -> None:
    for state in State:
        values = overlay(scene(state=state, strip=(math.nan,) * 100), 1)
        assert msgspec.json.decode(msgspec.json.encode(values))["strip"] == [None] * 100


def test_a_held_picture_comes_with_its_own_saliency() -> None:
    now = [5.0]
    spot = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    with View(port=0, clock=lambda: now[0]) as view, httpx.Client(base_url=view.url) as browser:
        view.show(scene(1, picture=NOISE))
        assert browser.get("/held").status_code == 404, "not scored"
        view.show(replace(scene(2, picture=NOISE), saliency=Saliency(spot, Placement(0.0, 0.125, 1.0, 0.75))))
        view.show(scene(3, picture=NOISE))
        body = browser.get("/held").content
        (length,) = struct.unpack(">I", body[:4])
        held = msgspec.json.decode(body[4 : 4 + length])
        assert (held["frame"], held["rows"], held["columns"]) == (2, 2, 3)
        assert held["map"] == [0, 51, 102, 153, 204, 255]
        assert held["place"] == [0.0, 0.125, 1.0, 0.75]
        assert body[8 + length :] == to_jpeg(NOISE)
        assert browser.get("/clock").json() == {"now_s": 5.0}
        now[0] = 7.0
        assert browser.get("/held").status_code == 404, "that is not what the one who holds saw"


def test_a_score_has_its_interval_without_work() -> None:
    known = Intervals(lambda score: (score / 2, min(1.0, score * 1.5)))
    assert known.around(0.5) == (0.25, 0.75)
    low, high = known.around(0.0024)
    assert low is not None
    assert high is not None
    assert low <= 0.0024 <= high
    assert Intervals(None).around(0.5) == (None, None)


# No browser holds up the frame path


def test_shows_return_while_a_browser_does_not_read(view: View) -> None:
    shown = threading.Event()

    def show_many() -> None:
        for index in range(1000):
            view.show(scene(index, picture=NOISE))
        shown.set()

    with Stream(port_of(view), buffer=32_768) as stalled:
        frames = threading.Thread(target=show_many, name="frames")
        frames.start()
        assert shown.wait(PATIENCE_S)
        frames.join()
        last = stalled.scene().values
        while last["frame"] != 999:
            last = stalled.scene().values


def test_a_slow_browser_misses_scenes_and_ends_at_the_newest(view: View) -> None:
    scenes = 30
    with Stream(port_of(view), buffer=32_768) as slow, Stream(port_of(view)) as quick:
        for index in range(scenes):
            view.show(scene(index, picture=NOISE))
            while quick.scene().values["frame"] != index:
                pass
        frames = [slow.scene().values["frame"]]
        while frames[-1] != scenes - 1:
            frames.append(slow.scene().values["frame"])
    assert frames == sorted(set(frames))
    assert len(frames) <= 6, "what the kernel held, one that was on its way, and the newest"


def test_a_browser_that_vanishes_is_let_go(view: View) -> None:
    with Stream(port_of(view)):
        wait_until(lambda: view.viewers == 1)
    wait_until(lambda: view.viewers == 0)
    with Stream(port_of(view), buffer=32_768):  # and one that goes with a full buffer
        for index in range(50):
            view.show(scene(index, picture=NOISE))
        wait_until(lambda: view.viewers == 1)
    wait_until(lambda: view.viewers == 0)


def test_nothing_is_encoded_while_nobody_watches(view: View) -> None:
    for index in range(10):
        view.show(scene(index, picture=NOISE))
    assert httpx.get(view.url).status_code == 200
    assert view._stage._encoded == (0, b"")


def test_a_scene_is_encoded_once_for_all() -> None:
    stage = Stage(lambda: 0.0)
    stage.show(scene(picture=NOISE))
    assert stage.newest is not None
    assert stage.record(stage.newest) is stage.record(stage.newest)


def test_more_pages_than_the_device_serves_are_told_so(view: View) -> None:
    streams = [Stream(port_of(view)) for _ in range(WATCHERS_MOST)]
    try:
        for stream in streams:
            stream.__enter__()
        with Stream(port_of(view)) as one_more:
            assert one_more.status == 503
    finally:
        for stream in streams:
            stream.__exit__()


# Beginning and end


def test_a_port_in_use_is_one_clear_line(view: View) -> None:
    before = threading.active_count()
    with pytest.raises(BadConfig, match=rf"^port {port_of(view)}: already in use\. "), View(port=port_of(view)):
        pass
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("host", "port", "thing"),
    [("192.0.2.1", 0, "address '192.0.2.1'"), ("no-such-host.invalid", 0, "address"), ("127.0.0.1", 70000, "port")],
)
def test_an_address_that_cannot_be_is_one_clear_line(host: str, port: int, thing: str) -> None:
    with pytest.raises(BadConfig, match=thing), View(host, port, token=TOKEN):
        pass


def test_leaving_cuts_even_a_stalled_browser_and_leaves_no_thread() -> None:
    with View(port=0) as view, Stream(port_of(view), buffer=32_768):
        for index in range(50):
            view.show(scene(index, picture=NOISE))
        wait_until(lambda: view.viewers == 1)
        view.__exit__()
        assert view_threads() == []
        view.show(scene())  # too late, and harmless
        view.__enter__()  # and once more from the start
    assert view_threads() == []


def test_showing_before_the_start_is_kept_for_the_first_browser() -> None:
    view = View(port=0)
    view.show(scene(41))
    with view, Stream(port_of(view)) as stream:
        assert stream.scene().values["frame"] == 41


# What was pressed


def test_presses_reach_the_agent_in_order(quiet: View, browser: httpx.Client) -> None:
    assert browser.post("/seen", json={"alert": "d/1/2"}).status_code == 204
    assert browser.post("/seen", json={"alert": None}).status_code == 204
    assert browser.post("/ai", json={"on": False}).status_code == 204
    assert take_all(quiet) == [Seen("d/1/2"), Seen(None), SetAI(on=False)]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [("/seen", b"{}", 400), ("/seen", b"not json", 400), ("/ai", b'{"on": 3}', 400), ("/ai", b" " * 5000, 413)],
)
def test_what_is_no_press_is_refused_in_words(
    quiet: View, browser: httpx.Client, path: str, body: bytes, status: int
) -> None:
    answer = browser.post(path, content=body)
    assert answer.status_code == status
    assert answer.text.strip()
    assert quiet.commands.empty()


def test_presses_that_nobody_takes_do_not_pile_up(browser: httpx.Client) -> None:
    answers = [browser.post("/seen", json={"alert": None}).status_code for _ in range(PRESSES_MOST + 1)]
    assert answers == [204] * PRESSES_MOST + [503]


# Who may come in


def test_the_token_opens_and_leaves_the_address() -> None:
    with View(port=0, token=TOKEN) as view:
        root = f"http://127.0.0.1:{port_of(view)}"
        assert view.url == f"{root}/?token={TOKEN}"
        for path in ("/", "/live", "/healthz"):
            refused = httpx.get(root + path)
            assert refused.status_code == 401
            assert "token" in refused.text
        assert httpx.post(root + "/seen", json={"alert": None}, headers=OURS).status_code == 401
        assert httpx.get(root + "/static/live.js").status_code == 200
        assert httpx.get(root + "/healthz", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        with httpx.Client(base_url=root, follow_redirects=True) as browser:
            page = browser.get(f"/?token={TOKEN}")
            assert (page.status_code, str(page.url)) == (200, f"{root}/")
            assert browser.post("/seen", json={"alert": None}, headers=OURS).status_code == 204
            assert browser.get("/healthz").json()["viewers"] == 0


def test_who_is_refused_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with View(port=0, token=TOKEN) as view, Stream(port_of(view)) as stranger:
        view.show(scene(picture=NOISE))
        assert stranger.status == 401
        for _ in range(3):
            assert httpx.get(f"http://127.0.0.1:{port_of(view)}/live?token=wrong").status_code == 401
        assert view.viewers == 0
    said = [line.getMessage() for line in caplog.records if line.levelname == "WARNING"]
    assert said == ["view: a visitor was refused (locked)"]


@pytest.mark.parametrize("path", ["/", "/live", "/held", "/clock", "/healthz", "/scan", "/scan/captures/a001.png"])
@pytest.mark.parametrize("given", [{}, {"Authorization": "Bearer wrong"}, {"Cookie": "sono_view_8780=wrong"}])
def test_whatever_shows_a_picture_is_locked(path: str, given: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with View(port=0, token=TOKEN) as view:
        view.show(replace(scene(picture=NOISE), saliency=Saliency(np.zeros((2, 2), np.float32), Placement(0, 0, 1, 1))))
        answer = httpx.get(f"http://127.0.0.1:{port_of(view)}{path}", headers=given)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"].startswith("text/plain")
    assert len(answer.content) < 200
    assert [line.levelname for line in caplog.records if "refused (locked)" in line.getMessage()] == ["WARNING"]
    assert TOKEN not in caplog.text


def test_the_language_stays_when_the_token_goes() -> None:
    with View(port=0, token=TOKEN) as view:
        assert httpx.get(f"{view.url}&lang=de").headers["location"] == "/?lang=de"
        assert httpx.get(f"{view.url}&lang=//evil").headers["location"] == "/"


def test_bound_wider_there_is_always_a_token() -> None:
    assert "?token=" in View("0.0.0.0").url
    assert View("0.0.0.0").url != View("0.0.0.0").url
    assert View().url == "http://127.0.0.1:8780/"
    assert View("::1", 8781).url == "http://[::1]:8781/"
    with pytest.raises(BadConfig, match="shorter than 8"):
        View(token="short")


def test_a_rebound_name_or_another_page_gets_nothing(view: View) -> None:
    assert httpx.get(view.url, headers={"Host": "evil.example"}).status_code == 403
    assert httpx.post(view.url + "seen", json={"alert": None}).status_code == 403
    assert view.commands.empty()


@dataclass(frozen=True)
class Case:
    verdict: Verdict
    method: str = "GET"
    path: str = "/"
    query: str = ""
    host: str = "127.0.0.1:8780"
    more: tuple[tuple[str, str], ...] = ()


LOCKED_DOOR = Door(TOKEN, local_only=True, port=8780)
COOKIE = f"{LOCKED_DOOR.cookie_name}={LOCKED_DOOR.cookie_value}"


@pytest.mark.parametrize(
    "case",
    [
        Case(Verdict.LOCKED),
        Case(Verdict.LOCKED, query="token=wrong"),
        Case(Verdict.LOCKED, path="/live", query=f"token={TOKEN}"),
        Case(Verdict.FIRST_VISIT, query=f"token={TOKEN}"),
        Case(Verdict.WELCOME, more=(("authorization", f"bearer {TOKEN}"),)),
        Case(Verdict.LOCKED, more=(("authorization", f"Basic {TOKEN}"),)),
        Case(Verdict.WELCOME, path="/live", more=(("cookie", f"other=1; {COOKIE}"),)),
        Case(Verdict.LOCKED, more=(("cookie", COOKIE[:-1]),)),
        Case(Verdict.LOCKED, more=(("cookie", "\x00=;;"),)),
        Case(Verdict.FOREIGN_PAGE, "POST", "/seen", more=(("cookie", COOKIE),)),
        Case(Verdict.WELCOME, "POST", "/seen", more=(("cookie", COOKIE), ("x-sono-view", "1"))),
        Case(Verdict.WELCOME, path="/static/live.js", host="localhost"),
        Case(Verdict.OTHER_HOST, path="/static/live.js", host="127.0.0.1.evil.example:8780"),
        Case(Verdict.OTHER_HOST, host=""),
    ],
)
def test_the_door(case: Case) -> None:
    headers = {"host": case.host, **dict(case.more)}
    assert LOCKED_DOOR.judge(Asked(case.method, case.path, case.query, headers)) is case.verdict


@pytest.mark.parametrize(
    ("header", "local"),
    [
        ("localhost:1", True),
        ("LOCALHOST", True),
        ("[::1]:8780", True),
        ("127.8.9.1", True),
        ("[::1", False),
        ("a", False),
    ],
)
def test_hosts(header: str, local: bool) -> None:
    assert is_loopback(host_of(header)) is local


# The page


def test_every_language_has_every_word() -> None:
    keys = {name: re.findall(r"^ +(\"[^\"]+\"|\w+): ", body, re.MULTILINE) for name, body in strings().items()}
    assert set(keys) == {"en", "de"}
    assert keys["en"] == keys["de"]
    assert len(keys["en"]) > 90


def test_the_page_has_the_words_of_every_state_and_reason() -> None:
    english, german = strings()["en"], strings()["de"]
    for state in State:
        assert f'    {state.name}: "{state.value}",' in english
    why_not = [plain(words.partition(": ")[2]) for words in REASONS]
    for reason in (*spoken_by(gates), *why_not):
        assert f'    "{reason}": ' in english, reason
        assert f'    "{reason}": ' in german, reason
        assert not re.search(FORBIDDEN, reason, re.IGNORECASE)


def spoken_by(module: ModuleType) -> list[str]:
    """The sentences of a module that are no docstrings and need no filling in."""
    tree = ast.parse(inspect.getsource(module))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    silent |= {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in silent]
    said = [node.value for node in constants if isinstance(node.value, str) and " " in node.value.strip()]
    return [words for words in said if words != "no contact: whole probe"]  # the page takes that one apart


def test_answers_carry_the_headers_of_a_closed_page(browser: httpx.Client) -> None:
    for path in ("/", "/static/style.css", "/static/nothing.js", "/healthz"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")


def test_files_outside_of_the_page_are_not_served(browser: httpx.Client) -> None:
    for path in ("/static/../server.py", "/static/%2e%2e%2fserver.py", "/static/"):
        assert browser.get(path).status_code == 404


def test_health_tells_whether_scenes_come() -> None:
    now = [0.0]
    with View(port=0, clock=lambda: now[0]) as view:

        def health() -> dict[str, object]:
            answer: dict[str, object] = httpx.get(view.url + "healthz").json()
            return answer

        assert health() == {"running": False, "state": None, "scene_age_s": None, "viewers": 0}
        view.show(scene())
        assert health() == {"running": True, "state": "SCANNING", "scene_age_s": 0.0, "viewers": 0}
        now[0] = 2.0
        assert health() == {"running": False, "state": "SCANNING", "scene_age_s": 2.0, "viewers": 0}


def test_the_page_diagnoses_nothing_and_fetches_nothing_from_elsewhere() -> None:
    text = "\n".join([*(asset.body.decode() for asset in read_page().values()), *(state.value for state in State)])
    readers = re.compile(
        r'^ +(reader: ".* BI-RADS.*"|impression: \(number\) => `BI-RADS \$\{number\}`),$', re.MULTILINE
    )
    assert len(readers.findall(text)) == 4, "the reader's own category, twice in two languages"
    assert not re.search(FORBIDDEN, readers.sub("", text), re.IGNORECASE)
    assert set(re.findall(r"https?://[^\s\"']+", text)) <= {"http://www.w3.org/2000/svg"}
    assert "Research prototype, not a medical device" in text
