"""A board gets its certificate: real service, real client. Each refusal leaves everything as it was."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from sono_edge.commands.enroll import enroll
from sono_edge.identity import enrolling
from sono_edge.identity.certificate import term
from sono_edge.identity.client import Service
from sono_edge.identity.folder import Identity
from sono_edge.identity.invitation import Invitation, invitation
from sono_fleet.commands import app as fleet_app
from sono_fleet.identity.names import Who, a_device
from sono_fleet.identity.pace import Pace
from sono_fleet.identity.registry import Registry
from sono_fleet.rollout import audit
from sono_models.enrolment import EnrolRequest, RenewRequest
from sono_models.errors import BadConfig, BadOrder, Refused, SonoError, Unavailable
from tests.support.enrolling import Office, office
from tests.support.identities import Fleet, now


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    with Fleet(tmp_path / "fleet") as made:
        yield made


@pytest.fixture
def desk(fleet: Fleet) -> Iterator[Office]:
    with office(fleet) as opened:
        yield opened


def given(desk: Office, code: str) -> Invitation:
    return Invitation(desk.url, code, desk.fleet.authority.fingerprint)


def enrolled(desk: Office, folder: Path, device: str = "b1") -> Identity:
    identity = Identity(folder)
    enrolling.enrol(identity, given(desk, desk.code(device)), "ward", device, now())
    return identity


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def request(key: CertificateIssuerPrivateKeyTypes, name: str = "fleet-engine") -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, algorithm)
    return made.public_bytes(Encoding.PEM).decode()


def test_a_board_gets_its_certificate_and_keeps_its_key(desk: Office, tmp_path: Path) -> None:
    identity = enrolled(desk, tmp_path / "identity")
    assert stat.S_IMODE(identity.own.stat().st_mode) == 0o600
    made = x509.load_pem_x509_certificate(identity.own.read_bytes())
    assert made.subject.rfc4514_string() == "CN=ward.b1,O=SonoEdge device"
    (one,) = desk.fleet.registry.all()
    assert (one.who, one.serial, one.standing(now())) == (Who("ward", "b1"), f"{made.serial_number:x}", "good")
    with desk.fleet.database.reading() as connection:
        assert audit.verify(connection).broken == ""
    entries = audit.newest(desk.fleet.database, 10)
    assert [entry["action"] for entry in entries] == ["enrol-code", "enrol"]
    assert all("PRIVATE" not in entry["body"] for entry in entries)


def test_a_code_is_good_once(desk: Office, tmp_path: Path) -> None:
    code = desk.code()
    enrolling.enrol(Identity(tmp_path / "one"), given(desk, code.lower().replace("-", " ")), "ward", "b1", now())
    with pytest.raises(BadOrder, match="it was used at"):
        enrolling.enrol(Identity(tmp_path / "two"), given(desk, code), "ward", "b1", now())
    assert files(tmp_path / "two") == {}
    assert len(desk.fleet.registry.all()) == 1


def test_of_many_at_once_one_gets_a_certificate(desk: Office) -> None:
    code, key = desk.code(), request(ec.generate_private_key(ec.SECP256R1()))
    pem = desk.fleet.ca.read_text("utf-8")
    together, got, refused = threading.Barrier(8), [], []

    def ask() -> None:
        together.wait(20)
        try:
            got.append(Service(desk.url).enrol(pem, EnrolRequest(code, "ward", "b1", key)))
        except BadOrder as problem:
            refused.append(problem.reason)

    askers = [threading.Thread(target=ask, name=f"asker-{number}") for number in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(60)
    assert (len(got), len(refused)) == (1, 7)
    assert all("used" in reason for reason in refused)
    assert len(desk.fleet.registry.all()) == 1


def test_codes_that_ended_were_replaced_or_never_were(desk: Office, tmp_path: Path) -> None:
    long_ago = Registry(desk.fleet.database, lambda: now() - timedelta(hours=2))
    ended = long_ago.code(a_device("ward", "b1"), 1, "a test")
    replaced, newest = desk.code("b2"), desk.code("b2")
    wrong = [(ended, "b1", "it ended at"), (replaced, "b2", "it ended at"), ("AAAA-BBBB", "b2", "not known")]
    for code, device, words in [*wrong, (newest, "b1", "it is not for ward/b1")]:
        with pytest.raises(BadOrder, match=words):
            enrolling.enrol(Identity(tmp_path / "i"), given(desk, code), "ward", device, now())
    assert files(tmp_path / "i") == {}
    assert desk.fleet.registry.all() == []
    enrolling.enrol(Identity(tmp_path / "i"), given(desk, newest), "ward", "b2", now())


def test_a_server_of_another_authority_never_hears_the_code(desk: Office, tmp_path: Path) -> None:
    code = desk.code()
    wrong = Invitation(desk.url, code, "sha256:" + "0" * 64)
    with pytest.raises(BadOrder, match="not the one that came with the code"):
        enrolling.enrol(Identity(tmp_path / "i"), wrong, "ward", "b1", now())
    assert set(desk.paths) == {"/v1/authority"}
    assert files(tmp_path / "i") == {}


def test_a_server_that_only_shows_the_right_authority_is_left(fleet: Fleet, tmp_path: Path) -> None:
    """It may copy our ca.pem; the certificate of its own TLS is by somebody else."""
    with Fleet(tmp_path / "liar") as liar, office(liar) as lying:
        lying.desk._authority = fleet.authority
        there = Invitation(lying.url, "SECRET", fleet.authority.fingerprint)
        with pytest.raises(BadOrder, match="certificate is not right"):
            enrolling.enrol(Identity(tmp_path / "i"), there, "ward", "b1", now())
        assert set(lying.paths) == {"/v1/authority"}


@pytest.mark.parametrize("years", [-7, 7])
def test_a_clock_years_off_is_told_and_the_code_stays_good(desk: Office, tmp_path: Path, years: int) -> None:
    code = desk.code()
    with pytest.raises(BadConfig, match="this board's clock"):
        enrolling.enrol(Identity(tmp_path / "i"), given(desk, code), "ward", "b1", now() + timedelta(days=365 * years))
    enrolling.enrol(Identity(tmp_path / "i"), given(desk, code), "ward", "b1", now())


@pytest.mark.parametrize("years", [-7, 17])
def test_an_authority_whose_clock_is_years_off_signs_nothing(fleet: Fleet, tmp_path: Path, years: int) -> None:
    off = timedelta(days=365 * years)
    with office(fleet, clock=lambda: now() + off) as desk:
        code = Registry(fleet.database, lambda: now() + off).code(a_device("ward", "b1"), 1, "a test")
        with pytest.raises(SonoError, match="the clock here says"):
            enrolling.enrol(Identity(tmp_path / "i"), given(desk, code), "ward", "b1", now() + off)
    assert fleet.registry.all() == []


def tampered() -> str:
    """Another's key under our signature: whoever sends it does not hold that key."""
    lines = request(ec.generate_private_key(ec.SECP256R1())).splitlines()
    body = bytearray(x509.load_pem_x509_csr("\n".join(lines).encode()).public_bytes(Encoding.DER))
    body[-3] ^= 1
    import base64  # noqa: PLC0415

    return "-----BEGIN CERTIFICATE REQUEST-----\n" + base64.encodebytes(body).decode() + lines[-1] + "\n"


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (tampered(), "its signature is not by its own key"),
        ("nonsense", "cannot be read"),
        ("x" * 9000, "longer than"),
        (request(rsa.generate_private_key(65537, 2048)), "neither a P-256 nor an Ed25519"),
        (request(ec.generate_private_key(ec.SECP384R1())), "a key on secp384r1"),
        (request(ec.generate_private_key(ec.SECP192R1())), "a key on secp192r1"),
    ],
)
def test_a_request_that_is_damaged_or_weak_costs_no_code(desk: Office, pem: str, words: str) -> None:
    code, there = desk.code(), desk.fleet.ca.read_text("utf-8")
    with pytest.raises(Refused, match=words):
        Service(desk.url).enrol(there, EnrolRequest(code, "ward", "b1", pem))
    good = request(ed25519.Ed25519PrivateKey.generate(), "fleet-ingest")
    made = Service(desk.url).enrol(there, EnrolRequest(code, "ward", "b1", good))
    read = x509.load_pem_x509_certificate(made.certificate.encode())
    assert read.subject.rfc4514_string() == "CN=ward.b1,O=SonoEdge device"


