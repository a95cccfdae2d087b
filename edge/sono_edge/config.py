"""The device's configuration: one frozen tree, read once from agent.toml. Every default stands here.

A relative path in a file is relative to that file's folder, so that two programs started in different
folders still meet in the same outbox.
"""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from sono_models.address import address, is_loopback
from sono_models.errors import BadConfig
from sono_models.messages import topic_of

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
PortOrFree = Annotated[int, msgspec.Meta(ge=0, le=65535)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Window = Annotated[int, msgspec.Meta(ge=1, le=20)]
"""At most 20: on reconnect the MQTT library sends all it holds at once, whatever the broker's limit."""
KeepAlive = Annotated[int, msgspec.Meta(ge=5, le=3600)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of agent.toml."""


class Device(Section, frozen=True):
    """Who this is, in topics and events: 1 to 64 of A-Z a-z 0-9 _ - each."""

    site: str = "demo"
    id: str = "board-1"


class SourceSection(Section, frozen=True):
    uri: str = "phantom:"


class Model(Section, frozen=True):
    bundle: str = ""
    """A bundle's file or folder; empty is the default bundle."""
    runtime: Literal["onnx", "litert"] = "onnx"
    threads: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1
    profile: str = ""
    """A site profile's file; empty is the bundle's own threshold and limits."""
    profile_key: str = ""
    """The public key of who makes this site's profiles."""


class View(Section, frozen=True):
    """The page. Bound wider than loopback it needs a token."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: PortOrFree = 8780
    """0 is any free port."""
    token: str = ""


class Broker(Section, frozen=True):
    host: str = "127.0.0.1"
    port: Port = 1883
    also: tuple[str, ...] = ()
    """HOST:PORT of the other nodes of a cluster; when one is lost, the next is tried."""
    username: str = ""
    password_file: str = ""
    """A file with the password on its first line: it stays out of agent.toml."""
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""
    keepalive_s: KeepAlive = 20

    @property
    def tls(self) -> bool:
        return bool(self.tls_ca or self.tls_cert)

    def password(self) -> str:
        """Raises BadConfig when the file cannot be read."""
        if not self.password_file:
            return ""
        try:
            return Path(self.password_file).read_text(encoding="utf-8").partition("\n")[0].strip()
        except (OSError, UnicodeDecodeError) as problem:
            raise BadConfig(
                f"broker.password_file {self.password_file}",
                f"it cannot be read ({problem.__class__.__name__})",
                "Write the password into it, readable by the user that runs sono",
            ) from problem


class StateFolder(Section, frozen=True):
    folder: str = "state"
    """Where the outbox and the recordings live; made when it is missing."""

    @property
    def outbox(self) -> Path:
        return Path(self.folder) / "outbox.sqlite"

    @property
    def identity(self) -> Path:
        """Where `sono enroll` keeps this board's certificate."""
        return Path(self.folder) / "identity"

    @property
    def scans(self) -> Path:
        return Path(self.folder) / "scans"


class Scan(Section, frozen=True):
    """What a scan leaves on this device's disk."""

    enabled: bool = True
    """What it costs: `sono bench live --scans`; about 10 MB of memory and a tenth more CPU."""
    quota_mb: Annotated[int, msgspec.Meta(ge=10, le=1_000_000)] = 2000
    """The oldest scan whose alerts were acknowledged makes room first."""
    preroll_s: Annotated[float, msgspec.Meta(ge=0, le=15)] = 5.0
    """Seconds before an alert or a manual capture that are kept as a clip; 0 keeps none."""
    keep_days: Annotated[int, msgspec.Meta(ge=0, le=3650)] = 0
    """A scan whose alerts were acknowledged goes after so many days; 0: none does but for room."""
    export_folder: str = ""
    """A folder on a drive that is mounted when it is plugged in; empty: the page exports nothing."""


Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Ratio = Annotated[float, msgspec.Meta(gt=1, le=4)]
Frames = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Trial(Section, frozen=True):
    """How a staged bundle comes to judge frames, and what takes it back."""

    folder: str = "slots"
    """The folder of bundles, under state.folder; empty: model.bundle judges, whatever is staged."""
    latency_ratio_max: Ratio = 1.5
    """Of a candidate's time a frame to the current bundle's, in one process, in turn."""
    shadow_frames: Frames = 200
    """Live frames that both score before the candidate may judge."""
    shadow_per_s: Annotated[float, msgspec.Meta(gt=0, le=30)] = 2.0
    shadow_agreement: Share = 0.9
    """Of those frames on which both say the same of their own threshold; a bundle's envelope may say another."""
    shadow_shift: Share = 0.1
    """Of the mean calibrated score, either way; a bundle's envelope may say another."""
    shadow_wait_s: Annotated[float, msgspec.Meta(gt=0, le=2_592_000)] = 86_400.0
    quiet_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 60.0
    """Without contact for so long, nobody scans: a bundle may change."""
    probation_s: Seconds = 600.0
    probation_frames: Frames = 3000
    probation_latency_ratio_max: Ratio = 2.0
    """Of the median live latency to that under the bundle before."""
    hang_s: Annotated[float, msgspec.Meta(ge=1, le=20)] = 5.0
    """The frame loop's longest standstill under a bundle on probation."""


class Uplink(Section, frozen=True):
    window: Window = 16
    """Alerts that are sent and not yet acknowledged by the fleet's database."""
    health_s: Seconds = 30.0
    retry_first_s: Seconds = 1.0
    """The first wait before sending again or connecting again; it doubles each time, with jitter."""
    retry_longest_s: Seconds = 30.0


class Update(Section, frozen=True):
    """What the fleet may have this device run, and how the updater gets it."""

    desired_key: str = ""
    """The public key of who signs desired documents; empty: none is taken."""
    url: str = ""
    """The repository's address; empty: only a stick updates this device."""
    proxy: str = ""
    """http://HOST:PORT of the clinic's proxy; it sees only TLS, and is trusted with nothing."""
    root: str = ""
    """metadata/1.root.json of `sono fleet init`: what all trust begins with."""
    profile_key: str = ""
    """The public key of who makes this site's profiles, for those that the fleet rolls out; empty: model.profile_key,
    and without that none is taken."""
    channel: str = "stable"
    bundle: str = "breast"
    """The model that a stick updates."""
    device_class: str = ""
    """What `sono fleet publish --for` calls this kind of board."""
    budget_mb: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 100
    """Megabytes a calendar month (UTC) over the network."""
    timeout_s: Seconds = 30.0
    """So long the server may say nothing."""
    slowest_bytes_s: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 500
    """A server that sends less, over 20 s, is left."""
    longest_s: Seconds = 3600.0
    """A run ends after so long; the next one goes on."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=100)] = 5
    """In one run, without new bytes between them."""
    retry_first_s: Seconds = 2.0
    retry_longest_s: Seconds = 120.0
    tls_ca: str = ""
    tls_cert: str = ""
    tls_key: str = ""


class AgentConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: Device = Device()
    source: SourceSection = SourceSection()
    model: Model = Model()
    view: View = View()
    broker: Broker = Broker()
    state: StateFolder = StateFolder()
    scan: Scan = Scan()
    trial: Trial = Trial()
    uplink: Uplink = Uplink()
    update: Update = Update()

    @property
    def slots(self) -> Path | None:
        """None: whatever is staged, model.bundle judges."""
        return Path(self.state.folder) / self.trial.folder if self.trial.folder else None

    @property
    def profile_key(self) -> str:
        """Of the profiles that the fleet rolls out; empty: none is taken."""
        return self.update.profile_key or self.model.profile_key


PATHS = {
    "model": ("bundle", "profile", "profile_key"),
    "broker": ("password_file", "tls_ca", "tls_cert", "tls_key"),
    "state": ("folder",),
    "update": ("desired_key", "root", "profile_key", "tls_ca", "tls_cert", "tls_key"),
    "scan": ("export_folder",),
}
"""The values that are paths of this machine."""


def load(path: Path | None) -> AgentConfig:
    """The configuration of a file, or the defaults when there is none. Raises BadConfig with the key to mend."""
    if path is None:
        return AgentConfig()
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as problem:
        reason = problem.strerror or "it cannot be read"
        raise BadConfig(str(path), reason, "Name a readable file with --config") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise BadConfig(str(path), f"not TOML: {problem}", "Mend that line") from problem
    config = _converted(tree, str(path))
    anchored = {
        section: {key: _anchored(getattr(getattr(config, section), key), path) for key in keys}
        for section, keys in PATHS.items()
    }
    return _checked(_replaced(config, anchored), str(path))


def with_(config: AgentConfig, **sections: dict[str, Any]) -> AgentConfig:
    """The configuration with some values from the command line; None leaves a value as it is.

    `with_(config, view={"port": 0}, source={"uri": uri})`. Raises BadConfig as `load` does.
    """
    given = {name: {k: v for k, v in values.items() if v is not None} for name, values in sections.items()}
    tree = msgspec.to_builtins(config)
    for name, values in given.items():
        tree[name] = {**tree.get(name, {}), **values}
    return _checked(_converted(tree, "the command line"), "the command line")


def _converted(tree: dict[str, Any], where: str) -> AgentConfig:
    _refuse_unknown(tree, AgentConfig, where, "")
    try:
        return msgspec.convert(tree, AgentConfig)
    except msgspec.ValidationError as problem:
        reason, _, key = str(problem).partition(" - at ")
        name = key.strip("`").removeprefix("$.") or "the file"
        raise BadConfig(where, f"{name}: {reason[:1].lower()}{reason[1:]}", f"Mend {name}") from problem


def _refuse_unknown(tree: dict[str, Any], struct: type[msgspec.Struct], where: str, prefix: str) -> None:
    known = {field.name: field.type for field in msgspec.structs.fields(struct)}
    for key, value in tree.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
            raise BadConfig(where, f"unknown key {prefix}{key}", f"Did you mean {prefix}{near}?")
        kind = known[key]
        if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            _refuse_unknown(value, kind, where, f"{prefix}{key}.")


def _replaced(config: AgentConfig, values: dict[str, dict[str, Any]]) -> AgentConfig:
    changed = {name: msgspec.structs.replace(getattr(config, name), **keys) for name, keys in values.items()}
    return msgspec.structs.replace(config, **changed)


def _anchored(value: str, file: Path) -> str:
    return str(file.parent / value) if value else value


def _checked(config: AgentConfig, where: str) -> AgentConfig:
    """The rules that span values."""
    topic_of(config.device.site, config.device.id, "state")
    if not config.view.token and not is_loopback(config.view.host):
        raise BadConfig(
            where,
            f"view.host {config.view.host} is reachable from outside and view.token is empty",
            "Set view.token, or view.host to 127.0.0.1",
        )
    for other in config.broker.also:
        address(other)
    if bool(config.broker.tls_cert) != bool(config.broker.tls_key):
        raise BadConfig(where, "broker.tls_cert and broker.tls_key go together", "Set both, or neither")
    if bool(config.model.profile) != bool(config.model.profile_key):
        raise BadConfig(where, "model.profile and model.profile_key go together", "Set both, or neither")
    if config.broker.password_file and not config.broker.username:
        raise BadConfig(where, "broker.password_file without broker.username", "Set broker.username")
    if config.uplink.retry_longest_s < config.uplink.retry_first_s:
        raise BadConfig(where, "uplink.retry_longest_s is below uplink.retry_first_s", "Raise uplink.retry_longest_s")
    _check_update(config.update, where)
    return config


def _check_update(update: Update, where: str) -> None:
    if bool(update.tls_cert) != bool(update.tls_key):
        raise BadConfig(where, "update.tls_cert and update.tls_key go together", "Set both, or neither")
    if update.retry_longest_s < update.retry_first_s:
        raise BadConfig(where, "update.retry_longest_s is below update.retry_first_s", "Raise update.retry_longest_s")
    if update.proxy and not urlsplit(update.proxy).hostname:
        raise BadConfig(where, f"update.proxy {update.proxy} is not http://HOST:PORT", "Write it so, or leave it empty")
    if not update.url:
        return
    parts = urlsplit(update.url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise BadConfig(where, f"update.url {update.url} is not https://HOST/PATH", "Name the repository's address")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise BadConfig(where, f"update.url {update.url} is not encrypted", "Write https://")
