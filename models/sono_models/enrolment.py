"""What a device and the enrolment service say to each other, over HTTPS.

GET  /v1/authority   the authority's certificate; the device checks its fingerprint before it says anything else
POST /v1/enrol       a code and a request (PKCS#10), for a certificate
POST /v1/renew       a request, over TLS with the certificate that still holds
"""

from __future__ import annotations

import msgspec

AUTHORITY, ENROL, RENEW = "/v1/authority", "/v1/enrol", "/v1/renew"
BODY_MOST = 16 * 1024


class Answer(msgspec.Struct, frozen=True):
    """`authority`: PEM. `at`: the service's clock, RFC 3339: nobody vouches for it, but a board years off is told."""

    authority: str
    at: str


class EnrolRequest(msgspec.Struct, frozen=True):
    code: str
    site: str
    device: str
    request: str
    """PEM."""


class RenewRequest(msgspec.Struct, frozen=True):
    request: str


class Certificate(msgspec.Struct, frozen=True):
    certificate: str
    """PEM."""
    site: str
    device: str


class Refusal(msgspec.Struct, frozen=True):
    """Why not, and what to do: words for a person."""

    reason: str
    next_step: str
