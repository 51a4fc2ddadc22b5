"""A daemon of the test's own on the test's database, in this process and with real sockets."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from monitor import app
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.daemon.observer import Eventually, Observer

Daemon = Callable[..., AbstractAsyncContextManager[asyncio.Event]]


@pytest.fixture
def daemon(dsn: str) -> Daemon:
    """Starts a daemon with quick settings: `async with daemon(check_interval=…) as stop:`."""

    @asynccontextmanager
    async def run(**overrides: Any) -> AsyncIterator[asyncio.Event]:
        quick: dict[str, Any] = {
            "check_interval": timedelta(seconds=1),
            "check_timeout": timedelta(seconds=1),
            "discovery_interval": timedelta(seconds=1),
        }
        settings = Settings(**(quick | overrides))
        stop, ready = asyncio.Event(), asyncio.Event()
        address = settings.database_url or dsn
        task = asyncio.create_task(app.serve(settings, dsn=address, stop=stop, ready=ready.set))
        try:
            await _first_of(task, ready.wait())
            yield stop
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)

    return run


async def _first_of(task: asyncio.Task[None], other: Awaitable[Any]) -> None:
    waiting = asyncio.ensure_future(other)
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if task.done():
        task.result()


@pytest.fixture
def observer(connection: Connection, eventually: Eventually) -> Observer:
    """A `psql` of the test's own that can wait."""
    return Observer(connection, eventually)
