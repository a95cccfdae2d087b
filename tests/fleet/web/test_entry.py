"""In and out: log-in, lock-out, sessions, forms that are ours, headers on all that comes out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from sono_fleet.rollout.course import State
from sono_fleet.store import Store
from sono_fleet.tables import accounts, sessions
from sono_fleet.web.accounts import LOCKED_FOR, TRIES
from sono_fleet.web.door import Door, way_back
from sono_fleet.web.identity import NotIn, Role
from sono_fleet.web.server import Listening
from sono_fleet.web.sessions import IDLE, LASTS
from sono_models.errors import BadConfig
from tests.fleet.web.conftest import Served
from tests.support.fleet_page import PASSWORD, QUICK, Visitor, count, page, people, tree
from tests.support.rollouts import START


def test_nobody_sees_anything_without_a_log_in(served: Served) -> None:
    with served.visitor() as visitor:
        for path in ("/devices", "/rollouts/r1", "/audit", "/new-rollout", "/releases", "/burden", "/alerts"):
            answer = visitor.get(path)
            assert (answer.status_code, answer.headers["location"]) == (303, f"/login?to={path.replace('/', '%2F')}")
        for path in ("/api/v1/devices", "/api/v1/rollouts/r1"):
            assert visitor.get(path).status_code == 401
        assert visitor.post("/stop-all", reason="x").status_code == 303
        assert visitor.get("/devices", **{"hx-request": "true"}).headers["hx-redirect"].startswith("/login?to=")
        assert visitor.get("/rollouts/r1/live", accept="text/event-stream").status_code == 401
    assert served.house.records.stopped() == ""


def test_a_log_in_leads_back_to_where_one_was(served: Served) -> None:
    with served.visitor() as visitor:
        answer = visitor.log_in("vera", to="/devices?show=hot")
        assert (answer.status_code, answer.headers["location"]) == (303, "/devices?show=hot")
        cookie = next(one for one in answer.headers.get_list("set-cookie") if one.startswith("sono-fleet="))
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        token = cookie.partition("=")[2].partition(";")[0]
        rows = served.house.database.rows(sa.select(sessions))
        assert len(rows) == 1
        assert token not in str(rows)
        assert visitor.post("/logout").status_code == 303
        assert visitor.get("/devices").status_code == 303
        assert count(served.house.database, sessions) == 0


@pytest.mark.parametrize(
    "said", ["//evil.example/", "https://evil.example", "/\\evil.example", "/a\nb", "x", "/logout", ""]
)
def test_a_way_back_leads_nowhere_else(said: str) -> None:
    assert way_back(said) == "/"


def test_wrong_passwords_lock_a_name_for_a_while(served: Served) -> None:
    with served.visitor() as visitor:
        for _ in range(TRIES):
            answer = visitor.log_in("vera", "not the password")
            assert answer.status_code == 401
            assert "name and password do not fit" in answer.text
        assert "too many wrong passwords" in visitor.log_in("vera").text, "the right one is refused, too"
        served.fleet.passes(LOCKED_FOR.total_seconds() + 1)
        assert visitor.log_in("vera").status_code == 303
    rows = served.house.database.rows(sa.select(accounts).where(accounts.c.name == "vera"))
    assert (rows[0]["failures"], rows[0]["locked_until"]) == (0, None)
    assert rows[0]["secret"].startswith("$argon2id$")


def test_a_name_that_does_not_exist_is_refused_in_the_same_words(served: Served) -> None:
    with served.visitor() as visitor:
        said = {name: [visitor.log_in(name, "x" * 12).text for _ in range(TRIES + 1)] for name in ("vera", "nobody")}
    strip = re.compile(r'value="[0-9a-f]{64}"|vera|nobody')
    assert [strip.sub("", text) for text in said["vera"]] == [strip.sub("", text) for text in said["nobody"]]


def test_a_session_ends_when_idle_and_when_old_and_when_its_account_is_disabled(served: Served) -> None:
    with served.visitor("vera") as visitor:
        served.fleet.passes(IDLE.total_seconds() - 60)
        assert visitor.get("/devices").status_code == 200
        served.fleet.passes(IDLE.total_seconds() + 60)
        assert visitor.get("/devices").status_code == 303
    with served.visitor("vera") as visitor:
        for _ in range(int(LASTS / IDLE) * 2):
            served.fleet.passes(IDLE.total_seconds() / 2)
            last = visitor.get("/devices").status_code
        assert last == 303
    accounts_now = served.house.identity
    with served.visitor("otto") as visitor:
        accounts_now.disable("otto", served.fleet.now, by="test")  # type: ignore[attr-defined]
        assert visitor.get("/devices").status_code == 303
        assert visitor.log_in("otto").status_code == 401


def test_a_form_that_is_not_ours_changes_nothing(served: Served) -> None:
    with served.visitor("anna") as visitor:
        own = visitor.form
        for form in ("", "0" * 64, "ü"):
            visitor.form = form
            for path in ("/stop-all", "/rollouts/r1/say", "/new-rollout", "/logout", "/stop-all/release"):
                answer = visitor.post(path, word="approve", action="make", reason="x")
                assert answer.status_code == 403, path
        visitor.form = own
        assert visitor.post("/rollouts/r1/say", {"sec-fetch-site": "cross-site"}, word="approve").status_code == 403
        long = visitor.post("/stop-all", reason="x" * 70_000)
        assert long.status_code == 413
        with served.visitor("otto") as other:
            visitor.form = other.form
            assert visitor.post("/stop-all", reason="x").status_code == 403, "another's form"
    with httpx.Client(base_url=served.url) as bare:
        answer = bare.post("/login", data={"name": "anna", "password": PASSWORD, "state": "0" * 64})
        assert answer.status_code == 401
    assert served.house.records.stopped() == ""
    assert served.house.records.one("r1").course.state is State.WAITING


def test_every_answer_has_the_headers(served: Served) -> None:
    with served.visitor("vera") as visitor:
        for path in ("/devices", "/login", "/nope", "/static/fleet.css", "/api/v1/devices", "/devices/x/y", "/healthz"):
            answer = visitor.get(path)
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["x-frame-options"] == "DENY"
            assert ("no-store" in answer.headers["cache-control"]) == (not path.startswith("/static"))
            assert "strict-transport-security" not in answer.headers
        with httpx.Client(base_url=served.url, headers={"host": "rebound.example"}) as other:
            assert other.get("/login").status_code == 421


def test_no_page_carries_a_script_or_a_style_of_its_own(served: Served) -> None:
    paths = (
        "/devices",
        "/devices/demo/d1",
        "/rollouts",
        "/rollouts/r1",
        "/new-rollout",
        "/audit",
        "/burden",
        "/alerts",
    )
    with served.visitor("anna") as visitor:
        for path in paths:
            text = visitor.get(path).text
            assert not re.search(r"<script(?![^>]* src=\"/static/)", text), path
            assert " style=" not in text, path
            assert "<style" not in text, path
            assert not re.search(r" on[a-z]+=", text), path
            assert "Research prototype, not a medical device" in text


def test_by_tls_the_cookie_is_secure_and_off_loopback_there_is_no_other_way(tmp_path: Path) -> None:
    assert Door(local_only=True, secure=True).cookie.startswith("__Host-")
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        people(store.database, START)
        with page(store.database, lambda: START, secure=True) as (url, _), Visitor(url) as visitor:
            answer = visitor.get("/login")
            assert "; Secure" in answer.headers["set-cookie"]
            assert answer.headers["strict-transport-security"]
    for host in ("0.0.0.0", "192.0.2.7", "fleet.example"):
        with pytest.raises(BadConfig, match="in clear"):
            Listening(host).check()
        Listening(host, behind_proxy=True).check()
    with pytest.raises(BadConfig, match="one without the other"):
        Listening(certificate=tmp_path).check()
    with pytest.raises(BadConfig, match="no such file"):
        Listening(certificate=tmp_path / "x", key=tmp_path / "y").check()


class Elsewhere:
    """A provider as OpenID Connect would be: it says who somebody is, and nothing of what he may do."""

    def elsewhere(self, state: str) -> str:
        return f"https://login.example/authorize?state={state}"

    def proves(self, proof: Mapping[str, str], at: datetime) -> str:
        assert at == START
        if proof.get("code") != "right":
            raise NotIn("log-in", "the provider did not say so", "Try again")
        return proof["who"]


def test_another_identity_lets_in_only_who_has_an_account_here(tmp_path: Path) -> None:
    with Store(f"sqlite:///{tmp_path / 'fleet.sqlite'}") as store:
        people(store.database, START).add("olga", Role.OPERATOR, None, START, by="test")
        with page(store.database, lambda: START, identity=Elsewhere()) as (url, _), Visitor(url) as visitor:
            there = visitor.get("/login")
            assert there.status_code == 303
            state = there.headers["location"].partition("state=")[2]
            back = f"/login/back?state={state}"
            assert visitor.get(f"{back}&code=wrong&who=olga").status_code == 401
            assert visitor.get("/login/back?state=0&code=right&who=olga").status_code == 401
            assert "has no account here" in visitor.get(f"{back}&code=right&who=stranger").text
            assert visitor.get(f"{back}&code=right&who=olga").status_code == 303
            assert "olga, operator" in visitor.get("/devices").text


def test_an_account_that_comes_from_elsewhere_has_no_password_here(served: Served) -> None:
    from sono_fleet.web.accounts import Accounts  # noqa: PLC0415

    Accounts(served.house.database, QUICK).add("olga", Role.APPROVER, None, START, by="test")
    with served.visitor() as visitor:
        assert visitor.log_in("olga", "").status_code == 401
        assert visitor.log_in("olga", PASSWORD).status_code == 401


def test_programs_are_told_in_json(served: Served) -> None:
    with served.visitor("vera") as visitor:
        answer = visitor.get("/api/v1/rollouts/nope")
        assert answer.status_code == 404
        assert tree(answer)["thing"] == "roll-out nope"
