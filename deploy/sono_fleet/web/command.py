"""`sono fleet serve` and `sono fleet account …`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sono_fleet.options import DATABASE, AsJson, By, Database, me, now, opened, table, tell
from sono_models.errors import BadConfig

if TYPE_CHECKING:
    from sono_fleet.web.identity import Role

account_app = typer.Typer(add_completion=False, no_args_is_help=True, help="Who may come to the page, and as what.")
Name = Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 . _ @ -")]
RoleName = Annotated[str, typer.Option("--role", help="viewer, operator or approver.")]
PasswordFile = Annotated[
    Path | None, typer.Option(help="Its first line is the password; - reads it from standard input. Else it is asked.")
]


def serve(
    *,
    database: Database = DATABASE,
    host: Annotated[str, typer.Option(help="Off loopback only with TLS.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 8790,
    tls_cert: Annotated[Path | None, typer.Option(help="The page's certificate, PEM.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key, PEM.")] = None,
    behind_proxy: Annotated[bool, typer.Option(help="A proxy on this machine ends TLS and passes on to here.")] = False,
    repository: Annotated[Path | None, typer.Option(help="The signed repository, for cards and evidence.")] = None,
) -> None:
    """The fleet manager's page, until it is stopped."""
    from sono_fleet.web.door import Door
    from sono_fleet.web.house import build_house
    from sono_fleet.web.server import Listening, serve

    where = Listening(host, port, tls_cert, tls_key, behind_proxy)
    where.check()
    if repository is not None and not (repository / "targets").is_dir():
        raise BadConfig(f"--repository {repository}", "it has no targets/", "Name the folder of `sono fleet init`")
    with opened(database) as there:
        house = build_house(there, Door(where.local_only, where.secure), repository=repository)
        serve(house, where, _say_where)
    print("The page has ended.", flush=True)


@account_app.command()
def add(
    name: Name,
    role: RoleName = "viewer",
    password_file: PasswordFile = None,
    elsewhere: Annotated[bool, typer.Option(help="No password here: only a provider elsewhere lets it in.")] = False,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Let a person in. The password is asked for, or read from a file; never given as an argument."""
    from sono_fleet.web.accounts import Accounts

    as_role = _role(role)
    password = None if elsewhere else _password(password_file)
    with opened(database) as there:
        Accounts(there).add(name, as_role, password, now(), by=by or me())
    print(f"{name} may come in as {role}")


@account_app.command("list")
def list_(database: Database = DATABASE, as_json: AsJson = False) -> None:
    """Every account."""
    from sono_fleet.web.accounts import Accounts

    with opened(database) as there:
        rows = Accounts(there).listed()
    if as_json:
        for row in rows:
            tell(row)
        return
    cells = [
        (
            row.name,
            row.role,
            "disabled" if row.disabled else "may come in",
            "here" if row.local else "elsewhere",
            str(row.failures),
            row.locked_until or "",
        )
        for row in rows
    ]
    table(f"{len(rows)} accounts", ("name", "role", "", "password", "wrong in a row", "locked until"), cells)


@account_app.command()
def disable(
    name: Name,
    enable: Annotated[bool, typer.Option("--enable", help="Let it in again.")] = False,
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """Keep a person out from this moment on: its sessions end."""
    from sono_fleet.web.accounts import Accounts

    with opened(database) as there:
        Accounts(there).disable(name, now(), by=by or me(), enable=enable)
    print(f"{name} {'may come in again' if enable else 'is kept out'}")


@account_app.command()
def password(name: Name, password_file: PasswordFile = None, by: By = "", database: Database = DATABASE) -> None:
    """A new password. Ends the name's sessions and its lock."""
    from sono_fleet.web.accounts import Accounts

    given = _password(password_file)
    with opened(database) as there:
        Accounts(there).set_password(name, given, now(), by=by or me())
    print(f"{name} has a new password")


@account_app.command("role")
def role_(
    name: Name,
    role: Annotated[str, typer.Argument(help="viewer, operator or approver.")],
    by: By = "",
    database: Database = DATABASE,
) -> None:
    """What a person may do, from the next log-in on."""
    from sono_fleet.web.accounts import Accounts

    as_role = _role(role)
    with opened(database) as there:
        Accounts(there).set_role(name, as_role, now(), by=by or me())
    print(f"{name} is {role}")


def _role(said: str) -> Role:
    from sono_fleet.web.identity import Role

    try:
        return Role(said)
    except ValueError as problem:
        raise BadConfig(f"--role {said}", "no such role", f"One of {', '.join(Role)}") from problem


def _password(path: Path | None) -> str:
    if path is not None:
        try:
            text = sys.stdin.readline() if str(path) == "-" else path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise BadConfig(f"--password-file {path}", str(problem), "Name a file that can be read") from problem
        return text.partition("\n")[0].rstrip("\r")
    if not sys.stdin.isatty():
        raise BadConfig(
            "password", "there is no terminal to ask on", "Give --password-file FILE, or - for standard input"
        )
    asked: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    return asked


def _say_where(url: str) -> None:
    print(f"The fleet's page: {url}", flush=True)
