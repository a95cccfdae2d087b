"""What the page may ask of scans, over HTTP, behind the same door."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest

from sono_edge.scan.sight import Begin, End, KeepNow
from sono_edge.scan.store import Store
from sono_edge.scan.summary import System
from sono_edge.scan.writer import Means, ScanWriter
from sono_edge.view import Capture, EndScan, Seen, StartScan, View
from tests.support.scans import SPEC, screen, sight
from tests.support.waiting import until

OURS = {"X-Sono-View": "1"}
TOKEN = "a-token-of-some-length"


@dataclass
class Page:
    view: View
    scans: ScanWriter
    http: httpx.Client


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    means = Means(Store(tmp_path, 100), SPEC, System("breast 0.0.0"), 0.0)
    with (
        ScanWriter(means) as scans,
        View(port=0, token=TOKEN, scans=scans) as view,
        httpx.Client(base_url=view.url.partition("?")[0], headers={**OURS, "Authorization": f"Bearer {TOKEN}"}) as http,
    ):
        yield Page(view, scans, http)


def test_a_scan_as_the_page_sees_it(page: Page) -> None:
    assert page.http.get("/scan").json()["running"] is False
    assert page.http.get("/scan/ended").status_code == 404
    page.scans.order(Begin("WL-17"))
    page.scans.offer(sight(0.0, picture=screen()))
    page.scans.order(KeepNow())
    until(lambda: page.scans.shown.now.captures)
    now = page.http.get("/scan").json()
    assert (now["running"], now["token"], now["trouble"]) == (True, "WL-17", "")
    assert now["counts"] == {"automatic": 0, "manual": 1, "alert": 0}
    assert now["captures"][0]["id"] == "m001"
    listed = page.http.get("/scan/list").json()["scans"]
    assert [(one["id"], one["running"], one["captures"]) for one in listed] == [(now["id"], True, 1)]
    picture = page.http.get("/scan/captures/m001.png")
    assert picture.headers["content-type"] == "image/png"
    decoded = cv2.imdecode(np.frombuffer(picture.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None
    assert decoded.shape == (360, 480)
    assert page.http.get("/scan/captures/m001-saliency.png").status_code == 200
    page.scans.order(End(4))
    until(lambda: page.scans.shown.ended and page.scans.shown.ended.summary and page.scans.shown.ended.summary.combined)
    ended = page.http.get("/scan/ended").json()
    assert ended["summary"]["ranked"] == ["m001"]
    assert ended["summary"]["combined"]["impression"] == 4
    assert page.http.get("/scan/captures/m001.png").content == picture.content


@pytest.mark.parametrize("name", ["m002.png", "scan.json", "..%2fm001.png", "m001-other.png", "M001.png"])
def test_nothing_else_of_the_folder_can_be_asked_for(page: Page, name: str) -> None:
    page.scans.offer(sight(0.0, picture=screen()))
    page.scans.order(KeepNow())
    until(lambda: page.scans.shown.now.captures)
    assert page.http.get(f"/scan/captures/{name}").status_code == 404


def test_presses_reach_the_agent_checked(page: Page) -> None:
    post = page.http.post
    assert post("/capture").status_code == 204
    assert post("/scan/start", json={"token": "WL_17-a"}).status_code == 204
    assert post("/scan/start", json={}).status_code == 204
    assert post("/scan/end", json={"impression": 3}).status_code == 204
    assert post("/seen", json={"alert": "r-1", "reason": "artefact"}).status_code == 204
    taken = [page.view.commands.get_nowait() for _ in range(5)]
    assert taken == [Capture(), StartScan("WL_17-a"), StartScan(), EndScan(3), Seen("r-1", "artefact")]
    assert post("/scan/start", json={"token": "Rossi Maria"}).status_code == 400
    assert post("/scan/start", json={"token": "x" * 65}).status_code == 400
    assert post("/scan/end", json={"impression": 6}).status_code == 400
    assert post("/seen", json={"alert": None, "reason": "because"}).status_code == 400
    assert page.view.commands.empty()


def test_the_door_is_the_same(page: Page) -> None:
    with httpx.Client(base_url=page.view.url.partition("?")[0], headers=OURS) as stranger:
        for path in ("/scan", "/scan/list", "/scan/captures/m001.png"):
            assert stranger.get(path).status_code == 401
        assert stranger.post("/capture").status_code == 401
