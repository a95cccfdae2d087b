"""HOST:PORT, as people write it. Apart from `link`, so that reading a configuration loads no MQTT library."""

from __future__ import annotations

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
