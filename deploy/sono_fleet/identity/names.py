"""Who a certificate is for, as its subject, its URI and a broker's rights all say it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from sono_models import messages
from sono_models.errors import BadConfig

Service = Literal["ingest", "engine", "web"]
SERVICES: tuple[Service, ...] = get_args(Service)
COMMON_NAME_MOST = 64
"""Of X.509; so a site and a device have 63 characters together."""
DEVICES, FLEET = "SonoEdge device", "SonoEdge fleet"


@dataclass(frozen=True, slots=True, order=True)
class Who:
    """A device of a site; or, where `site` is empty, a service of the fleet."""

    site: str
    device: str

    @property
    def common_name(self) -> str:
        """A dot is in neither name, and a service's name has none: no two are alike."""
        return f"{self.site}.{self.device}" if self.site else self.device

    @property
    def organisation(self) -> str:
        return DEVICES if self.site else FLEET

    @property
    def service(self) -> Service:
        """Of a service, what it may do. `fleet-ingest-2` is one more `ingest`."""
        return next(kind for kind in SERVICES if self.device.split("-")[1] == kind)

    def uri(self, line: str) -> str:
        """What NATS knows it by: a revoked line stays out though the same board was enrolled anew."""
        return f"urn:sonoedge:{self.site or 'fleet.'}:{self.device}:{line}"

    def __str__(self) -> str:
        return f"{self.site}/{self.device}" if self.site else self.device


def a_device(site: str, device: str) -> Who:
    """Raises BadConfig for names that no broker or certificate would carry."""
    messages.topic_of(site, device, "state")
    who = Who(site, device)
    if len(who.common_name) > COMMON_NAME_MOST:
        reason = f"{len(site) + len(device)} characters; a certificate's name has room for {COMMON_NAME_MOST - 1}"
        raise BadConfig(f"{site}/{device}", reason, "Choose a shorter site or device")
    return who


def a_service(kind: str, number: int = 1) -> Who:
    """One certificate a process: a broker keeps one session a name. Raises BadConfig."""
    if kind not in SERVICES:
        raise BadConfig(f"service {kind}", "there is none of that name", f"One of {', '.join(SERVICES)}")
    return Who("", f"fleet-{kind}" + (f"-{number}" if number > 1 else ""))
