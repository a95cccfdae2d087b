"""Who may say and hear what, at both real brokers with the files that the fleet's side generates."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sono_edge.board import Board
from sono_edge.config import AgentConfig, with_
from sono_edge.outbox import Outbox
from sono_edge.uplink import Uplink
from sono_fleet.identity.authority import a_key, pem_of
from sono_fleet.identity.names import Who
from sono_fleet.identity.rights import HEARD, SAID
from sono_fleet.ingest import Ingest
from sono_fleet.store import Store
from sono_models import messages
from sono_models.errors import BrokerLost
from sono_models.link import Link, Will
from tests.support.alerts import AT, an_alert
from tests.support.authority import Authority as Stranger
from tests.support.identities import Fleet, SecuredBroker, heard, now
from tests.support.waiting import until

pytestmark = pytest.mark.peer
FLEET_HEARS = [f"sono/v1/+/+/{topic}" for topic in SAID]


@pytest.fixture(scope="module", params=["mosquitto", "nats"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as fleet:
        for name in ("a", "b"):
            FILES[name] = fleet.device(name)
        for kind in ("ingest", "engine", "web"):
            FILES[kind] = fleet.service(kind)
        with SecuredBroker(request.param, fleet) as running:
            until(lambda: not running.refuses(FILES["a"]), seconds=60)  # NATS makes its streams for the first one
            yield running


FILES: dict[str, Path] = {}


def topic(device: str, name: str) -> str:
    return f"sono/v1/ward/{device}/{name}"


def said(link: Link, *messages_: tuple[str, bytes]) -> None:
    """Published, and answered: after this, what was let through is on its way. A broker may also hang up."""
    with suppress(BrokerLost):
        for where, body in messages_:
            link.publish(where, body)
        link.flush(5.0)


def test_nobody_comes_in_without_a_certificate_of_ours(broker: SecuredBroker, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path).issue("ward.a")
    both = tmp_path / "both.pem"
    both.write_bytes(stranger.cert.read_bytes() + stranger.key.read_bytes())
    assert broker.refuses(None)
    assert broker.refuses(None, username="ward.a", password="x")
    assert broker.refuses(both)
    assert broker.refuses(broker.fleet.ended(Who("ward", "a")))
    assert broker.refuses(broker.fleet.server())  # a server's certificate is no client's
    assert not broker.refuses(FILES["a"])


def test_a_certificate_of_ours_that_nobody_recorded_has_no_rights(broker: SecuredBroker) -> None:
    key = a_key()
    issued = broker.fleet.authority.client(Who("ward", "ghost"), key.public_key(), 1, now())
    ghost = broker.fleet.write("ghost", issued, pem_of(key))
    with broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest:
        with suppress(BrokerLost), broker.link(ghost, "ghost") as link:
            said(link, (topic("ghost", "alert"), b"boo"))
        with broker.link(FILES["a"], "a") as a:
            said(a, (topic("a", "alert"), b"marker"))
        assert heard(ingest, b"marker") == []


def test_a_board_says_and_hears_what_is_its_own(broker: SecuredBroker) -> None:
    with (
        broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest,
        broker.link(FILES["engine"], "sono-engine") as engine,
        broker.link(FILES["a"], "ward-a-uplink", topic("a", "ack"), topic("a", "desired")) as a,
    ):
        said(a, *((topic("a", name), name.encode()) for name in SAID))
        said(a, (topic("a", "alert"), b"end"))
        came = {(message.topic, message.body) for message in heard(ingest, b"end")}
        assert came == {(topic("a", name), name.encode()) for name in SAID}
        said(ingest, (topic("a", "ack"), b"ack"))
        assert heard(a, b"ack") == []
        said(engine, (topic("a", "desired"), b"desired"))
        assert heard(a, b"desired") == []


def test_a_board_cannot_say_anything_in_anothers_place(broker: SecuredBroker) -> None:
    others = [topic("b", name) for name in (*SAID, *HEARD)]
    forbidden = [*others, *(topic("a", name) for name in HEARD), "sono/v1/other/a/alert", topic("a", "alert/x"), "x"]
    with (
        broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest,
        broker.link(FILES["a"], "ward-a-uplink", topic("a", "ack"), topic("a", "desired")) as a,
        broker.link(FILES["b"], "ward-b-uplink", topic("b", "ack"), topic("b", "desired")) as b,
    ):
        for where in forbidden:
            with broker.link(FILES["a"], "ward-a-uplink") as liar:
                said(liar, (where, b"forged"))
        del a
        said(b, (topic("b", "alert"), b"mark-1"))
        assert heard(ingest, b"mark-1") == []
        said(ingest, (topic("b", "ack"), b"mark-2"))
        assert heard(b, b"mark-2") == []


@pytest.mark.parametrize(
    "wish",
    [topic("b", name) for name in (*SAID, *HEARD)]
    + [
        "#",
        "sono/#",
        "sono/v1/+/+/ack",
        "sono/v1/ward/+/desired",
        "$MQTT/sub/#",
        "+/sub/#",
        "$SYS/#",
        topic("a", "alert"),
    ],
)
def test_a_board_hears_nothing_that_is_anothers(broker: SecuredBroker, wish: str) -> None:
    with (
        broker.link(FILES["ingest"], "sono-ingest") as ingest,
        broker.link(FILES["engine"], "sono-engine") as engine,
        broker.link(FILES["b"], "ward-b-uplink") as b,
    ):
        try:
            with broker.link(FILES["a"], "ward-a-uplink", topic("a", "ack"), wish) as a:
                said(b, *((topic("b", name), b"secret") for name in SAID))
                said(ingest, (topic("b", "ack"), b"secret"))
                said(engine, (topic("b", "desired"), b"secret"))
                said(ingest, (topic("a", "ack"), b"mine"))
                assert heard(a, b"mine") == []
        except BrokerLost:
            pass  # refused aloud is as well


@pytest.mark.parametrize(("of", "comes"), [("a", True), ("b", False)])
def test_a_will_is_bound_as_well(broker: SecuredBroker, of: str, comes: bool) -> None:
    last = Will(topic(of, "state"), b"my last will")
    with broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest:
        with suppress(BrokerLost), broker.link(FILES["a"], "ward-a-uplink", will=last) as a:
            a._client._sock_close()
        with broker.link(FILES["a"], "ward-a-uplink-2") as a:
            came = [message.topic for message in _after(ingest, a, b"marker") if message.body == b"my last will"]
    assert (topic(of, "state") in came) is comes


def _after(ingest: Link, a: Link, marker: bytes) -> list[Any]:
    """Several markers: a will is said when the broker sees that the connection is gone."""
    came = []
    for number in range(5):
        body = marker + str(number).encode()
        said(a, (topic("a", "alert"), body))
        came += heard(ingest, body)
    return came


def test_each_service_of_the_fleet_does_its_own_part_only(broker: SecuredBroker) -> None:
    with (
        broker.link(FILES["a"], "ward-a-uplink", topic("a", "ack"), topic("a", "desired")) as a,
        broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest,
        broker.link(FILES["engine"], "sono-engine") as engine,
        broker.link(FILES["web"], "sono-web") as web,
    ):
        said(ingest, (topic("a", "desired"), b"by ingest"), (topic("a", "alert"), b"by ingest"))
        said(engine, (topic("a", "ack"), b"by engine"), (topic("a", "alert"), b"by engine"))
        said(web, *((topic("a", name), b"by web") for name in (*SAID, *HEARD)))
        with broker.link(FILES["engine"], "sono-engine-2") as again:
            said(again, (topic("a", "desired"), b"mark-1"))
        assert heard(a, b"mark-1") == []
        said(a, (topic("a", "alert"), b"mark-2"))
        assert not [message for message in heard(ingest, b"mark-2") if b"by" in message.body]


def test_a_session_is_nobody_elses(broker: SecuredBroker) -> None:
    """A broker keeps messages for a client id; a board that takes the ingest's gets none of them."""
    with broker.link(FILES["ingest"], "sono-fleet-ingest", *FLEET_HEARS, persistent=True):
        pass
    with broker.link(FILES["b"], "ward-b-uplink") as b:
        said(b, (topic("b", "alert"), b"secret"))
    try:
        with broker.link(FILES["a"], "sono-fleet-ingest", topic("a", "ack"), persistent=True) as thief:
            with broker.link(FILES["b"], "ward-b-uplink") as b:
                said(b, (topic("b", "alert"), b"secret"))
            with broker.link(FILES["ingest"], "sono-other-ingest") as ingest:
                said(ingest, (topic("a", "ack"), b"mine"))
            assert heard(thief, b"mine") == []
    except BrokerLost:
        pass  # not let in as another is as well