def test_who_asks_too_often_waits(fleet: Fleet, tmp_path: Path) -> None:
    with office(fleet, pace=Pace(burst=3, per_minute=1)) as desk:
        for _ in range(3):
            with pytest.raises(BadOrder, match="not known"):
                enrolling.enrol(Identity(tmp_path / "i"), given(desk, "GUESS"), "ward", "b1", now())
        with pytest.raises(Unavailable, match="too many requests"):
            enrolling.enrol(Identity(tmp_path / "i"), given(desk, desk.code()), "ward", "b1", now())


def test_pace_forgets_and_refills() -> None:
    pace = Pace(burst=2, per_minute=60, together=2)
    assert [pace.wait_s("a", 0) for _ in range(2)] == [0, 0]
    assert 0 < pace.wait_s("a", 0) <= 1
    assert pace.wait_s("b", 0) == 0
    assert pace.wait_s("b", 0) == 0
    assert pace.wait_s("c", 0) > 0  # together
    assert pace.wait_s("a", 1.01) == 0
    for number in range(10_000):
        pace.wait_s(str(number), 5.0)
    assert len(pace._buckets) <= 4096


def test_renewal_is_for_the_holder_and_keeps_its_line(desk: Office, tmp_path: Path) -> None:
    identity = enrolled(desk, tmp_path / "identity")
    before = identity.own.read_bytes()
    assert not enrolling.renew(identity, now).renewed
    later = enrolling.renew(identity, lambda: now() + timedelta(days=22))
    assert later.renewed
    assert identity.own.read_bytes() != before
    one, two = sorted(desk.fleet.registry.all(), key=lambda each: each.issued_at)
    assert (one.line, one.standing(now()), two.standing(now())) == (two.line, "good", "good")
    again = Identity(tmp_path / "identity")  # the renewed one renews as well
    assert enrolling.renew(again, now, force=True).renewed


