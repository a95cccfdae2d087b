"""The enrolment service: HTTPS, a code and a request in, a certificate out; renewal over mutual TLS."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from sono_fleet.identity.authority import CERTIFICATE, Authority, Issued
from sono_fleet.identity.names import a_device
from sono_fleet.identity.pace import Pace
from sono_fleet.identity.registry import Registry
from sono_fleet.identity.requests import key_in
from sono_models import enrolment
from sono_models.errors import BadConfig, BadOrder, Refused, SonoError, Unavailable
from sono_models.messages import rfc3339
from sono_models.serving import Server, settings

log = logging.getLogger(__name__)

JSON = "application/json"
Asked = TypeVar("Asked", enrolment.EnrolRequest, enrolment.RenewRequest)
PEER = "sono.peer"
"""In a request's scope: the client's certificate (DER), which TLS has verified; absent: it showed none."""
LIST_EVERY_S = 86_400.0
"""The list of revoked certificates is signed anew so often: a broker refuses everybody once it has ended."""


@dataclass(frozen=True, slots=True)
class Terms:
    days: float = 30.0
    """How long a device's certificate holds."""


class Desk:
    """Answers requests. Every refusal is a SonoError's reason and next step; nothing else is told."""

    def __init__(
        self,
        registry: Registry,
        authority: Authority,
        terms: Terms,
        now: Callable[[], datetime],
        *,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._registry, self._authority, self._terms = registry, authority, terms
        self._now, self._pace, self._clock = now, pace or Pace(), clock

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route(enrolment.AUTHORITY, self._tell, methods=["GET"]),
                Route(enrolment.ENROL, self._enrol, methods=["POST"]),
                Route(enrolment.RENEW, self._renew, methods=["POST"]),
            ]
        )

    def write_list(self) -> None:
        self._authority.revoke(self._registry.revoked(), self._now())

    async def _tell(self, request: Request) -> Response:
        del request
        pem = self._authority.certificate.public_bytes(Encoding.PEM).decode()
        return _json(enrolment.Answer(pem, rfc3339(self._now())))

    async def _enrol(self, request: Request) -> Response:
        return await self._answer(request, self._enrolled)

    async def _renew(self, request: Request) -> Response:
        return await self._answer(request, self._renewed)

    async def _answer(self, request: Request, do: Callable[[bytes, bytes], enrolment.Certificate]) -> Response:
        address = request.client.host if request.client else ""
        wait_s = self._pace.wait_s(address, self._clock())
        if wait_s > 0:
            refusal = enrolment.Refusal("too many requests", f"Try again in {wait_s:.0f} s")
            return _json(refusal, 429, {"Retry-After": f"{wait_s:.0f}"})
        try:
            body = await _body(request)
            return _json(await run_in_threadpool(do, body, request.scope.get(PEER, b"")))
        except SonoError as problem:
            log.warning("enrolment: refused to %s: %s", address, problem)
            return _json(enrolment.Refusal(f"{problem.thing}: {problem.reason}", problem.next_step), _status(problem))

    def _enrolled(self, body: bytes, peer: bytes) -> enrolment.Certificate:
        del peer
        asked = _decoded(body, enrolment.EnrolRequest)
        who, key = a_device(asked.site, asked.device), key_in(asked.request.encode())
        issued = self._registry.enrol(asked.code, who, key, self._authority, self._terms.days)
        self.write_list()
        return _certificate(issued, who.site, who.device)

    def _renewed(self, body: bytes, peer: bytes) -> enrolment.Certificate:
        asked = _decoded(body, enrolment.RenewRequest)
        if not peer:
            raise BadConfig("renewal", "no certificate was shown", "Enrol with a code: sono enroll --code …")
        shown = x509.load_der_x509_certificate(peer)
        serial, fingerprint = f"{shown.serial_number:x}", shown.fingerprint(hashes.SHA256()).hex()
        issued = self._registry.renew(
            serial, fingerprint, key_in(asked.request.encode()), self._authority, self._terms.days
        )
        site, _, device = _common_name(issued).partition(".")
        return _certificate(issued, site, device)


class PeerProtocol(H11Protocol):
    """uvicorn's own, and each request's scope holds the certificate that the client showed."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        secured = transport.get_extra_info("ssl_object")
        shown = None if secured is None else secured.getpeercert(binary_form=True)
        if shown:
            self.app = cast("Any", _with_peer(self.app, shown))


def server(app: Starlette, authority: Path, certificate: Path, key: Path) -> Server:
    """Raises BadConfig for certificates that cannot be used."""
    try:
        context = _context(authority / CERTIFICATE, certificate, key)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadConfig(f"--cert {certificate}, --key {key}", reason, "Make them: sono fleet ca server") from error
    config = settings(
        app,
        http=PeerProtocol,
        lifespan="off",
        date_header=False,
        limit_concurrency=64,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=5,
        ssl_context_factory=lambda _config, _default: context,
    )
    return Server(config)


async def serve(running: Server, listener: socket.socket, desk: Desk, every_s: float = LIST_EVERY_S) -> None:
    """Until it is told to stop; the list of revoked certificates is kept young."""
    keeping = asyncio.create_task(_keep_list(desk, every_s))
    try:
        await running.serve(sockets=[listener])
    finally:
        keeping.cancel()


async def _keep_list(desk: Desk, every_s: float) -> None:
    while True:
        try:
            await run_in_threadpool(desk.write_list)
        except SonoError as problem:
            log.warning("enrolment: the list of revoked certificates is not renewed: %s", problem)
        await asyncio.sleep(every_s)


def _context(authority: Path, certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority)
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _with_peer(app: Any, shown: bytes) -> Any:
    async def with_peer(
        scope: MutableMapping[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        await app({**scope, PEER: shown}, receive, send)

    return with_peer


async def _body(request: Request) -> bytes:
    held = b""
    async for piece in request.stream():
        held += piece
        if len(held) > enrolment.BODY_MOST:
            raise BadConfig("request", f"longer than {enrolment.BODY_MOST} bytes", "Use `sono enroll`")
    return held


def _decoded(body: bytes, kind: type[Asked]) -> Asked:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadConfig("request", f"it cannot be read ({error})", "Use `sono enroll` of the same version") from error


def _json(answer: msgspec.Struct, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(answer), status, {"Cache-Control": "no-store", **(headers or {})}, JSON)


def _status(problem: SonoError) -> int:
    """4xx is final for the device, 5xx is tried again."""
    if isinstance(problem, BadOrder):
        return 403
    return 503 if isinstance(problem, Unavailable) or not isinstance(problem, Refused) else 400


def _certificate(issued: Issued, site: str, device: str) -> enrolment.Certificate:
    return enrolment.Certificate(issued.pem.decode(), site, device)


def _common_name(issued: Issued) -> str:
    return str(issued.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
