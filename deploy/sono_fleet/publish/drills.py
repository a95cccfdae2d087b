"""Setting a repository up, and changing its keys so that a device that slept through it still follows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from tuf.api.metadata import DelegatedRole, Delegations, Root, Snapshot, Targets, Timestamp

from sono_fleet.publish.keys import RING, KeyFolder, Ring
from sono_fleet.publish.repository import METADATA, SETTINGS, TOP, Settings, SignedRepository, locked
from sono_models.durable import on_disk, write_durably
from sono_models.errors import BadConfig
from sono_models.release import CHANNEL, MODEL

ROOT_KEYS = 3


def init(
    folder: Path,
    keys: Path,
    *,
    models: Sequence[str],
    settings: Settings,
    root_uris: Sequence[str] = (),
    passphrase: bytes | None = None,
    pin: Callable[[str], str] | None = None,
    now: datetime,
) -> Path:
    """A new repository with new keys; where the root lies that devices are given. Raises BadConfig."""
    _checked(folder, keys, models, settings)
    ring = KeyFolder(keys, Ring(), passphrase, pin)
    repository = SignedRepository(folder, ring, settings, now)
    with repository.edit_root() as root:
        uris = [*root_uris, *[""] * ROOT_KEYS][: max(ROOT_KEYS, len(root_uris))]
        for uri in uris:
            root.add_key(ring.make(Root.type, uri), Root.type)
        root.roles[Root.type].threshold = settings.root_threshold
        for role in (Targets.type, Snapshot.type, Timestamp.type):
            root.add_key(ring.make(role), role)
    with repository.edit_targets() as targets:
        targets.delegations = Delegations({}, roles={})
        for model in models:
            _delegate(targets, model, ring, settings)
    for model in models:
        with repository.edit_targets(model):
            pass
    repository.renew()
    ring.save()
    _settle(folder, settings)
    with locked(folder):
        repository.commit()
    return folder / METADATA / "1.root.json"


def delegate(repository: SignedRepository, model: str) -> None:
    """A key of its own for one more model. Commits nothing."""
    if model in repository.roles() or not MODEL.fullmatch(model):
        reason = "is a role already" if model in repository.roles() else "not 1 to 32 of a-z 0-9 - _"
        raise BadConfig(f"model {model}", reason, "Choose another name")
    with repository.edit_targets() as targets:
        _delegate(targets, model, repository.keys, repository.settings)
    with repository.edit_targets(model):
        pass
    repository.renew()


def replace_key(repository: SignedRepository, keyid: str, *, uri: str = "", destroy: bool = False) -> str:
    """A new key in the place of this one; whose it was. Commits nothing.

    The chain that an old device follows stays whole: a new root is signed by enough of the old keys and of
    the new ones, and what the old key had signed is signed again.
    """
    role = _role_of(repository, keyid)
    if role in TOP:
        with repository.edit_root() as root:
            root.add_key(repository.keys.make(role, uri), role)
            root.revoke_key(keyid, role)
    else:
        with repository.edit_targets() as targets:
            targets.add_key(repository.keys.make(role, uri), role)
            targets.revoke_key(keyid, role)
    if role not in {Root.type, Snapshot.type, Timestamp.type}:
        with repository.edit_targets(role):
            pass
    repository.renew()
    repository.keys.retire(keyid, destroy=destroy)
    return role


def oldest_key(repository: SignedRepository, role: str) -> str:
    """The key of a role that has served longest: keys are appended."""
    return repository.keyids(role)[0]


def one_key(repository: SignedRepository, name: str) -> str:
    """The key that a person means by the head of its id. Raises BadConfig."""
    known = {keyid for role in repository.roles() for keyid in repository.keyids(role)}
    found = [keyid for keyid in known if keyid.startswith(name)]
    if len(found) != 1 or not name:
        reason = "no key begins so" if not found else "more than one key begins so"
        raise BadConfig(f"key {name}", reason, "See `sono fleet keys list`")
    return found[0]


def _role_of(repository: SignedRepository, keyid: str) -> str:
    return next(role for role in repository.roles() if keyid in repository.keyids(role))


def _delegate(targets: Targets, model: str, ring: KeyFolder, settings: Settings) -> None:
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    paths = [f"{model}/{channel}/*" for channel in settings.channels]
    targets.delegations.roles[model] = DelegatedRole(model, [], 1, terminating=True, paths=paths)
    targets.add_key(ring.make(model), model)


def _checked(folder: Path, keys: Path, models: Sequence[str], settings: Settings) -> None:
    for place, name in ((folder, SETTINGS), (keys, RING)):
        if (place / name).exists():
            raise BadConfig(str(place), "is in use already", "Choose another folder: nothing here is overwritten")
    if keys.resolve() == folder.resolve() or folder.resolve() in keys.resolve().parents:
        raise BadConfig(str(keys), "lies in the repository, which is public", "Keep the keys in another folder")
    for option, names, form in (("--model", models, MODEL), ("--channel", settings.channels, CHANNEL)):
        wrong = [name for name in names if not form.fullmatch(name) or name in TOP or list(names).count(name) > 1]
        if wrong:
            raise BadConfig(f"{option} {wrong[0]}", "not 1 to 32 of a-z 0-9 - _, or twice", "Choose another name")
    if min(msgspec.structs.astuple(settings.days)) < 1:
        raise BadConfig("the days", "a role's word must hold a day at least", "Give 1 or more")


def _settle(folder: Path, settings: Settings) -> None:
    with on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        text = msgspec.json.format(msgspec.json.encode(settings), indent=1) + b"\n"
        write_durably(folder / SETTINGS, text)
