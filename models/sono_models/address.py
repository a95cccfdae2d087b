"""HOST:PORT, as people and browsers write it. Apart from `link`: reading a configuration loads no MQTT library."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from sono_models.errors import BadConfig


def address(text: str) -> tuple[str, int]:
    """HOST:PORT, an IPv6 host in brackets. Raises BadConfig."""
    host, _, port = text.strip().rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= 65_535:
        raise BadConfig(f"broker address {text!r}", "it is not HOST:PORT", "Write such as broker-2.example.org:8883")
    return host.removeprefix("[").removesuffix("]"), int(port)


def addresses(text: str) -> tuple[tuple[str, int], ...]:
    """HOST:PORT[,HOST:PORT…]. Raises BadConfig."""
    return tuple(address(one) for one in text.split(","))


def host_of(header: str) -> str:
    """The name or address in a Host header, without its port; empty when it is none."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
