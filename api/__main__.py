"""The API as a process of its own: settings, database, signals, and what systemd wants to hear."""

import asyncio
import sys

from api import app
from monitor import logs, process, settings, systemd
from monitor.domain.errors import FleetError
from monitor.settings import Settings


def run(configured: Settings) -> int:
    """Serve until SIGTERM or SIGINT and return the exit code."""
    dsn = configured.required_database_url()
    logs.configure(configured.log_format, configured.log_level)

    async def serve(stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            talk = [group.create_task(_feed_watchdog()), group.create_task(_tell_stopping(stop))]
            await app.serve(configured, dsn=dsn, stop=stop, ready=_tell_ready)
            for task in talk:
                task.cancel()

    return process.run(serve)


def main() -> int:
    """Run with the settings of the environment."""
    try:
        return run(settings.load())
    except FleetError as error:
        return process.report(error)


def _tell_ready(base_url: str) -> None:
    systemd.notify(f"READY=1\nSTATUS=Answering at {base_url}")


async def _tell_stopping(stop: asyncio.Event) -> None:
    await stop.wait()
    systemd.notify("STOPPING=1")


async def _feed_watchdog() -> None:
    """Say that the event loop still moves; a database that is away is no reason to be killed."""
    interval = systemd.watchdog_interval()
    while interval is not None:
        systemd.notify("WATCHDOG=1")
        await asyncio.sleep(interval.total_seconds() / 3)


if __name__ == "__main__":
    sys.exit(main())
