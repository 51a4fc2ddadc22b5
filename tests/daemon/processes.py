"""Daemons as real processes, to be killed."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.fakes.network import Network

QUICK = {
    "OLLAMA_FLEET_CHECK_INTERVAL": "500ms",
    "OLLAMA_FLEET_CHECK_TIMEOUT": "1s",
    "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1s",
    "OLLAMA_FLEET_LOG_FORMAT": "json",
}


class DaemonProcess:
    """One `python -m monitor`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()

    async def terminate(self) -> int:
        """SIGTERM; return the exit code."""
        self._process.terminate()
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send another signal."""
        self._process.send_signal(number)


@asynccontextmanager
async def running(dsn: str, *, room: Network | None = None, **settings: str) -> AsyncIterator[DaemonProcess]:
    """Run a daemon on a database, perhaps in a network of the test's own; it is killed at the end if it still runs."""
    command = [sys.executable, "-m", "monitor"]
    process = await asyncio.create_subprocess_exec(
        *(command if room is None else room.inside(*command)),
        env={**os.environ, **QUICK, **settings, "OLLAMA_FLEET_DATABASE_URL": dsn},
    )
    try:
        yield DaemonProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
