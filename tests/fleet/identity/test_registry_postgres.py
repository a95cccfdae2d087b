"""The same rules on PostgreSQL, whose transactions do not exclude each other by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from sono_fleet.database import Database
from sono_fleet.identity.authority import Authority, a_key
from sono_fleet.identity.names import Who, a_device
from sono_fleet.identity.registry import Registry
from sono_models.errors import BadOrder
from tests.support.identities import now
from tests.support.postgres import postgres

pytestmark = pytest.mark.peer


def test_a_code_once_and_no_renewal_past_a_revocation(tmp_path: Path) -> None:
    authority, who = Authority.made(tmp_path, "a test's", None, now()), a_device("ward", "b")
    with postgres() as url, Database(url) as database:
        registry = Registry(database, now)
        code, key, got, refused = registry.code(who, 1, "t"), a_key().public_key(), [], []
        together = threading.Barrier(6)

        def ask() -> None:
            together.wait(30)
            try:
                got.append(registry.enrol(code, who, key, authority, 30))
            except BadOrder as problem:
                refused.append(problem.reason)

        _all([ask] * 6)
        assert (len(got), len(refused)) == (1, 5)
        together = threading.Barrier(6)

        def renew() -> None:
            together.wait(30)
            try:
                registry.renew(got[0].serial, got[0].fingerprint, key, authority, 30)
            except BadOrder as problem:
                refused.append(problem.reason)

        def revoke() -> None:
            together.wait(30)
            registry.revoke(Who("ward", "b"), "", "stolen", "t")

        _all([renew] * 3 + [revoke] + [renew] * 2)
        assert {one.standing(now()) for one in registry.all()} == {"revoked"}


def _all(jobs: Sequence[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=job, name=f"job-{number}") for number, job in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
