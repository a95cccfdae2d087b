"""`sono fleet init | publish | published | roll-back | refresh | delegate | keys …`: what devices update from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sono_fleet.publish.releases import Published
    from sono_fleet.publish.repository import SignedRepository

Repository = Annotated[Path, typer.Option("--repository", help="The folder that devices update from.")]
Keys = Annotated[Path, typer.Option("--keys", help="The folder of the keys that are at hand.")]
Passphrase = Annotated[
    Path | None,
    typer.Option("--passphrase-file", help="A file with the passphrase of the offline keys on its first line."),
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object for machines.")]
Uri = Annotated[str, typer.Option("--new-key", help="hsm:KEYID?label=TOKEN: the new key is this token's.")]
REPOSITORY, KEYS = Path("update-repository"), Path("update-keys")
ROLES = "root, targets, model, snapshot or timestamp"

keys_app = typer.Typer(add_completion=False, no_args_is_help=True, help="The repository's keys: list, rotate, revoke.")


def register(app: typer.Typer) -> None:
    """Beside the other commands of `sono fleet`."""
    for command in (init, publish, published, refresh, delegate):
        app.command()(command)
    app.command("copy-out")(copy_out)
    app.command("roll-back")(roll_back)
    app.command("publish-profile")(publish_profile)
    app.add_typer(keys_app, name="keys")


def init(
    *,
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    model: Annotated[list[str] | None, typer.Option("--model", help="A bundle's name; repeatable.")] = None,
    channel: Annotated[list[str] | None, typer.Option("--channel", help="Repeatable; stable and beta.")] = None,
    root_key: Annotated[
        list[str] | None, typer.Option("--root-key", help="hsm:KEYID?label=TOKEN instead of a file; repeatable.")
    ] = None,
    passphrase_file: Passphrase = None,
    root_days: Annotated[int, typer.Option(min=1, help="How long the root's word holds.")] = 365,
    targets_days: Annotated[int, typer.Option(min=1)] = 365,
    model_days: Annotated[int, typer.Option(min=1)] = 180,
    snapshot_days: Annotated[int, typer.Option(min=1)] = 30,
    timestamp_days: Annotated[int, typer.Option(min=1, help="So long may the renewal stand still.")] = 7,
    as_json: Json = False,
) -> None:
    """A new repository and its keys: 2 of 3 offline root keys, one key a model, two online keys."""
    from sono_fleet.publish.drills import init as made
    from sono_fleet.publish.repository import Days, Settings

    days = Days(root_days, targets_days, model_days, snapshot_days, timestamp_days)
    settings = Settings(tuple(channel or ("stable", "beta")), days)
    root = made(
        repository,
        keys,
        models=model or ["breast"],
        settings=settings,
        root_uris=root_key or (),
        passphrase=passphrase(passphrase_file),
        pin=_pin,
        now=_now(),
    )
    if as_json:
        print(json.dumps({"repository": str(repository), "keys": str(keys), "root": str(root)}))
        return
    print(f"Repository {repository}. Give every device {root} as its update.root.")
    print(f"Keys in {keys}: take root-*.pem, targets-*.pem and the models' off this machine, each root key apart.")
    print("Only snapshot-*.pem and timestamp-*.pem stay online, for `sono fleet refresh` once a day.")


def publish(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="NAME-VERSION.tar, or a folder of them.")],
    *,
    channel: Annotated[str, typer.Option("--channel", help="Who gets to see it.")] = "stable",
    for_device: Annotated[
        list[str] | None, typer.Option("--for", help="Only for this class of device; repeatable.")
    ] = None,
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """Verify a bundle and sign it into the repository, under the next version of its channel."""
    from sono_fleet.publish import releases

    with _changing(repository, keys, passphrase_file) as change:
        done = releases.publish(change, bundle, channel, tuple(for_device or ()))
        change.commit()
    _say(done, as_json=as_json)


def publish_profile(
    profile: Annotated[Path, typer.Argument(metavar="PROFILE", help="SITE.profile.json of `sono model profile make`.")],
    *,
    profile_key: Annotated[Path, typer.Option("--profile-key", help="The public key of who made it.")],
    channel: Annotated[str, typer.Option("--channel", help="Where its bundle is published.")] = "stable",
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """Verify a site profile and sign it into the repository, beside the bundle that it is for."""
    from sono_fleet.publish import profiles

    with _changing(repository, keys, passphrase_file) as change:
        done = profiles.publish(change, profile, profile_key, channel, _now())
        change.commit()
    _say(done, as_json=as_json)


def roll_back(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="The bundle's name.")],
    *,
    to: Annotated[str, typer.Option("--to", help="The published version whose content comes back.")],
    new_version: Annotated[str, typer.Option("--as", help="The new, higher version that it gets.")],
    channel: Annotated[str, typer.Option("--channel")] = "stable",
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """Publish an old version's content again under a new version: a device only ever goes forward."""
    from sono_fleet.publish import releases

    with _changing(repository, keys, passphrase_file) as change:
        done = releases.roll_back(change, name, channel, to, new_version)
        change.commit()
    _say(done, as_json=as_json)


