"""`ollama-fleet up`, `monitor` and `api`: the fleet in one process, and each part of it in one of its own.

Nothing that they run is loaded before it is known which one: `up` loads all of it while PostgreSQL starts.
"""

import importlib
import os
import shlex
import shutil
import sys
import threading
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

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
    with ExitStack() as stack:
        # Python loads the fleet while PostgreSQL starts; each takes about as long as the other.
        loading = _loading(migration_too=invocation.lacks_database)
        with output.working("starting"):
            dsn = stack.enter_context(invocation.postgresql(makes=True))
            whole_fleet = loading.result()
        code: int = whole_fleet.run(invocation.settings, dsn=dsn, command=_own_command(invocation))
        return code


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet monitor")
@pass_invocation
def monitor(invocation: Invocation) -> int:
    """Run the monitor alone.

    That is for a service manager. A second monitor on the same database stands by and takes over.
    """
    code: int = importlib.import_module("monitor.__main__").run(invocation.settings)
    return code


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet api")
@pass_invocation
def api(invocation: Invocation) -> int:
    """Run the API alone.

    That is for a service manager.
    """
    code: int = importlib.import_module("api.__main__").run(invocation.settings)
    return code


def _loading(*, migration_too: bool) -> Future[ModuleType]:
    """Load what `up` runs in a thread that nobody waits for.

    Ctrl-C may come while the main thread holds the lock of imports, and from then on this thread never ends.
    """
    loaded: Future[ModuleType] = Future()

    def load() -> None:
        try:
            loaded.set_result(_load(migration_too=migration_too))
        except BaseException as error:
            loaded.set_exception(error)

    threading.Thread(target=load, name="load", daemon=True).start()
    return loaded


def _load(*, migration_too: bool) -> ModuleType:
    if migration_too:
        importlib.import_module("monitor.postgres.migration")
    return importlib.import_module("api.cli.whole_fleet")


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
