"""The options that give a server its credential; the secret itself is never an argument, which every user can read."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

KINDS = ("none", "basic", "bearer", "api_key")
# By kind, the member of `auth` that is the secret.
SECRETS = {"basic": "password", "bearer": "token", "api_key": "key"}
MOST_BYTES = 16 * 1024
STDIN = "-"

OPTIONS = (
    click.option(
        "--auth-type",
        type=click.Choice(KINDS),
        help="How the server, or the proxy before it, is told who asks. The secret is asked for, or read from "
        "--secret-file; none takes the credential away.",
    ),
    click.option("--username", metavar="NAME", help="User name of a basic credential."),
    click.option("--auth-header", metavar="NAME", help="Header of an api_key; X-API-Key if not given."),
    click.option(
        "--secret-file",
        metavar="FILE",
        help="File with the password, token or key, - for standard input; one line break at its end does not count.",
    ),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def options(function: Function) -> Function:
    """Give a command all of them, in this order."""
    for option in reversed(OPTIONS):
        function = option(function)
    return function


def take(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with these options replaced by `auth` as the API takes it, if they were given."""
    kind, username, header, file = (
        values.pop(name, None) for name in ("auth_type", "username", "auth_header", "secret_file")
    )
    _require_sense(kind, username=username, header=header, file=file)
    if kind is None:
        return values
    auth = {"type": kind}
    if username is not None:
        auth["username"] = username
    if header is not None:
        auth["header"] = header
    if kind in SECRETS:
        auth[SECRETS[kind]] = _prompted(SECRETS[kind]) if file is None else _read(file)
    return values | {"auth": auth}


def _require_sense(kind: str | None, *, username: str | None, header: str | None, file: str | None) -> None:
    if (username is None) is (kind == "basic"):
        raise click.UsageError("--username goes with --auth-type basic, and that with it.")
    if header is not None and kind != "api_key":
        raise click.UsageError("--auth-header goes with --auth-type api_key.")
    if file is not None and kind not in SECRETS:
        raise click.UsageError("--secret-file goes with --auth-type basic, bearer or api_key.")


def _prompted(name: str) -> str:
    if not sys.stdin.isatty():
        raise click.UsageError(f"There is no terminal to ask for the {name} at: give it with --secret-file FILE or -.")
    secret: str = click.prompt(name.capitalize(), hide_input=True, err=True)
    return secret


def _read(file: str) -> str:
    try:
        if file == STDIN:
            raw = sys.stdin.buffer.read(MOST_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise click.ClickException(f"The secret cannot be read from {file}: {error.strerror}.") from error
    if len(raw) > MOST_BYTES:
        raise click.ClickException(f"The secret in {file} is longer than any credential.")
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Without the cause, which repeats what stands there.
        raise click.ClickException(f"The secret in {file} is not text in UTF-8.") from None
