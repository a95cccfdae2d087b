"""The enrolment service, from the board's side: three requests over HTTPS, no redirects, small answers.

The first goes to a server that nobody vouches for yet and asks only for the authority's certificate. Its
fingerprint came with the code: who serves another is left, before the code is said.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from sono_edge.identity.invitation import checked_url
from sono_models import enrolment
from sono_models.errors import BadConfig, BadOrder, Refused, Unavailable

TIMEOUT_S = 20.0
Said = TypeVar("Said", enrolment.Answer, enrolment.Certificate)


class Service:
    """Raises Unavailable for what may heal by itself, Refused for what will not."""

    def __init__(self, url: str, *, proxy: str = "", timeout_s: float = TIMEOUT_S) -> None:
        self._url, self._proxy, self._timeout_s = url, proxy, timeout_s
        self._host, self._port = checked_url(url)

    def authority(self, fingerprint: str) -> enrolment.Answer:
        """The authority's certificate, if it is the one that the code came with."""
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname = False
        nobody.verify_mode = ssl.CERT_NONE  # what it says is checked by its fingerprint, below
        answer = self._ask(nobody, "GET", enrolment.AUTHORITY, None, enrolment.Answer)
        try:
            served = hashlib.sha256(ssl.PEM_cert_to_DER_cert(answer.authority)).hexdigest()
        except ValueError as error:
            raise BadOrder(self._url, "it serves no certificate", "Check --url") from error
        if not hmac.compare_digest(f"sha256:{served}", fingerprint):
            reason = f"its authority is sha256:{served}, not the one that came with the code"
            raise BadOrder(self._url, reason, "Do not go on: ask who runs the network, then ask for a new code")
        return answer

    def enrol(self, authority: str, request: enrolment.EnrolRequest) -> enrolment.Certificate:
        trusted = self._trusting(lambda context: context.load_verify_locations(cadata=authority))
        return self._ask(trusted, "POST", enrolment.ENROL, request, enrolment.Certificate)

    def renew(self, authority: Path, own: Path, request: enrolment.RenewRequest) -> enrolment.Certificate:
        def shown(context: ssl.SSLContext) -> None:
            context.load_verify_locations(authority)
            context.load_cert_chain(own)

        return self._ask(self._trusting(shown), "POST", enrolment.RENEW, request, enrolment.Certificate)

    def _trusting(self, whom: Callable[[ssl.SSLContext], None]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            whom(context)
        except (OSError, ssl.SSLError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadConfig("this board's identity", reason, "Enrol it anew with a new code") from error
        return context

    def _ask(
        self, context: ssl.SSLContext, method: str, path: str, body: msgspec.Struct | None, kind: type[Said]
    ) -> Said:
        try:
            status, raw = self._exchange(context, method, path, None if body is None else msgspec.json.encode(body))
        except ssl.SSLCertVerificationError as error:
            reason = f"its certificate is not right: {error.verify_message}"
            raise BadOrder(self._url, reason, "Check --url and this board's clock; ask who runs the service") from error
        except ssl.SSLError as error:
            reason = f"it closed the door ({error.reason or error})"
            raise BadOrder(
                self._url, reason, "The certificate may have ended or be revoked: ask for a new code"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise Unavailable(self._url, reason, "Check the address and the network, then try again") from error
        if status != 200:
            raise _refusal(self._url, status, raw)
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.DecodeError as error:
            raise BadOrder(
                self._url, "its answer cannot be read", "Check --url; is it `sono fleet enroll serve`?"
            ) from error

    def _exchange(self, context: ssl.SSLContext, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        connection = self._connection(context)
        try:
            headers = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            raw = answer.read(enrolment.BODY_MOST + 1)
        finally:
            connection.close()
        return answer.status, raw[: enrolment.BODY_MOST]

    def _connection(self, context: ssl.SSLContext) -> http.client.HTTPSConnection:
        if not self._proxy:
            return http.client.HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)
        door = urlsplit(self._proxy)
        through = http.client.HTTPSConnection(
            door.hostname or "", door.port or 3128, timeout=self._timeout_s, context=context
        )
        through.set_tunnel(self._host, self._port)
        return through


def _refusal(url: str, status: int, raw: bytes) -> Refused | Unavailable:
    try:
        said = msgspec.json.decode(raw, type=enrolment.Refusal)
    except msgspec.DecodeError:
        said = enrolment.Refusal(f"it answered with status {status}", "Check --url")
    reason, step = (json.dumps(words, ensure_ascii=False)[1:301].rstrip('"') for words in (said.reason, said.next_step))
    if status == 429 or status >= 500:
        return Unavailable(url, reason, step)
    return BadOrder(url, reason, step)
