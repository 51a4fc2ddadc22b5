"""The options that say what a server is like and what its credential is, shared by `servers add` and `servers set`.

A secret is never an argument, which every user can read.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

import click

from api.cli.screen import terminal
from monitor.domain.server import AUTO, Api
from monitor.durations import parse_duration

NONE = "none"


class Clear(Enum):
    """The value of an option that gives a field its default back."""

    CLEAR = NONE


class Override(click.ParamType[Any]):
    """A number, or a duration in seconds, that overrides a setting; `none` takes the override away."""

    def __init__(self, *, duration: bool) -> None:
        self._duration = duration
        self.name = "duration" if duration else "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return seconds, a number, or CLEAR."""
        if value == NONE:
            return Clear.CLEAR
        if not self._duration:
            return click.INT.convert(value, param, ctx)

        try:
            return parse_duration(value).total_seconds()
        except ValueError as error:
            self.fail(f"{value!r}: {error}, or none.", param, ctx)


class OrNone(click.ParamType[Any]):
    """A text; `none` takes it away."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text, or CLEAR."""
        return Clear.CLEAR if value == NONE else value


TEXT = OrNone()
DURATION, NUMBER = Override(duration=True), Override(duration=False)

FIELD_OPTIONS = (
    click.option("--priority", type=int, metavar="N", help="Higher is preferred; 0 if not given."),
    click.option("--default/--no-default", "is_default", default=None, help="The one to take when nothing is asked."),
    click.option("--active/--inactive", "is_active", default=None, help="An inactive server is never probed."),
    click.option("--max-concurrent", type=int, metavar="N", help="Most requests at once; 1 if not given."),
    click.option(
        "--capability",
        "capabilities",
        multiple=True,
        metavar="C",
        help="What the server is for, such as chat; may be repeated. All of them are given anew, or none.",
    ),
    click.option("--label", "labels", multiple=True, metavar="KEY=VALUE", help="A label; may be repeated."),
    click.option("--interval", "check_interval_seconds", type=DURATION, metavar="15s", help="Time between checks."),
    click.option("--timeout", "check_timeout_seconds", type=DURATION, metavar="5s", help="Time for a probe."),
    click.option("--rise", type=NUMBER, metavar="N", help="Good probes in a row that bring it back up."),
    click.option("--fall", type=NUMBER, metavar="N", help="Bad probes in a row that take it down."),
    click.option(
        "--watch/--no-watch", "connection_watch", default=None, help="Hold an idle connection to see its death at once."
    ),
    click.option("--site", type=TEXT, metavar="SITE", help="The site where the server stands; none takes it away."),
    click.option(
        "--ca-file",
        "ca_pem",
        metavar="FILE",
        help="Certificates (PEM) of the only authorities that may vouch for the server; - for standard input, none for "
        "the system's. What is in it is stored, not its path.",
    ),
    click.option(
        "--client-cert",
        metavar="FILE",
        help="Certificate (PEM) to show to a server that asks for one; none removes it.",
    ),
    click.option("--client-key", metavar="FILE", help="Its private key (PEM, no passphrase), which is stored sealed."),
    click.option(
        "--tls-server-name", type=TEXT, metavar="NAME", help="Name in its certificate, if not the URL's host."
    ),
    click.option(
        "--api",
        type=click.Choice((AUTO, *(api.value for api in Api))),
        help="The API that it speaks: Ollama's own or only an OpenAI-style one; auto, if not given, has it found out.",
    ),
    click.option("--api-version", metavar="V", help="Path prefix of its OpenAI-style API; v1 if not given."),
)

Function = TypeVar("Function", bound=Callable[..., Any])


def field_options(function: Function) -> Function:
    """Give a command all of them, in this order."""
    for option in reversed(FIELD_OPTIONS):
        function = option(function)
    return function


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that were given, as the schemas of the API take them; None gives a default back."""
    fields = {name: value for name, value in values.items() if value not in (None, ())}
    fields = {name: None if value is Clear.CLEAR else value for name, value in fields.items()}
    if "capabilities" in fields:
        capabilities = list(fields["capabilities"])
        fields["capabilities"] = [] if capabilities == [NONE] else capabilities
    if "labels" in fields:
        fields["labels"] = labels(fields["labels"])
    return fields


def labels(texts: Iterable[str]) -> dict[str, str]:
    """Read labels written as KEY=VALUE."""
    found: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            before, colon, after = text.partition(":")
            example = f": --label {before}={after}" if before and colon else ""
            raise click.UsageError(f"A label is written KEY=VALUE, not {text!r}{example}.")
        found[key] = value
    return found


KINDS = ("none", "basic", "bearer", "api_key")
# By kind, the member of `auth` that is the secret.
SECRETS = {"basic": "password", "bearer": "token", "api_key": "key"}
MOST_BYTES = 16 * 1024
MOST_BYTES_OF_PEM = 1024 * 1024
PEM_OPTIONS = {"ca_pem": "certificates", "client_cert": "certificate", "client_key": "private key"}
STDIN = "-"

CREDENTIAL_OPTIONS = (
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


def credential_options(function: Function) -> Function:
    """Give a command all of them, in this order."""
    for option in reversed(CREDENTIAL_OPTIONS):
        function = option(function)
    return function


def take(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with these options replaced by `auth` as the API takes it, if they were given."""
    values = _with_pem(values)
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
        auth[SECRETS[kind]] = _prompted(SECRETS[kind]) if file is None else _read(file, "secret", most=MOST_BYTES)
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
    with terminal.interruptible():
        secret: str = click.prompt(name.capitalize(), hide_input=True, err=True)
    return secret


def _with_pem(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with what is in the files of certificates and keys; `none` takes them away."""
    given = {name: values[name] for name in PEM_OPTIONS if values.get(name) is not None}
    if given.get("client_cert") == NONE and "client_key" not in given:
        given["client_key"] = NONE
    if list(given.values()).count(STDIN) > 1:
        raise click.UsageError("Only one file can come from standard input.")
    read = {
        name: Clear.CLEAR if file == NONE else _read(file, PEM_OPTIONS[name], most=MOST_BYTES_OF_PEM)
        for name, file in given.items()
    }
    return values | read


def _read(file: str, what: str, *, most: int) -> str:
    try:
        if file == STDIN:
            raw = sys.stdin.buffer.read(most + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(most + 1)
    except OSError as error:
        raise click.ClickException(f"The {what} cannot be read from {file}: {error.strerror}.") from error
    if len(raw) > most:
        raise click.ClickException(f"The {what} in {file} is too long to be one.")
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        # Without the cause, which repeats what stands there.
        raise click.ClickException(f"The {what} in {file} is not text in UTF-8.") from None
