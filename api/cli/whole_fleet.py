"""`ollama-fleet up`: the monitor and the API in one process, started together and stopped in order."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from api import app as api_app
from api.cli import calm_log, import_env
from api.cli.screen import output, terminal
from api.fleet.access import hosts
from monitor import app as monitor_app
from monitor import logs, process, systemd
from monitor.credentials.vault import Vault
from monitor.domain.errors import FleetError
from monitor.postgres import credential_store, database, schema_version
from monitor.settings import Settings

WELCOME = """\
ollama-fleet is running{how_to_stop}.

  Dashboard  {address}/
  API        {address}
  Database   {command} db psql
{about_log}
Next, in {which} terminal:

  {command} servers add gpu-1 http://127.0.0.1:11434
  {command} events --follow
  curl{token} '{address}/api/events?after=0&wait=30'
"""
# Not the token itself, which each user of the machine could read among the arguments.
BY_TOKEN = " -H @FILE_WITH_HEADER"


def run(settings: Settings, *, dsn: str, command: str) -> int:
    """Run until a signal comes; return the exit code. `command` is how the command is typed again."""
    if calm_log.is_wanted(settings):
        calm_log.configure()
    else:
        logs.configure(settings.log_format, settings.log_level)

    async def serve(stop: asyncio.Event) -> None:
        await schema_version.upgrade(dsn)
        vault = Vault.of(settings, makes_ring=True)
        await _require_key_ring(dsn, vault)
        await import_env.at_first_start(settings, dsn=dsn, vault=vault)
        await _Fleet(settings, dsn=dsn, command=command, vault=vault).run(stop)

    return process.run(serve)


class _Fleet:
    """The API starts first, since a port that is taken is to end it all before anything else has begun.

    It also stops first: whoever waits for a check gets the answer of a monitor that still works.
    """

    def __init__(self, settings: Settings, *, dsn: str, command: str, vault: Vault) -> None:
        self._vault = vault
        self._settings = settings
        self._dsn = dsn
        self._command = command
        self._listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> None:
        """Run both parts until `stop` is set; one that ends by itself ends the other one, too."""
        stop_api, stop_monitor = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as group:
            serving = api_app.serve(
                self._settings,
                dsn=self._dsn,
                stop=stop_api,
                ready=self._listening.set_result,
                vault=self._vault,
            )
            api = group.create_task(_until(stop_api, "API", serving), name="api")
            await self._listening
            watching = monitor_app.serve(
                self._settings, dsn=self._dsn, stop=stop_monitor, ready=self._welcome, vault=self._vault
            )
            group.create_task(_until(stop_monitor, "monitor", watching), name="monitor")
            await stop.wait()
            stop_api.set()
            await asyncio.wait([api])
            stop_monitor.set()

    def _welcome(self) -> None:
        is_service = systemd.notify(f"READY=1\nSTATUS=Answering at {self._listening.result()}")
        # A service, and what was started without a terminal, has nobody who could press Ctrl-C.
        is_at_terminal = terminal.has_terminal() and not is_service
        # What others reach is only served with a token.
        is_open = hosts.exposure(self._settings.api_host, self._settings.api_hostnames) is None
        output.say(
            WELCOME.format(
                address=hosts.from_here(self._listening.result()),
                command=self._command,
                about_log=calm_log.ABOUT if calm_log.is_wanted(self._settings) else "",
                how_to_stop="; Ctrl-C stops it" if is_at_terminal else "",
                which="another" if is_at_terminal else "a",
                token="" if is_open else BY_TOKEN,
            )
        )


async def _require_key_ring(dsn: str, vault: Vault) -> None:
    """Refuse before anything runs what each part would refuse for itself."""
    connection = await database.connect(dsn, name="ollama-fleet up")
    try:
        await credential_store.require_key_ring(connection, vault)
    finally:
        await connection.close()


async def _until(told: asyncio.Event, name: str, part: Coroutine[Any, Any, None]) -> None:
    await part
    if not told.is_set():
        raise FleetError(f"The {name} ended by itself, so all of ollama-fleet stops. Start it again.")