def test_renewal_without_a_certificate_or_with_a_services_is_refused(desk: Office, tmp_path: Path) -> None:
    key = request(ec.generate_private_key(ec.SECP256R1()))
    ca = desk.fleet.ca
    with pytest.raises(Refused, match="no device's"):
        Service(desk.url).renew(ca, desk.fleet.service("ingest"), RenewRequest(key))
    with pytest.raises(SonoError):  # TLS ends it: how it says so differs
        Service(desk.url).renew(ca, desk.fleet.ended(Who("ward", "b1")), RenewRequest(key))
    from sono_models import enrolment  # noqa: PLC0415

    anonymous = Service(desk.url)
    trusting = anonymous._trusting(lambda context: context.load_verify_locations(ca))
    with pytest.raises(Refused, match="no certificate was shown"):
        anonymous._ask(trusting, "POST", enrolment.RENEW, RenewRequest(key), enrolment.Certificate)
    assert tmp_path.exists()


def test_a_revoked_board_is_told_so_and_keeps_its_files(desk: Office, tmp_path: Path) -> None:
    identity = enrolled(desk, tmp_path / "identity")
    before = files(identity.folder)
    desk.fleet.revoke(Who("ward", "b1"))
    with pytest.raises(BadOrder, match=r"revoked at .*: stolen"):
        enrolling.renew(identity, now, force=True)
    assert files(identity.folder) == before
    listed = x509.load_pem_x509_crl((desk.fleet.folder / "ca" / "crl.pem").read_bytes())
    assert [f"{one.serial_number:x}" for one in listed] == [each.serial for each in desk.fleet.registry.all()]


def test_an_ended_certificate_needs_a_new_code(desk: Office, tmp_path: Path) -> None:
    identity = enrolled(desk, tmp_path / "identity")
    with pytest.raises(BadOrder, match=r"it ended at .* Set the clock if it is wrong"):
        enrolling.renew(identity, lambda: now() + timedelta(days=31))
    enrolled(desk, tmp_path / "identity")
    standings = sorted(one.standing(now()) for one in desk.fleet.registry.all())
    assert standings == ["good", "revoked"]  # a board that is enrolled anew loses what it had


def test_a_service_that_is_away_changes_nothing(desk: Office, tmp_path: Path) -> None:
    identity = enrolled(desk, tmp_path / "identity")
    before = files(identity.folder)
    (identity.folder / "enrolment.json").write_text('{"url":"https://127.0.0.1:1","site":"ward","device":"b1"}')
    with pytest.raises(Unavailable):
        enrolling.renew(identity, now, force=True)
    assert identity.own.read_bytes() == before["device.pem"]


def test_renewal_begins_at_a_third_and_is_spread(fleet: Fleet) -> None:
    starts = [term(fleet.device(f"d{number}")) for number in range(12)]
    left = [(each.ends - each.renew_from()) / (each.ends - each.begins) for each in starts]
    assert all(0.8 / 3 - 1e-9 <= share <= 1 / 3 + 1e-9 for share in left)
    assert len(set(left)) == 12


