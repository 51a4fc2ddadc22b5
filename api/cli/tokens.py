"""`ollama-fleet token …`: who may use the API, and what for."""

import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import click

from api.cli import sessions
from api.cli.arguments import json_option
from api.cli.groups import OrderedGroup
from api.cli.invocation import Invocation
from api.cli.screen import output, text
from api.cli.screen.output import Column
from api.fleet.access import tokens
from api.fleet.queries import tokens as queries
from monitor.domain.errors import ConfigurationError, FleetError
from monitor.durations import parse_duration
from monitor.postgres.database import Row

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


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRecord:
    """What may be shown of a token; `state` is active, expired or revoked."""

    name: str
    scopes: list[str]
    state: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


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
@sessions.coroutine
async def create(
    invocation: Invocation, *, name: str, scopes: tuple[str, ...], lifetime: timedelta | None, as_json: bool
) -> None:
    """Make a token and print it, once.

    The token alone goes to standard output, the words around it to standard error. What is stored does not
    give it away, so it cannot be shown again.
    """
    _require_database(invocation)
    token_id, given = uuid4(), list(dict.fromkeys(scopes))
    made = tokens.make(token_id)
    digest = tokens.digest(made)
    async with sessions.database(invocation, makes=True) as database, database.session() as connection:
        await queries.insert(connection, token_id, name=name, digest=digest, scopes=given, lifetime=lifetime)
    if as_json:
        output.as_json({"name": name, "scopes": given, "token": made})
        return
    output.note(
        f"The token {name}; it is not shown again. Send it as `Authorization: Bearer TOKEN`, or set "
        "OLLAMA_FLEET_API_TOKEN. Within two seconds the API asks every request for one."
    )
    output.say(made)


@token.command("list", epilog="Example: ollama-fleet token list")
@json_option
@sessions.coroutine
async def list_(invocation: Invocation, *, as_json: bool) -> None:
    """List tokens, also those that are revoked or expired."""
    _require_database(invocation)
    async with sessions.database(invocation) as database, database.session() as connection:
        found = [_record(row) for row in await queries.read_all(connection)]
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
@sessions.coroutine
async def revoke(invocation: Invocation, *, name: str) -> None:
    """Take a token back.

    An API at work stops taking it within two seconds, and ends the streams that it opened.
    """
    _require_database(invocation)
    async with sessions.database(invocation) as database, database.session() as connection:
        if not await queries.revoke(connection, name):
            raise FleetError(f"There is no token {name} that could be revoked. `ollama-fleet token list` shows all.")
    output.say(f"The token {text.printable(name)} is revoked.")


def _require_database(invocation: Invocation) -> None:
    if invocation.settings.api_url is not None:
        raise ConfigurationError(
            "OLLAMA_FLEET_API_URL is set, but tokens are made, listed and revoked in the database itself: do it on "
            "the machine of the fleet, or unset it."
        )


def _record(row: Row) -> TokenRecord:
    shown: dict[str, Any] = {field: row[field] for field in TokenRecord.__dataclass_fields__ if field != "state"}
    return TokenRecord(state=_state(row), **shown)


def _state(row: Row) -> str:
    if row["revoked_at"] is not None:
        return "revoked"
    is_over = row["seconds_left"] is not None and row["seconds_left"] <= 0
    return "expired" if is_over else "active"