def test_reloads_while_a_service_is_away_harm_nobody(broker: SecuredBroker) -> None:
    with broker.link(FILES["ingest"], "sono-fleet-ingest", *FLEET_HEARS, persistent=True):
        pass
    for number in range(3):
        broker.fleet.device(f"r{number}")
        broker.apply()
        assert not broker.refuses(FILES["a"])
    with broker.link(FILES["ingest"], "sono-fleet-ingest", *FLEET_HEARS, persistent=True) as ingest:
        with broker.link(FILES["b"], "ward-b-uplink") as b:
            said(b, (topic("b", "alert"), b"still here"))
        heard(ingest, b"still here")


def test_revoked_and_enrolled_anew(broker: SecuredBroker) -> None:
    fleet = broker.fleet
    old = fleet.device("c")
    broker.apply()
    _until_taken(broker, old)
    fleet.revoke(Who("ward", "c"))
    broker.apply()
    until(lambda: broker.refuses(old))
    assert not broker.refuses(FILES["a"])
    new = fleet.device("c")
    fleet.authority.revoke(fleet.registry.revoked(), now())
    broker.apply()
    _until_taken(broker, new)
    assert broker.refuses(old)


def _until_taken(broker: SecuredBroker, own: Path) -> None:
    """Let in, with the right to be heard."""
    with broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest:

        def taken() -> bool:
            with suppress(BrokerLost), broker.link(own, "ward-c-uplink") as c:
                said(c, (topic("c", "alert"), b"here"))
                return any(message.body == b"here" for message in ingest.turn(0.3, most=50))
            return False

        until(taken)


