"""`sono fleet ca …`, `sono fleet enroll …` and `sono fleet broker-config …`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sono_fleet.options import DATABASE, AsJson, By, Database, me, now, opened, table, tell

if TYPE_CHECKING:
    from sono_fleet.identity.authority import Authority, Issued

Ca = Annotated[Path, typer.Option("--ca", envvar="SONO_CA", help="The authority's folder.")]
CA = Path("ca")
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file with the passphrase of the authority's key on its first line."),
]
Out = Annotated[Path, typer.Option("--out", help="A folder for certificate and key; made when it is missing.")]
Days = Annotated[float, typer.Option("--days", min=0.001, max=3650, help="How long it holds.")]

ca_app = typer.Typer(add_completion=False, no_args_is_help=True, help="The authority that signs every certificate.")
enroll_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Boards that get, keep and lose an identity.")


@ca_app.command("init")
def init(
    ca: Ca = CA,
    name: Annotated[str, typer.Option(help="What the certificate calls it.")] = "SonoEdge fleet authority",
    passphrase_file: Passphrase = None,
    days: Annotated[int, typer.Option(min=30, max=36_500)] = 3650,
    *,
    as_json: AsJson = False,
) -> None:
    """A new authority, once: its key stays in this folder, its certificate goes to boards and brokers."""
    from sono_fleet.identity.authority import Authority
    from sono_fleet.publish.commands import passphrase

    made = Authority.made(ca, name, passphrase(passphrase_file), now(), days)
    if as_json:
        tell({"folder": str(ca), "fingerprint": made.fingerprint, "ends_at": made.certificate.not_valid_after_utc})
        return
    print(f"{ca / 'ca.pem'} goes to boards and brokers; {ca / 'ca-key.pem'} signs: keep it to yourself, a copy offline")
    print(f"fingerprint {made.fingerprint}")


@ca_app.command("show")
def show(ca: Ca = CA, *, as_json: AsJson = False) -> None:
    """The authority's fingerprint, and until when it holds."""
    from sono_fleet.identity.authority import certificate_of, fingerprint_of

    certificate = certificate_of(ca)
    if as_json:
        tell({"fingerprint": fingerprint_of(certificate), "ends_at": certificate.not_valid_after_utc})
        return
    print(f"fingerprint {fingerprint_of(certificate)}\nuntil       {certificate.not_valid_after_utc:%Y-%m-%d}")


@ca_app.command("server")
def server(
    names: Annotated[list[str], typer.Option("--name", help="A host name or address that clients connect to; repeat.")],
    ca: Ca = CA,
    out: Out = Path(),
    days: Days = 397,
    passphrase_file: Passphrase = None,
    *,
    as_json: AsJson = False,
) -> None:
    """A certificate for a broker, or for the enrolment service: NAME.pem and NAME.key."""
    from sono_fleet.identity.authority import a_key

    authority, key = _authority(ca, passphrase_file), a_key()
    issued = authority.server(names, key.public_key(), days, now())
    _hand_over(out, names[0], issued, key, as_json=as_json)


@ca_app.command("service")
def service(
    kind: Annotated[str, typer.Argument(metavar="ingest|engine|web")],
    number: Annotated[int, typer.Option(min=1, max=999, help="Of several of a kind, which: one certificate each.")] = 1,
    ca: Ca = CA,
    out: Out = Path(),
    days: Days = 397,
    passphrase_file: Passphrase = None,
    database: Database = DATABASE,
    by: By = "",
    *,
    as_json: AsJson = False,
) -> None:
    """A certificate for a service of the fleet's side: fleet-KIND.pem and fleet-KIND.key."""
    from sono_fleet.identity.authority import a_key
    from sono_fleet.identity.names import a_service
    from sono_fleet.identity.registry import Registry

    who, authority, key = a_service(kind, number), _authority(ca, passphrase_file), a_key()
    with opened(database) as there:
        issued = Registry(there, now).serve(who, key.public_key(), authority, days, by or me())
    _hand_over(out, who.common_name, issued, key, as_json=as_json)


