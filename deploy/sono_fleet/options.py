"""Options and tables that the fleet's commands share."""

from __future__ import annotations

import getpass
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sono_fleet.database import Database as Opened

Database = Annotated[
    str,
    typer.Option(envvar="SONO_FLEET_DATABASE", help="An SQLAlchemy URL: sqlite:///FILE or postgresql+psycopg://…"),
]
DATABASE = "sqlite:///fleet.sqlite"
AsJson = Annotated[bool, typer.Option("--json", help="For a machine: JSON, one object a line.")]
Brokers = Annotated[
    str, typer.Option("--broker", metavar="HOST:PORT,…", help="The broker, or every node of its cluster.")
]
BROKERS = "127.0.0.1:1883"
By = Annotated[str, typer.Option(envvar="SONO_FLEET_BY", help="Whose word this is; the audit log keeps it.")]


Metrics = Annotated[
    str, typer.Option(metavar="HOST:PORT", help="Serve /metrics for Prometheus there; empty: nowhere. Needs no broker.")
]


def me() -> str:
    return getpass.getuser()


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def opened(url: str) -> Iterator[Opened]:
    from sono_fleet.database import Database as Made  # noqa: PLC0415  (heavy: only when a command runs)

    with Made(url) as database:
        yield database


def tell(row: object) -> None:
    """One JSON object on a line."""
    import msgspec  # noqa: PLC0415

    print(msgspec.json.encode(row).decode(), flush=True)  # noqa: T201


def table(title: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    shown = Table(title=title)
    for column in columns:
        shown.add_column(column)
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    Console().print(shown)


def host_and_port(text: str, option: str = "--broker") -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise typer.BadParameter(f"{text!r} is not HOST:PORT", param_hint=option)
    return host, int(port)


def nodes(text: str) -> tuple[str, int, tuple[str, ...]]:
    """HOST:PORT[,HOST:PORT…]: the first node of a cluster, and the others as an endpoint takes them."""
    from sono_models.address import addresses  # noqa: PLC0415
    from sono_models.errors import BadConfig  # noqa: PLC0415

    try:
        (host, port), *others = addresses(text)
    except BadConfig as problem:
        raise typer.BadParameter(str(problem), param_hint="--broker") from problem
    return host, port, tuple(f"{name}:{number}" for name, number in others)