@pytest.mark.parametrize(
    ("url", "code", "fingerprint", "text", "words"),
    [
        ("http://h:1", "A", "sha256:" + "0" * 64, "", "not https://HOST:PORT"),
        ("https://h:99999", "A", "sha256:" + "0" * 64, "", "--url"),
        ("https://h:1", "", "sha256:" + "0" * 64, "", "--code"),
        ("https://h:1", "A", "sha1:00", "", "not sha256"),
        ("", "", "", "WIFI:x", "not the text of an enrolment code"),
        ("https://h:1", "", "", "sono-enrol:?v=1", "it holds url"),
    ],
)
def test_an_invitation_that_is_none(url: str, code: str, fingerprint: str, text: str, words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        invitation(url, code, fingerprint, text)


def test_names_that_no_certificate_carries() -> None:
    with pytest.raises(BadConfig, match="room for 63"):
        a_device("s" * 32, "d" * 32)
    with pytest.raises(BadConfig, match="not 1 to 64"):
        a_device("a.b", "c")
    assert a_device("s" * 31, "d" * 32).common_name


def says(*arguments: str) -> str:
    done = CliRunner().invoke(fleet_app, list(arguments))
    assert done.exit_code == 0, done.output + repr(done.exception)
    return done.output


def refused(*arguments: str) -> str:
    done = CliRunner().invoke(fleet_app, list(arguments))
    assert isinstance(done.exception, SonoError), done.output
    return str(done.exception)


def test_the_authoritys_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    phrase, lock = tmp_path / "phrase", ("--passphrase-file", "phrase")
    phrase.write_text("a long one\n")
    made = json.loads(says("ca", "init", *lock, "--json"))
    assert "holds an authority already" in refused("ca", "init", *lock)
    assert "passphrase is wrong or missing" in refused("ca", "server", "--name", "broker.test")
    says("ca", "server", "--name", "127.0.0.1", "--out", "srv", *lock)
    says("ca", "service", "ingest", "--number", "2", "--out", "srv", *lock)
    assert "there is none of that name" in refused("ca", "service", "boss", *lock)
    assert made["fingerprint"] in says("ca", "show")
    assert stat.S_IMODE((tmp_path / "srv/fleet-ingest-2.key").stat().st_mode) == 0o600


def test_the_commands_from_a_code_to_a_revoked_board(
    fleet: Fleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    at = ("--ca", str(fleet.folder / "ca"), "--database", fleet.url)
    with office(fleet) as desk:
        shown = says("enroll", "code", "--site", "ward", "--device", "b1", "--url", desk.url, "--qr", *at)
        assert "█" in shown
        (text,) = [line for line in shown.splitlines() if line.startswith("sono-enrol:")]
        (tmp_path / "agent.toml").write_text('[device]\nsite = "ward"\nid = "b1"\n')
        enroll(tmp_path / "agent.toml", "", "", "", text, None, renew=False, now=False, as_json=False)
        own = tmp_path / "state/identity/device.pem"
        assert str(own) in capsys.readouterr().out
        enroll(tmp_path / "agent.toml", "", "", "", "", None, renew=True, now=True, as_json=True)
        assert json.loads(capsys.readouterr().out)["outcome"] == "renewed"
        rows = [json.loads(line) for line in says("enroll", "list", "--database", fleet.url, "--json").splitlines()]
        assert [row["standing"] for row in rows] == ["good", "good"]
    out = ("--out", "broker", "--cert", "srv.pem", "--key", "srv.key", "--data", "data")
    says("ca", "server", "--name", "srv", *at[:2])
    assert "1 may come in" in says("broker-config", "mosquitto", *out, *at)
    assert "user ward.b1" in (tmp_path / "broker/acl").read_text()
    assert "nothing changed" in says("broker-config", "mosquitto", *out, *at)
    assert "there is none" in refused("broker-config", "mosquitto", *out, *at, "--apply")
    revoke = ("enroll", "revoke", "--site", "ward", "--device", "b1", "--reason", "lost", *at)
    assert "2 certificates revoked" in says(*revoke)
    assert "nothing of it holds" in refused(*revoke)
    assert "0 may come in" in says("broker-config", "nats", *out, *at)
    assert "ward" not in (tmp_path / "broker/accounts.conf").read_text()
    assert "revoked, " in says("enroll", "crl", *at)
    assert "unbroken" in says("audit", "verify", "--database", fleet.url)


def test_an_authoritys_files_are_looked_at(tmp_path: Path, fleet: Fleet) -> None:
    at = ("--ca", str(tmp_path / "none"))
    assert "No such file" in refused("ca", "show", *at)
    key = fleet.folder / "ca" / "ca-key.pem"
    key.chmod(0o644)
    assert "chmod 600" in refused("ca", "server", "--name", "x", "--ca", str(fleet.folder / "ca"))
    key.chmod(0o600)
    key.write_bytes(key.read_bytes()[:100])
    assert "no PEM key" in refused("ca", "server", "--name", "x", "--ca", str(fleet.folder / "ca"))
    stale = datetime(2100, 1, 1, tzinfo=UTC)
    from sono_fleet.identity.lists import checked_list  # noqa: PLC0415

    with pytest.raises(BadConfig, match="enroll crl"):
        checked_list(fleet.folder / "ca", stale)


def test_the_list_is_younger_each_time(fleet: Fleet) -> None:
    path, numbers = fleet.folder / "ca" / "crl.pem", []
    for _ in range(4):  # within one second
        fleet.authority.revoke([], now())
        numbers.append(x509.load_pem_x509_crl(path.read_bytes()).last_update_utc)
    assert numbers == sorted(set(numbers))
    assert numbers[-1] <= now()
