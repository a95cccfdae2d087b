"""What a device sends to get a certificate, and every reason why it gets none. Pure."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from sono_models.errors import BadOrder

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
REQUEST_MOST = 8192
"""Bytes of a request; one of ours has about 400."""
_ANEW = "Make it with `sono enroll`"


def key_in(pem: bytes) -> PublicKey:
    """The key that the sender holds: the request is signed with it. Its subject and wishes are ignored.

    Raises BadOrder for a request that is damaged, too long, or signed by another key, and for a weak key.
    """
    if len(pem) > REQUEST_MOST:
        raise BadOrder("certificate request", f"longer than {REQUEST_MOST} bytes", _ANEW)
    try:
        request = x509.load_pem_x509_csr(pem)
        signed, key = request.is_signature_valid, request.public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise BadOrder("certificate request", "it cannot be read", _ANEW) from error
    if isinstance(key, ec.EllipticCurvePublicKey) and not isinstance(key.curve, ec.SECP256R1):
        raise BadOrder("certificate request", f"a key on {key.curve.name}; P-256 or Ed25519 is wanted", _ANEW)
    if not isinstance(key, PublicKey):
        raise BadOrder("certificate request", "neither a P-256 nor an Ed25519 key", _ANEW)
    if not signed:
        raise BadOrder("certificate request", "its signature is not by its own key", _ANEW)
    return key