@enroll_app.command("code")
def code(
    site: Annotated[str, typer.Option()],
    device: Annotated[str, typer.Option()],
    url: Annotated[str, typer.Option(envvar="SONO_ENROL_URL", help="Of `enroll serve`: https://HOST:PORT.")],
    hours: Annotated[float, typer.Option(min=0.01, max=720, help="How long it may be used.")] = 24,
    ca: Ca = CA,
    database: Database = DATABASE,
    by: By = "",
    *,
    qr: Annotated[bool, typer.Option("--qr", help="Also as a QR code, on this terminal.")] = False,
    as_json: AsJson = False,
) -> None:
    """A one-time code for one board. It is shown once; the database keeps only its hash."""
    from sono_fleet.identity.authority import certificate_of, fingerprint_of
    from sono_fleet.identity.codes import qr_text
    from sono_fleet.identity.names import a_device
    from sono_fleet.identity.registry import Registry

    who, fingerprint = a_device(site, device), fingerprint_of(certificate_of(ca))
    with opened(database) as there:
        made = Registry(there, now).code(who, hours, by or me())
    text = qr_text(url, made, fingerprint)
    if as_json:
        tell({"site": site, "device": device, "code": made, "url": url, "ca_fingerprint": fingerprint, "qr_text": text})
        return
    print(f"For {who}, once, within {hours:g} hours. On the board:\n")
    print(f"sono enroll --config agent.toml --url {url} --code {made} --ca-fingerprint {fingerprint}\n")
    if qr:
        import segno

        segno.make(text, error="m").terminal(compact=True)
        print(f"\n{text}")


@enroll_app.command("serve")
def serve(
    cert: Annotated[Path, typer.Option(help="Of `sono fleet ca server`.")],
    key: Annotated[Path, typer.Option(help="Its key.")],
    host: Annotated[str, typer.Option()] = "0.0.0.0",  # noqa: S104  (boards come from outside)
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free one.")] = 8443,
    ca: Ca = CA,
    passphrase_file: Passphrase = None,
    days: Annotated[float, typer.Option(min=0.001, max=398, help="How long a board's certificate holds.")] = 30,
    database: Database = DATABASE,
) -> None:
    """The enrolment service, until it is stopped: code and request in, certificate out; renewal over mutual TLS."""
    import asyncio

    from sono_fleet.identity import service as serving
    from sono_fleet.identity.registry import Registry
    from sono_models.serving import bind

    authority = _authority(ca, passphrase_file)
    with opened(database) as there:
        desk = serving.Desk(Registry(there, now), authority, serving.Terms(days), now)
        running = serving.server(desk.app(), ca, cert, key)
        with bind(host, port) as listener:
            print(
                f"enrolment on https://{host}:{listener.getsockname()[1]}, authority {authority.fingerprint}",
                flush=True,
            )
            asyncio.run(serving.serve(running, listener, desk))


@enroll_app.command("list")
def list_(
    database: Database = DATABASE,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also those that ended or were revoked.")] = False,
    as_json: AsJson = False,
) -> None:
    """Who has a certificate, and until when."""
    from sono_fleet.identity.registry import Registry

    with opened(database) as there:
        found = Registry(there, now).all()
    rows = [(one, one.standing(now())) for one in found]
    shown = [(one, standing) for one, standing in rows if everything or standing == "good"]
    if as_json:
        for one, standing in shown:
            site, device = one.who.site, one.who.device
            tell(
                {"site": site, "device": device, "serial": one.serial, "standing": standing}
                | {
                    "issued_at": one.issued_at,
                    "ends_at": one.ends_at,
                    "revoked_at": one.revoked_at,
                    "reason": one.reason,
                }
            )
        return
    columns = ("who", "standing", "issued", "ends", "serial", "reason")
    cells = [(str(one.who), said, one.issued_at, one.ends_at, one.serial, one.reason) for one, said in shown]
    table(f"{len(cells)} certificates", columns, cells)


@enroll_app.command("revoke")
def revoke(
    reason: Annotated[str, typer.Option(help="Why; the audit log keeps it.")],
    site: Annotated[str, typer.Option(help="A board: everything of it.")] = "",
    device: Annotated[str, typer.Option(help="Or, without --site, a service (fleet-ingest).")] = "",
    serial: Annotated[str, typer.Option(help="Or one certificate alone.")] = "",
    ca: Ca = CA,
    passphrase_file: Passphrase = None,
    database: Database = DATABASE,
    by: By = "",
    *,
    as_json: AsJson = False,
) -> None:
    """Take certificates back and write the list that Mosquitto reads. Then: sono fleet broker-config … --apply."""
    from sono_fleet.identity.names import Who
    from sono_fleet.identity.registry import Registry
    from sono_models.errors import BadConfig

    if bool(device) == bool(serial):
        raise BadConfig("enroll revoke", "name one of --device and --serial", "See `sono fleet enroll list`")
    authority = _authority(ca, passphrase_file)
    with opened(database) as there:
        registry = Registry(there, now)
        taken = registry.revoke(Who(site, device) if device else None, serial.lower(), reason, by or me())
        authority.revoke(registry.revoked(), now())
    if as_json:
        tell({"revoked": taken})
    else:
        print(
            f"{len(taken)} certificates revoked, {ca / 'crl.pem'} written. Brokers: sono fleet broker-config … --apply"
        )


