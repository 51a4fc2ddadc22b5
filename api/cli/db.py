"""`ollama-fleet db …` and `migrate`: the database that the fleet lives in, its schema, and the way into it by hand."""

import asyncio
import os
import shlex
import signal
import subprocess
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from api.cli.groups import Manual, OrderedGroup
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output
from monitor.embedded import postgres as embedded
from monitor.embedded import state_folder
from monitor.embedded.binaries import Binaries
from monitor.postgres import schema_version


@click.group(
    cls=OrderedGroup,
    epilog="Example: ollama-fleet db psql",
    short_help="Reach the database: address, psql, dump, stop.",
)
def db() -> None:
    """Reach the database: its address, a psql session, a dump, and stopping the embedded one."""


@db.command(epilog="Example: DATABASE_URL=$(ollama-fleet db uri) ./program")
@pass_invocation
def uri(invocation: Invocation) -> None:
    """Print the address of the database.

    It is the whole address, as every driver takes it, with the password if there is one: give it to a program by its
    environment or a file, since each user of the machine can read arguments. For psql there is `ollama-fleet db psql`.
    """
    settings = invocation.settings
    if settings.database_url is not None:
        output.say(settings.database_url)
        return

    output.say(state_folder.StateFolder.at(settings.state_dir).dsn())
    if embedded.peek(settings.state_dir) is None:
        output.note("It does not run now; `ollama-fleet up` starts it.")


@db.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: ollama-fleet db psql -- -c 'TABLE ollama_servers'",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS OF PSQL]")
@pass_invocation
def psql(invocation: Invocation, arguments: tuple[str, ...]) -> int:
    """Open psql on the database.

    The embedded one is started if need be, and stays while psql runs.
    """
    if arguments and not arguments[0].startswith("-") and len(arguments[0].split()) > 1:
        # For psql that would be the name of a user, and it would sit there and wait for statements.
        raise click.UsageError(f"A statement goes after -c: `ollama-fleet db psql -- -c {shlex.quote(arguments[0])}`.")

    with invocation.postgresql() as dsn:
        return _run_on(dsn, Binaries.find().psql, arguments)


@db.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Example: ollama-fleet db dump > fleet.sql",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[-- ARGUMENTS OF PG_DUMP]")
@pass_invocation
def dump(invocation: Invocation, arguments: tuple[str, ...]) -> int:
    """Write all of the database as SQL.

    That is pg_dump without the owner, so that another role can restore it. The embedded PostgreSQL is started if
    need be. The key ring is no part of it.
    """
    with invocation.postgresql() as dsn:
        return _run_on(dsn, Binaries.find().folder / "pg_dump", ("--no-owner", *arguments))


@db.command(epilog="Example: ollama-fleet db stop")
@pass_invocation
def stop(invocation: Invocation) -> None:
    """Stop the embedded PostgreSQL.

    The one of OLLAMA_FLEET_STATE_DIR, whoever uses it. It stops by itself with its last user, so this is
    for one that was left behind.
    """
    state_dir = invocation.settings.state_dir
    with output.working("stopping PostgreSQL"):
        stopped = embedded.stop(state_dir)
    # In the journal of a service this stands after each stop, when PostgreSQL may just have stopped by itself.
    output.say(
        f"The PostgreSQL in {state_dir} is stopped."
        if stopped
        else f"No PostgreSQL runs in {state_dir}, so there is nothing to stop."
    )


@click.command(cls=Manual, epilog="Example: ollama-fleet migrate")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, once the database has answered.")
@pass_invocation
def migrate(invocation: Invocation, *, dry_run: bool) -> None:
    """Bring the database's schema up to date."""
    if dry_run:
        if invocation.lacks_database:
            output.say("There is no database yet; one would be made.")
            return
        with output.working("asking the database"), invocation.postgresql() as dsn:
            is_due = asyncio.run(schema_version.is_due(dsn))
        would = (
            "The schema would be brought to {}." if is_due else "The schema is at {} already, nothing would be done."
        )
        output.say(would.format(schema_version.KNOWN))
        return
    with output.working("migrating the database"), invocation.postgresql(makes=True) as dsn:
        changed = asyncio.run(schema_version.upgrade(dsn))
    output.say(f"The schema is at {schema_version.KNOWN} {'now' if changed else 'already, nothing was to do'}.")


def _run_on(dsn: str, program: Path, arguments: tuple[str, ...]) -> int:
    address, password = without_password(dsn)
    environment = os.environ if password is None else {**os.environ, "PGPASSWORD": password}
    # Ctrl-C is for the program: psql cancels a statement with it.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return subprocess.run([program, "--dbname", address, *arguments], env=environment, check=False).returncode
    finally:
        signal.signal(signal.SIGINT, before)


def without_password(dsn: str) -> tuple[str, str | None]:
    """Take the password out of an address, because every user of a machine can read a command line."""
    parts = urlsplit(dsn)
    user, at, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    # A password among the parameters wins over one before the host.
    parameters = parts.query.split("&")
    named = [one for one in parameters if one.partition("=")[0] == "password"]
    if not (colon or named):
        return dsn, None
    rest = "&".join(one for one in parameters if one not in named)
    found = named[-1].partition("=")[2] if named else password
    # By hand, since the library leaves the slashes out before an empty host, which is a socket's.
    return f"{parts.scheme}://{name}{at}{host}{parts.path}{rest and '?'}{rest}", unquote(found)