def test_alerts_arrive_over_mutual_tls_and_while_the_certificate_is_renewed(
    broker: SecuredBroker, tmp_path: Path
) -> None:
    fleet, own = broker.fleet, tmp_path / "device.pem"
    own.write_bytes(FILES["b"].read_bytes())
    config = with_(
        AgentConfig(),
        device={"site": "ward", "id": "b"},
        broker={
            "host": "127.0.0.1",
            "port": broker.port,
            "tls_ca": str(fleet.ca),
            "tls_cert": str(own),
            "tls_key": str(own),
        },
        uplink={"health_s": 0.2, "retry_first_s": 0.1},
        state={"folder": str(tmp_path)},
    )
    stop = threading.Event()
    with (
        Store(f"sqlite:///{tmp_path / 'alerts.sqlite'}") as store,
        Ingest(store, broker.endpoint(FILES["ingest"]), stop, client_id="ingest-9") as ingest,
        Outbox(tmp_path / "outbox.sqlite", "ward", "b") as outbox,
        Uplink(config, outbox, Board(tmp_path), stop) as uplink,
    ):

        def turned(true: Any) -> None:
            for _ in range(600):
                if true():
                    return
                ingest.step()
                uplink.step()
            raise AssertionError(f"{store.count()} committed, {outbox.depth()} wait")

        for track in range(20):
            outbox.add(an_alert(track), AT)
        turned(lambda: store.count() >= 20 and outbox.depth() == 0)
        first = uplink._link
        _renewed(fleet, own)
        for track in range(20, 40):
            outbox.add(an_alert(track), AT)
        turned(lambda: uplink._link not in {first, None} and store.count() >= 40 and outbox.depth() == 0)
        turned(lambda: _certificate_days(store) is not None)
        days = _certificate_days(store)
    assert store.duplicates() >= 0
    assert days is not None
    assert 58 < days < 60


def _renewed(fleet: Fleet, own: Path) -> None:
    held = x509.load_pem_x509_certificate(own.read_bytes())
    key = a_key()
    fingerprint = held.fingerprint(hashes.SHA256()).hex()
    issued = fleet.registry.renew(f"{held.serial_number:x}", fingerprint, key.public_key(), fleet.authority, 59)
    beside = own.with_suffix(".part")
    beside.write_bytes(issued.pem + pem_of(key))
    beside.replace(own)


def _certificate_days(store: Store) -> float | None:
    for row in store.devices():
        if row["health"]:
            days: float | None = messages.decode("health", row["health"].encode()).data.certificate_days
            if days is not None and days > 31:
                return days
    return None


def test_a_revoked_board_that_is_connected_is_not_heard_any_more(broker: SecuredBroker) -> None:
    fleet = broker.fleet
    own = fleet.device("d")
    broker.apply()
    with broker.link(FILES["ingest"], "sono-ingest", *FLEET_HEARS) as ingest, ExitStack() as stack:
        standing: list[Link] = []

        def taken() -> bool:
            stack.close()
            standing[:] = [stack.enter_context(broker.link(own, "ward-d-uplink"))]
            said(standing[0], (topic("d", "alert"), b"before"))
            return any(message.body == b"before" for message in ingest.turn(0.3, most=50))

        until(taken)
        fleet.revoke(Who("ward", "d"))
        broker.apply()
        until(lambda: broker.refuses(own))
        said(standing[0], (topic("d", "alert"), b"after"))
        with broker.link(FILES["a"], "ward-a-uplink") as a:
            said(a, (topic("a", "alert"), b"marker"))
        assert not [message for message in heard(ingest, b"marker") if message.body == b"after"]