@enroll_app.command("crl")
def crl(ca: Ca = CA, passphrase_file: Passphrase = None, database: Database = DATABASE) -> None:
    """Sign the list of revoked certificates anew; where `enroll serve` runs it does so daily."""
    from sono_fleet.identity.authority import CRL_DAYS
    from sono_fleet.identity.registry import Registry

    authority = _authority(ca, passphrase_file)
    with opened(database) as there:
        revoked = Registry(there, now).revoked()
    authority.revoke(revoked, now())
    print(f"{len(revoked)} revoked, {ca / 'crl.pem'} holds for {CRL_DAYS} days")


def broker_config(
    kind: Annotated[Literal["mosquitto", "nats"], typer.Argument()],
    out: Annotated[Path, typer.Option(help="The folder of the configuration.")],
    cert: Annotated[Path, typer.Option(help="The broker's, of `sono fleet ca server`.")],
    key: Annotated[Path, typer.Option(help="Its key; the broker's user must be able to read it.")],
    data: Annotated[Path, typer.Option(help="Where the broker keeps its messages.")],
    ca: Ca = CA,
    host: Annotated[str, typer.Option()] = "0.0.0.0",  # noqa: S104
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8883,
    inside_port: Annotated[int, typer.Option(min=1, max=65_535, help="NATS's own protocol, on loopback.")] = 4222,
    user: Annotated[str, typer.Option(help="Whom Mosquitto becomes when root starts it.")] = "",
    database: Database = DATABASE,
    *,
    apply: Annotated[bool, typer.Option("--apply", help="And have the running broker read it (SIGHUP).")] = False,
    pid_file: Annotated[Path | None, typer.Option(help="The broker's; default: OUT/broker.pid.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a whole configuration: who is enrolled, with the rights on their own topics, and nobody else."""
    from sono_fleet.identity import applying, brokers, rights
    from sono_fleet.identity.authority import CERTIFICATE, REVOKED
    from sono_fleet.identity.lists import checked_list
    from sono_fleet.identity.registry import Registry

    with opened(database) as there:
        holders = rights.holders(Registry(there, now).all(), now())
    folder = out.resolve()
    site = brokers.Site(
        folder=folder,
        data=data.resolve(),
        authority=folder / CERTIFICATE,
        revoked=folder / REVOKED,
        certificate=cert.resolve(),
        key=key.resolve(),
        host=host,
        port=port,
        inside_port=inside_port,
        user=user,
    )
    public: dict[str, str | bytes] = checked_list(ca, now())
    files = {**public, **brokers.made(kind, site, holders)}
    changed = applying.write(folder, files)
    told = applying.apply(folder, files, pid_file or folder / brokers.PID) if apply else None
    if as_json:
        tell({"holders": len(holders), "changed": changed, "reloaded": told})
        return
    print(f"{out}: {len(holders)} may come in; {', '.join(changed) or 'nothing'} changed")
    if told is not None:
        print(f"broker {told} reads it")


def _authority(ca: Path, passphrase_file: Path | None) -> Authority:
    from sono_fleet.identity.authority import Authority
    from sono_fleet.publish.commands import passphrase

    return Authority.opened(ca, passphrase(passphrase_file))


def _hand_over(out: Path, name: str, issued: Issued, key: object, *, as_json: bool) -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from sono_fleet.identity.authority import pem_of
    from sono_models.durable import on_disk, write_durably

    assert isinstance(key, EllipticCurvePrivateKey)
    files = out / f"{name}.pem", out / f"{name}.key"
    with on_disk(out):
        out.mkdir(parents=True, exist_ok=True)
        write_durably(files[1], pem_of(key), mode=0o600)
        write_durably(files[0], issued.pem)
    ends = issued.certificate.not_valid_after_utc
    if as_json:
        tell({"certificate": str(files[0]), "key": str(files[1]), "serial": issued.serial, "ends_at": ends})
    else:
        print(f"{files[0]} and {files[1]}, until {ends:%Y-%m-%d}")
