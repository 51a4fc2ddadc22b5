"""`ollama-fleet token …`: who may use the API, and what for."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from api.cli.groups import OrderedGroup
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output, text
from api.cli.screen.column import Column
from api.cli.servers.commands import json_option

if TYPE_CHECKING:
    from api.cli.access.token_desk import TokenDesk

SCOPES = ("read", "write", "credentials", "admin")
LONGEST_DAYS = 36_500
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
COLUMNS = (
    Column(title="NAME", wraps=True),
    Column(title="STATE", coloured=True),
    Column(title="SCOPES"),
    Column(title="CREATED"),
    Column(title="EXPIRES"),
    Column(title="LAST USED"),
)


class TokenName(click.ParamType[str]):
    """A name that fits into an event, a log line and a shell command."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name as it was given."""
        if not NAME.fullmatch(value):
            self.fail("A name is letters, digits and . _ @ -, begins with a letter or digit, 64 at most.", param, ctx)
        return str(value)


class Lifetime(click.ParamType[timedelta]):
    """How long a token is good."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration."""
        from monitor.durations import parse_duration  # noqa: PLC0415  (0.3 s that `--help` need not wait for)

        if str(value).strip().isdecimal():
            # Elsewhere a bare number is seconds; nobody who writes 90 here means these.
            self.fail(f"{value!r}: say of what, as in {str(value).strip()}d or {str(value).strip()}h.", param, ctx)
        try:
            lifetime = parse_duration(value)
        except ValueError:
            self.fail(f"{value!r}: write a number with a unit, as in 90d or 12h.", param, ctx)
        if not timedelta() < lifetime <= timedelta(days=LONGEST_DAYS):
            self.fail(f"{value!r}: give more than nothing, and at most {LONGEST_DAYS}d.", param, ctx)
        return lifetime


def desk(invocation: Invocation) -> "TokenDesk":
    """Return what does the work."""
    from api.cli.access.token_desk import TokenDesk  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    return TokenDesk(invocation)


@click.group(
    cls=OrderedGroup,
    epilog="Example: ollama-fleet token create ci --scope read",
    short_help="Make, list and revoke tokens of the API.",
)
def token() -> None:
    """Make, list and revoke tokens of the API.

    Without any token the API is open to its own machine and closed to all others. From the first one on every
    request needs one, also when all of them are revoked or expired; only an empty table, as after
    `ollama-fleet db psql -- -c 'DELETE FROM api_tokens'`, opens it again.
    """


@token.command(epilog="Example: ollama-fleet token create ci --scope read --expires 90d > ci.token")
@click.argument("name", type=TokenName())
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice(SCOPES),
    help="What it may do; may be repeated. write contains read; credentials does not come with write; admin is all.",
)
@click.option(
    "--expires", "lifetime", type=Lifetime(), metavar="90d", help="How long it is good; for ever if left out."
)
@json_option
@pass_invocation
def create(
    invocation: Invocation, *, name: str, scopes: tuple[str, ...], lifetime: timedelta | None, as_json: bool
) -> None:
    """Make a token and print it, once.

    The token alone goes to standard output, the words around it to standard error. What is stored does not
    give it away, so it cannot be shown again.
    """
    made = desk(invocation).created(name, scopes=scopes, lifetime=lifetime)
    if as_json:
        output.as_json({"name": name, "scopes": list(dict.fromkeys(scopes)), "token": made})
        return
    output.note(
        f"The token {name}; it is not shown again. Send it as `Authorization: Bearer TOKEN`, or set "
        "OLLAMA_FLEET_API_TOKEN. Within two seconds the API asks every request for one."
    )
    output.say(made)


@token.command("list", epilog="Example: ollama-fleet token list")
@json_option
@pass_invocation
def list_(invocation: Invocation, *, as_json: bool) -> None:
    """List tokens, also those that are revoked or expired."""
    found = desk(invocation).listed()
    if as_json:
        output.as_json([asdict(record) for record in found])
        return
    now = datetime.now(UTC)
    rows = [
        [
            text.printable(record.name),
            record.state,
            ", ".join(record.scopes),
            text.age(record.created_at, now=now),
            "never" if record.expires_at is None else text.age(record.expires_at, now=now),
            "never" if record.last_used_at is None else text.age(record.last_used_at, now=now),
        ]
        for record in found
    ]
    output.table(COLUMNS, rows, empty="There is no token: the API is open to this machine, and closed to all others.")


@token.command(epilog="Example: ollama-fleet token revoke ci")
@click.argument("name")
@pass_invocation
def revoke(invocation: Invocation, *, name: str) -> None:
    """Take a token back.

    An API at work stops taking it within two seconds, and ends the streams that it opened.
    """
    desk(invocation).revoked(name)
    output.say(f"The token {text.printable(name)} is revoked.")
