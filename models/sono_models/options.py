"""Options that several commands take: NAME=VALUE pairs, and lists of groups."""

from __future__ import annotations

from pathlib import Path

from sono_models.errors import BadConfig


def pairs(given: list[str] | None, option: str) -> dict[str, list[str]]:
    """NAME=VALUE options as a mapping; a repeated name collects its values. Raises BadConfig."""
    found: dict[str, list[str]] = {}
    for pair in given or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise BadConfig(f"{option} {pair}", "not of the form NAME=VALUE", f"Write {option} NAME=VALUE")
        found.setdefault(name, []).append(value)
    return found


def roots(given: list[str] | None) -> dict[str, Path]:
    """The folders that a recipe's tables are relative to, by name."""
    return {name: Path(values[-1]) for name, values in pairs(given, "--root").items()}


def read_groups(path: Path) -> frozenset[str]:
    """Groups or patients, one a line; `#` starts a comment. Raises BadConfig when there is no such file."""
    if not path.is_file():
        raise BadConfig(str(path), "there is no such list of groups", "Name a text file, one group a line")
    lines = (line.split("#")[0].strip() for line in path.read_text("utf-8").splitlines())
    return frozenset(line for line in lines if line)