def published(repository: Repository = REPOSITORY, *, as_json: Json = False) -> None:
    """What is in the repository."""
    import msgspec

    from sono_fleet.publish import profiles, releases

    with _reading(repository) as opened:
        found = releases.published(opened) + profiles.out(opened)
    if as_json:
        print(json.dumps(msgspec.to_builtins(found)))
        return
    for one in found:
        print(f"{one.target}  {one.size} bytes  sha256 {one.sha256}")
    if not found:
        print("Nothing is published.")


def refresh(
    *,
    role: Annotated[
        list[str] | None, typer.Option("--role", help="Sign this offline role again too; repeatable.")
    ] = None,
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """Renew the timestamp, and the snapshot when half its time is over. Once a day, with the online keys alone."""
    from datetime import timedelta

    from sono_fleet.publish.repository import expiring

    with _changing(repository, keys, passphrase_file) as change:
        for name in role or ():
            change.sign_again(name)
        left = change.open("snapshot").signed.expires - _now()
        change.renew(snapshot=left < change.settings.days.of("snapshot") / 2)
        ends = expiring(change)
        change.commit()
    offline = [name for name in ends if name not in ("timestamp", "snapshot")]
    soon = [name for name in offline if ends[name] - _now() < timedelta(days=30)]
    if as_json:
        print(json.dumps({"expires": {name: end.isoformat() for name, end in ends.items()}, "soon": soon}))
        return
    for name, end in ends.items():
        note = f"   fewer than 30 days: sono fleet refresh --role {name}, with its key" if name in soon else ""
        print(f"{name:>12}  holds until {end:%Y-%m-%d %H:%M} UTC{note}")


def copy_out(
    *,
    to: Annotated[str, typer.Option("--to", metavar="DIR|s3://BUCKET/PREFIX", help="Where devices fetch it.")],
    endpoint: Annotated[str, typer.Option(help="The S3-compatible store's address; empty: Amazon's.")] = "",
    region: Annotated[str, typer.Option(help="Of the bucket; most other stores take any.")] = "us-east-1",
    repair: Annotated[bool, typer.Option("--repair", help="Read all that is there; write anew what differs.")] = False,
    repository: Repository = REPOSITORY,
    as_json: Json = False,
) -> None:
    """Copy the repository to where devices fetch it, in an order that never shows them half of a change."""
    import msgspec

    from sono_fleet.publish.outlets import outlet
    from sono_fleet.publish.outward import copy_out as copy

    said = _quiet if as_json else print
    done = copy(repository, outlet(to, endpoint, region), _now(), repair=repair, tell=said)
    if as_json:
        print(json.dumps(msgspec.to_builtins(done)))
        return
    print(f"{done.to}: {done.written} files written ({done.bytes} bytes) and read back, {done.skipped} were there")
    print(f"devices see timestamp {done.timestamp}")


def delegate(
    model: Annotated[str, typer.Argument(help="The name of the bundle that may be published from now on.")],
    *,
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
) -> None:
    """A key for one more model. Needs the offline targets key."""
    from sono_fleet.publish import drills

    with _changing(repository, keys, passphrase_file) as change:
        drills.delegate(change, model)
        _commit_with_keys(change)
    print(f"{model} may be published; its key is in {keys}")


@keys_app.command("list")
def list_(*, repository: Repository = REPOSITORY, keys: Keys = KEYS, as_json: Json = False) -> None:
    """Every key that counts: whose, where its private half is, when the role's word ends."""
    with _changing(repository, keys, None) as change:
        rows = [
            {
                "role": role,
                "keyid": keyid,
                "key": change.keys.named([keyid]),
                "here": change.keys.is_here(keyid),
                "threshold": change.threshold(role),
                "expires": change.open(role).signed.expires.isoformat(),
            }
            for role in change.roles()
            for keyid in change.keyids(role)
        ]
    if as_json:
        print(json.dumps({"keys": rows}))
        return
    for row in rows:
        here = "here" if row["here"] else "elsewhere"
        print(
            f"{row['role']:>12}  {row['keyid'][:12]}  {row['key']} ({here})  "
            f"{row['threshold']} must sign  holds until {row['expires'][:10]}"
        )


@keys_app.command()
def rotate(
    role: Annotated[str, typer.Argument(help=ROLES)],
    *,
    name: Annotated[str, typer.Option("--model", help="Which model's key, with `model`.")] = "",
    key: Annotated[str, typer.Option("--key", help="The head of the old key's id; default: the oldest.")] = "",
    new_key: Uri = "",
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """A new key instead of an old one, which moves to `retired/`. Devices follow by themselves."""
    from sono_fleet.publish import drills

    with _changing(repository, keys, passphrase_file) as change:
        old = drills.one_key(change, key) if key else drills.oldest_key(change, _role(role, name))
        if key and old not in change.keyids(_role(role, name)):
            raise typer.BadParameter(f"{key} is no key of {role}", param_hint="--key")
        drills.replace_key(change, old, uri=new_key)
        _commit_with_keys(change)
    _say_changed(old, role, "retired", as_json=as_json)


@keys_app.command()
def revoke(
    key: Annotated[str, typer.Argument(help="The head of the id of the key that is lost or stolen.")],
    *,
    new_key: Uri = "",
    repository: Repository = REPOSITORY,
    keys: Keys = KEYS,
    passphrase_file: Passphrase = None,
    as_json: Json = False,
) -> None:
    """Take a key's word away at once: a new one in its place, all it signed signed again, its file destroyed."""
    from sono_fleet.publish import drills

    with _changing(repository, keys, passphrase_file) as change:
        old = drills.one_key(change, key)
        role = drills.replace_key(change, old, uri=new_key, destroy=True)
        _commit_with_keys(change)
    _say_changed(old, role, "revoked", as_json=as_json)


@contextmanager
def _changing(folder: Path, keys: Path, passphrase_file: Path | None) -> Iterator[SignedRepository]:
    from sono_fleet.publish.keys import KeyFolder
    from sono_fleet.publish.repository import changing

    ring = KeyFolder.opened(keys, passphrase(passphrase_file), _pin)
    with changing(folder, ring, _now()) as change:
        yield change


@contextmanager
def _reading(folder: Path) -> Iterator[SignedRepository]:
    from sono_fleet.publish.keys import KeyFolder, Ring
    from sono_fleet.publish.repository import SignedRepository, read_settings

    yield SignedRepository(folder, KeyFolder(folder, Ring()), read_settings(folder), _now())


def _commit_with_keys(change: SignedRepository) -> None:
    """New keys before the repository that needs them, old ones away after it."""
    change.keys.save()
    change.commit()
    change.keys.drop_retired()


def _role(role: str, model: str) -> str:
    if role not in {"root", "targets", "model", "snapshot", "timestamp"}:
        raise typer.BadParameter(f"{role!r} is not {ROLES}")
    if (role == "model") != bool(model):
        raise typer.BadParameter("`rotate model` and --model NAME go together", param_hint="--model")
    return model or role


def _pin(name: str) -> str:
    """A token's PIN: of the environment (SONO_TOKEN_PIN), else asked for."""
    import getpass
    import os

    return os.environ.get("SONO_TOKEN_PIN") or getpass.getpass(f"The token's {name}: ")


def passphrase(path: Path | None) -> bytes | None:
    from sono_models.errors import BadConfig

    if path is None:
        return None
    try:
        words = path.read_bytes().partition(b"\n")[0].strip()
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise BadConfig(f"--passphrase-file {path}", reason, "Name a readable file") from error
    if not words:
        raise BadConfig(f"--passphrase-file {path}", "its first line is empty", "Write the passphrase there")
    return words


def _say(done: Published, *, as_json: bool) -> None:
    import msgspec

    if as_json:
        print(json.dumps(msgspec.to_builtins(done)))
        return
    word = "Published" if done.fresh else "Was published already, nothing changed:"
    print(f"{word} {done.name} {done.version} in {done.channel}")
    print(f"target {done.target}\nsha256 {done.sha256}\nsize   {done.size}")


def _say_changed(keyid: str, role: str, what: str, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"role": role, what: keyid}))
    else:
        print(f"Key {keyid[:12]} of {role} is {what}; a new one signs. Copy the repository to where devices fetch it.")


def _quiet(words: str) -> None:
    del words


def _now() -> Any:
    from datetime import UTC, datetime

    return datetime.now(UTC)
