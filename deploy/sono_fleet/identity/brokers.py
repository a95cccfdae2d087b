"""Whole configurations for the two brokers. Pure: what goes in decides every byte.

Both let nobody in without a certificate of our authority, and give each name its own topics and no others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sono_fleet.identity.rights import Holder, Rights

Kind = Literal["mosquitto", "nats"]
PAYLOAD_MOST = 128 * 1024
"""Twice what ingest takes."""
PID = "broker.pid"
MADE = "Made by `sono fleet broker-config`; it is written anew, so change the command's options instead."


@dataclass(frozen=True, slots=True)
class Site:
    """Where a broker listens and where its files are. Paths as the broker sees them."""

    folder: Path
    """Of the configuration itself."""
    data: Path
    authority: Path
    revoked: Path
    certificate: Path
    key: Path
    host: str = "0.0.0.0"  # noqa: S104  (boards come from outside; each must show a certificate)
    port: int = 8883
    inside_port: int = 4222
    """NATS's own protocol, on loopback."""
    user: str = ""
    """Whom Mosquitto becomes when root starts it; empty: `mosquitto`, as it is built."""


def mosquitto(site: Site, holders: Sequence[Holder]) -> dict[str, str]:
    """`mosquitto.conf` and `acl`. A certificate's common name is user and client id: nobody takes another's session.

    No `persistent_client_expiration`: with it Mosquitto 2.0.11 enters a session whose client is away into its list
    again at each SIGHUP, and crashes (seen). What waits is bounded by `max_queued_*`; a name has one session.
    """
    settings = f"""\
# {MADE}
per_listener_settings false
pid_file {site.folder / PID}
persistence true
persistence_location {site.data}/
autosave_interval 30
allow_anonymous false
acl_file {site.folder / "acl"}
message_size_limit {PAYLOAD_MOST}
max_packet_size {PAYLOAD_MOST + 1024}
max_inflight_messages 100
max_queued_messages 20000
max_queued_bytes 67108864
connection_messages true

listener {site.port} {site.host}
cafile {site.authority}
certfile {site.certificate}
keyfile {site.key}
crlfile {site.revoked}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
use_username_as_clientid true
"""
    if site.user:
        settings += f"user {site.user}\n"
    return {"mosquitto.conf": settings, "acl": _acl(holders)}


def nats(site: Site, holders: Sequence[Holder]) -> dict[str, str]:
    """`nats.conf` and `accounts.conf`. NATS reads no list of revoked certificates: who is revoked is no user any more.

    So a user is the URI in a certificate, which renewal keeps and a new enrolment does not.
    """
    settings = f"""\
# {MADE}
server_name: sonoedge
host: "127.0.0.1"
port: {site.inside_port}
pid_file: {_text(site.folder / PID)}
max_payload: {PAYLOAD_MOST}
max_pending: 16MB
write_deadline: "10s"
jetstream {{ store_dir: {_text(site.data)}, sync_interval: always, max_memory_store: 64MB, max_file_store: 4GB }}
mqtt {{
  host: {_text(site.host)}
  port: {site.port}
  max_ack_pending: 2000
  ack_wait: "10s"
  tls {{
    ca_file: {_text(site.authority)}
    cert_file: {_text(site.certificate)}
    key_file: {_text(site.key)}
    verify_and_map: true
    min_version: "1.2"
    timeout: 5
  }}
}}
include "accounts.conf"
"""
    return {"nats.conf": settings, "accounts.conf": _accounts(holders)}


def made(kind: Kind, site: Site, holders: Sequence[Holder]) -> dict[str, str]:
    return mosquitto(site, holders) if kind == "mosquitto" else nats(site, holders)


def _acl(holders: Sequence[Holder]) -> str:
    lines = [f"# {MADE}"]
    for holder in holders:
        rights = holder.rights
        lines += ["", f"user {holder.who.common_name}"]
        lines += [f"topic write {topic}" for topic in rights.says]
        lines += [f"topic read {topic}" for topic in rights.hears]
    return "\n".join(lines) + "\n"


def _accounts(holders: Sequence[Holder]) -> str:
    users = "\n".join(_user(uri, holder.rights) for holder in holders for uri in holder.uris)
    return f"""\
# {MADE}
accounts {{
  SONO {{
    jetstream: enabled
    users: [
{users}
    ]
  }}
  SYS {{}}
}}
system_account: SYS
"""


def _user(uri: str, rights: Rights) -> str:
    """An empty list would allow everything: who may say nothing is denied it by name."""
    says = _permission([_subject(topic) for topic in rights.says])
    hears = _permission([*(_subject(topic) for topic in rights.hears), "$MQTT.sub.>"] if rights.hears else [])
    kinds = '["MQTT"]'
    return (
        f"      {{ user: {_text(uri)}, allowed_connection_types: {kinds}, "
        f"permissions: {{ publish: {says}, subscribe: {hears} }} }}"
    )


def _permission(subjects: Sequence[str]) -> str:
    return f"{{ allow: {json.dumps(subjects)} }}" if subjects else '{ deny: [">"] }'


def _subject(topic: str) -> str:
    return topic.replace("/", ".").replace("+", "*")


def _text(value: object) -> str:
    return json.dumps(str(value))
