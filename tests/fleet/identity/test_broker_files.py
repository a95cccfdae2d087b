"""The configurations: what is checked in is what the command makes, and every right is in both or in neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from sono_fleet.identity import applying, brokers
from sono_fleet.identity.names import Who, a_service
from sono_fleet.identity.rights import HEARD, SAID, Holder, Rights, of_service
from sono_fleet.ingest import SUBSCRIBED
from sono_models.errors import BadConfig

EXAMPLE = Path(__file__).resolve().parents[3] / "deploy" / "broker" / "example"
ETC = Path("/etc/sonoedge/broker")


def example() -> dict[str, str]:
    """Two boards of one site and three services, on a broker of Debian's."""
    site = brokers.Site(
        folder=ETC,
        data=Path("/var/lib/sonoedge-broker"),
        authority=ETC / "ca.pem",
        revoked=ETC / "crl.pem",
        certificate=ETC / "broker.example.pem",
        key=ETC / "broker.example.key",
    )
    who = [
        Who("clinic", "board-1"),
        Who("clinic", "board-2"),
        *(a_service(kind) for kind in ("ingest", "engine", "web")),
    ]
    holders = [Holder(one, (one.uri("5f1d"),)) for one in who]
    return {**brokers.mosquitto(site, holders), **brokers.nats(site, holders)}


@pytest.mark.parametrize("name", ["mosquitto.conf", "acl", "nats.conf", "accounts.conf"])
def test_the_example_is_what_is_made(name: str) -> None:
    assert (EXAMPLE / name).read_text("utf-8") == example()[name]


def test_a_board_has_its_own_seven_topics() -> None:
    rights = Holder(Who("clinic", "b"), ()).rights
    assert rights == Rights(
        tuple(f"sono/v1/clinic/b/{name}" for name in SAID), tuple(f"sono/v1/clinic/b/{name}" for name in HEARD)
    )


def test_the_ingest_may_hear_what_it_subscribes_to() -> None:
    assert set(SUBSCRIBED) <= set(of_service("ingest").hears)


def test_who_may_say_nothing_is_told_so_in_nats() -> None:
    """An empty list of what is allowed would allow everything."""
    line = next(line for line in example()["accounts.conf"].splitlines() if "fleet-web" in line)
    assert 'publish: { deny: [">"] }' in line
    line = next(line for line in example()["accounts.conf"].splitlines() if "fleet-engine" in line)
    assert 'subscribe: { deny: [">"] }' in line


def test_a_broker_that_was_not_told_is_told_next_time(tmp_path: Path) -> None:
    files = {"acl": "a"}
    assert applying.write(tmp_path, files) == ["acl"]
    assert applying.write(tmp_path, files) == []
    pid = tmp_path / "broker.pid"
    with pytest.raises(BadConfig, match="there is none"):
        applying.apply(tmp_path, files, pid)
    pid.write_text("never\n")
    with pytest.raises(BadConfig, match="not a process id"):
        applying.apply(tmp_path, files, pid)
    pid.write_text("4194304\n")  # above what Linux gives
    with pytest.raises(BadConfig, match="does not run"):
        applying.apply(tmp_path, files, pid)
    assert not (tmp_path / applying.TOLD).exists()
