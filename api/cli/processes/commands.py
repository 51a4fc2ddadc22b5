"""The commands that run the fleet: all of it in one process, or each part on its own; and the migration."""

import importlib
import os
import shlex
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_API_PORT=8421 ollama-fleet up")
@pass_invocation
def up(invocation: Invocation) -> int:
    """Run everything in one process.

    That is PostgreSQL, the monitor, and the API. The database is OLLAMA_FLEET_DATABASE_URL,
    else an embedded PostgreSQL in OLLAMA_FLEET_STATE_DIR. Its schema is brought up to date. Ctrl-C stops all
    of it in order.

    At a terminal the log is warnings and servers that go up or down; OLLAMA_FLEET_LOG_LEVEL or
    OLLAMA_FLEET_LOG_FORMAT asks for another one. Elsewhere it is JSON.
    """
    with ThreadPoolExecutor(max_workers=1) as pool, ExitStack() as stack:
        # Python loads the fleet while PostgreSQL starts; each takes about as long as the other.
        loading = pool.submit(_load, migration_too=invocation.lacks_database)
        with output.working("starting"):
            dsn = stack.enter_context(invocation.database(makes=True))
            loading.result()
        from api.cli.processes import whole_fleet  # noqa: PLC0415  (this is what was being loaded)

        return whole_fleet.run(invocation.settings, dsn=dsn, command=_own_command(invocation))


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet monitor")
@pass_invocation
def monitor(invocation: Invocation) -> int:
    """Run the monitor alone.

    That is for a service manager. A second monitor on the same database stands by and takes over.
    """
    from monitor import __main__ as process  # noqa: PLC0415  (`--help` need not wait for it)
    from monitor import logs  # noqa: PLC0415

    dsn = invocation.settings.required_database_url()
    logs.configure(invocation.settings.log_format, invocation.settings.log_level)
    return process.run(invocation.settings, dsn=dsn)


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet api")
@pass_invocation
def api(invocation: Invocation) -> int:
    """Run the API alone.

    That is for a service manager.
    """
    from api import __main__ as process  # noqa: PLC0415  (`--help` need not wait for it)

    return process.run(invocation.settings)


@click.command(cls=Manual, epilog="Example: ollama-fleet migrate")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, once the database has answered.")
@pass_invocation
def migrate(invocation: Invocation, *, dry_run: bool) -> None:
    """Bring the database's schema up to date."""
    from api.cli.local import database as local_database  # noqa: PLC0415  (`--help` need not wait for it)

    if dry_run:
        if invocation.lacks_database:
            output.say("There is no database yet; one would be made.")
            return
        with output.working("asking the database"), invocation.database() as dsn:
            output.say(local_database.rehearse_migration(dsn))
        return
    with output.working("migrating the database"), invocation.database(makes=True) as dsn:
        output.say(local_database.migrate(dsn))


def _load(*, migration_too: bool) -> None:
    importlib.import_module("api.cli.processes.whole_fleet")
    if migration_too:
        importlib.import_module("monitor.postgres.migration")


def _own_command(invocation: Invocation) -> str:
    """Return how to type the command again in another terminal, which may lack our PATH and our state folder."""
    started_as = Path(sys.argv[0])
    if started_as.name == "__main__.py":
        words = [sys.executable, "-m", "api.cli"]
    elif shutil.which(started_as.name) is not None:
        words = [started_as.name]
    else:
        words = [str(started_as.absolute())]
    if invocation.config is not None:
        words += ["--config", str(invocation.config)]
    own_folder = os.environ.get("OLLAMA_FLEET_STATE_DIR")
    if own_folder is not None and invocation.settings.database_url is None:
        return f"OLLAMA_FLEET_STATE_DIR={shlex.quote(own_folder)} {shlex.join(words)}"
    return shlex.join(words)


COMMANDS = (up, monitor, api, migrate)
