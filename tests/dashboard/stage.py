"""What a dashboard shows: an API, a monitor and a fake server, each of which a test can take away and give back."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from api import app as api_app
from monitor import app as monitor_app
from monitor.settings import Settings


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Stage:
    """The two processes of a deployment, in this one, on one database and always the same port."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._settings = Settings.model_validate(
            {
                "api_port": str(free_port()),
                "check_interval": "1s",
                "check_timeout": "2s",
                "discovery_interval": "2s",
            }
        )
        self.url = f"http://127.0.0.1:{self._settings.api_port}"

    @asynccontextmanager
    async def api(self) -> AsyncIterator[None]:
        """Serve the API."""

        def serve(stop: asyncio.Event, ready: asyncio.Event) -> Coroutine[Any, Any, None]:
            return api_app.serve(self._settings, dsn=self._dsn, stop=stop, ready=lambda _: ready.set())

        async with _running(serve):
            yield

    @asynccontextmanager
    async def monitor(self) -> AsyncIterator[None]:
        """Run the daemon."""

        def serve(stop: asyncio.Event, ready: asyncio.Event) -> Coroutine[Any, Any, None]:
            return monitor_app.serve(self._settings, dsn=self._dsn, stop=stop, ready=ready.set)

        async with _running(serve):
            yield

    async def command(self, *words: str) -> str:
        """Run an `ollama-fleet` command on the database, as a person does; return what it prints."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "api.cli",
            *words,
            env={**os.environ, "OLLAMA_FLEET_DATABASE_URL": self._dsn},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        assert process.returncode == 0
        return printed.decode().strip()


@asynccontextmanager
async def _running(
    serve: Callable[[asyncio.Event, asyncio.Event], Coroutine[Any, Any, None]],
) -> AsyncIterator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(serve(stop, ready))
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
        yield
    finally:
        waiting.cancel()
        stop.set()
        await task
