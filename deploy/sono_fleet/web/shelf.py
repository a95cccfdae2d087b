"""Model versions: what is registered, and where the signed repository is at hand, each one's card and evidence."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from markdown_it import MarkdownIt

from sono_fleet.database import Database
from sono_fleet.rollout import releases
from sono_fleet.rollout.fleet import Release
from sono_models import bundle as bundles
from sono_models.errors import BadBundle
from sono_models.manifest import Manifest

KEPT = 8
EVIDENCE_MOST = 200_000
"""Bytes of one evidence file that is shown whole."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`missing`: why there is no card, in words; then the rest is empty."""

    missing: str
    card: str = ""
    """HTML, made from the card's Markdown with HTML in it switched off."""
    evidence: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """Of each file its name, and its values by their path in it."""
    manifest: Manifest | None = None


class Shelf:
    """`repository`: the folder of `sono fleet init`, or None. A bundle is verified whole before a word is shown."""

    def __init__(self, database: Database, repository: Path | None) -> None:
        self._database, self._repository = database, repository
        self._kept: dict[str, Opened] = {}
        self._lock = threading.Lock()

    def releases(self) -> list[Release]:
        return releases.listed(self._database)

    def one(self, sha256: str) -> tuple[Release, Opened] | None:
        found = next((one for one in self.releases() if one.sha256 == sha256), None)
        return None if found is None else (found, self._opened(found))

    def _opened(self, release: Release) -> Opened:
        if release.kind != "bundle":
            return Opened("a site profile has no card of its own: see its bundle's")
        with self._lock:
            if release.sha256 in self._kept:
                return self._kept[release.sha256]
            opened = self._read(release)
            if not opened.missing:
                self._kept[release.sha256] = opened
                if len(self._kept) > KEPT:
                    del self._kept[next(iter(self._kept))]
            return opened

    def _read(self, release: Release) -> Opened:
        if self._repository is None:
            return Opened("this server was started without --repository, so it has no bundle to read")
        folder, _, name = release.target.rpartition("/")
        root = (self._repository / "targets").resolve()
        path = (root / folder / f"{release.sha256}.{name}").resolve()
        if not path.is_relative_to(root) or not path.is_file():
            return Opened(f"its file is not in the repository ({release.target})")
        try:
            found = bundles.read(path)
            if found.sha256 != release.sha256:
                return Opened("its file in the repository has another sha256 than the registered release")
            card = found.content("card.md").decode("utf-8", "replace")
            evidence = tuple(
                (name.removeprefix("evidence/"), _values(found.content(name)))
                for name in sorted(found.members)
                if name.startswith("evidence/") and name.endswith(".json")
            )
        except (BadBundle, OSError) as problem:
            return Opened(f"its file in the repository cannot be used: {problem}")
        text = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image").render(card)
        return Opened("", text, evidence, found.manifest)


def _values(content: bytes) -> tuple[tuple[str, str], ...]:
    if len(content) > EVIDENCE_MOST:
        return (("", f"{len(content)} bytes: too long to show, see the bundle"),)
    try:
        tree = msgspec.json.decode(content)
    except msgspec.DecodeError as problem:
        return (("", f"it cannot be read: {problem}"),)
    return tuple(_flat("", tree))[:400]


def _flat(path: str, tree: Any) -> list[tuple[str, str]]:
    if isinstance(tree, dict):
        if set(tree) == {"value", "lo", "hi"} and all(isinstance(one, int | float) for one in tree.values()):
            return [(path, f"{tree['value']:.4g} ({tree['lo']:.4g} to {tree['hi']:.4g})")]
        return [line for key, value in tree.items() for line in _flat(f"{path} {key}".strip(), value)]
    if isinstance(tree, list):
        if all(not isinstance(one, dict | list) for one in tree):
            shown = ", ".join(_said(one) for one in tree[:12])
            return [(path, shown + (f", … ({len(tree)})" if len(tree) > 12 else ""))]
        return [line for place, value in enumerate(tree) for line in _flat(f"{path} {place + 1}", value)]
    return [(path, _said(tree))]


def _said(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
