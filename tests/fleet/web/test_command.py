"""`sono fleet serve` and `account` as an administrator uses them; the server as a process of its own, with TLS."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from sono_fleet.commands import app
from sono_fleet.store import Store
from sono_models.errors import SonoError

SONO = [sys.executable, "-m", "sono_models.command", "fleet"]


class Line:
    """The command line on one database."""

    def __init__(self, url: str) -> None:
        self._url = url

    def says(self, *words: str, given: str = "") -> str:
        done = CliRunner().invoke(app, [*words, "--database", self._url], input=given)
        assert done.exit_code == 0, done.output
        return done.output

    def refuses(self, *words: str, given: str = "") -> str:
        done = CliRunner().invoke(app, [*words, "--database", self._url], input=given)
        assert isinstance(done.exception, SonoError), done.output
        return str(done.exception)


@pytest.fixture
def line(tmp_path: Path) -> Line:
    url = f"sqlite:///{tmp_path / 'fleet.sqlite'}"
    with Store(url):
        return Line(url)


def test_accounts_from_the_command_line(line: Line, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("four ordinary long words\nand more\n")
    assert "may come in as operator" in line.says(
        "account", "add", "ana", "--role", "operator", "--password-file", str(file)
    )
    said = line.says("account", "add", "ben", "--password-file", "-", given="another of those long ones\n")
    assert "ben may come in as viewer" in said
    line.says("account", "add", "olga@hospital.example", "--elsewhere")
    rows = [json.loads(text) for text in line.says("account", "list", "--json").splitlines()]
    assert [(row["name"], row["role"], row["local"], row["disabled"]) for row in rows] == [
        ("ana", "operator", True, False),
        ("ben", "viewer", True, False),
        ("olga@hospital.example", "viewer", False, False),
    ]
    assert "secret" not in rows[0]
    line.says("account", "disable", "ben")
    assert "disabled" in line.says("account", "list")
    line.says("account", "disable", "ben", "--enable")
    line.says("account", "role", "ben", "approver")
    line.says("account", "password", "ana", "--password-file", str(file))
    line.says("audit", "verify")
    log = line.says("audit", "show", "--json")
    actions = [json.loads(text)["action"] for text in log.splitlines()]
    assert actions == [f"account-{word}" for word in ("add", "add", "add", "disable", "enable", "role", "password")]
    assert "long words" not in log
    assert "argon2" not in log


@pytest.mark.parametrize(
    ("words", "given", "reason"),
    [
        (("add", "ana", "--role", "king", "--elsewhere"), "", "no such role"),
        (("add", "a b", "--elsewhere"), "", "not 1 to 64"),
        (("add", "ana", "--password-file", "-"), "short\n", "5 characters, not 12 to 1024"),
        (("add", "ana"), "", "no terminal to ask on"),
        (("add", "ana", "--password-file", "/no/such/file"), "", "No such file"),
        (("disable", "nobody"), "", "there is none"),
        (("password", "nobody", "--password-file", "-"), "long enough for all\n", "there is none"),
        (("role", "nobody", "viewer"), "", "there is none"),
    ],
)
def test_what_an_account_cannot_be(line: Line, words: tuple[str, ...], given: str, reason: str) -> None:
    assert reason in line.refuses("account", *words, given=given)
    assert line.says("account", "list", "--json") == ""


def test_an_account_is_made_once(line: Line) -> None:
    line.says("account", "add", "ana", "--elsewhere")
    assert "there is one" in line.refuses("account", "add", "ana", "--elsewhere")


def test_the_page_does_not_listen_where_it_must_not(line: Line, tmp_path: Path) -> None:
    assert "in clear" in line.refuses("serve", "--host", "0.0.0.0")
    assert "a port is" in line.refuses("serve", "--port", "70000")
    assert "no targets/" in line.refuses("serve", "--repository", str(tmp_path))
    assert "no such file" in line.refuses("serve", "--tls-cert", "/none", "--tls-key", "/none")
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("no certificate")
    assert "PEM" in line.refuses("serve", "--port", "0", "--tls-cert", str(nonsense), "--tls-key", str(nonsense))


def certificate(folder: Path) -> tuple[Path, Path]:
    """For 127.0.0.1, its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the fleet's page")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths = (folder / "page.pem", folder / "page.key")
    paths[0].write_bytes(made.public_bytes(pem))
    paths[1].write_bytes(private)
    return paths


@pytest.mark.parametrize("tls", [False, True], ids=["loopback", "tls"])
def test_the_server_as_a_process_of_its_own(line: Line, tmp_path: Path, *, tls: bool) -> None:
    options = ["--port", "0", "--database", f"sqlite:///{tmp_path / 'fleet.sqlite'}"]
    trusts: ssl.SSLContext | bool = True
    if tls:
        chain, key = certificate(tmp_path)
        options += ["--tls-cert", str(chain), "--tls-key", str(key)]
        trusts = ssl.create_default_context(cafile=str(chain))
    with subprocess.Popen([*SONO, "serve", *options], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            said = running.stdout.readline()
            url = said.rpartition(" ")[2].strip().rstrip("/")
            assert url.startswith("https://127.0.0.1:" if tls else "http://127.0.0.1:"), said
            with httpx.Client(base_url=url, verify=trusts, timeout=60.0) as client:
                assert client.get("/healthz").json() == {"ok": True}
                answer = client.get("/login")
                assert answer.status_code == 200
                assert ("; Secure" in answer.headers["set-cookie"]) == tls
                assert client.get("/devices").status_code == 303
        finally:
            running.terminate()
            rest = running.stdout.read()
            assert running.wait(60) == 0
    assert rest == "The page has ended.\n"
