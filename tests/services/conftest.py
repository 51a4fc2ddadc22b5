"""What the tests of services share: servers to work on, and waiting for a condition."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.domain.availability import Availability, Status
from monitor.domain.fleet import Watched
from monitor.domain.lease import Lease
from monitor.domain.server import Policy, Server, ServerId
from tests.services.fakes import MemoryDatabase

REQUESTED = datetime(2030, 1, 1, tzinfo=UTC)
POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)
Running = Callable[[Coroutine[Any, Any, None]], AbstractAsyncContextManager[asyncio.Task[None]]]


@pytest.fixture
def database() -> MemoryDatabase:
    """A database whose lease is taken."""
    database = MemoryDatabase()
    database.lease = Lease(shard=0, owner=uuid.uuid4(), epoch=1)
    return database


@pytest.fixture
def running() -> Running:
    """Runs an endless part of the daemon for as long as the test needs it."""

    @asynccontextmanager
    async def run(part: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(part)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()

    return run


def watched(
    number: int = 1,
    *,
    row_version: int = 1,
    status: Status = Status.UNKNOWN,
    check_requested_at: datetime | None = None,
    discovery_requested_at: datetime | None = None,
    connection_watch: bool = True,
) -> Watched:
    """A server with a number, as the database tells of it."""
    server = Server(
        id=ServerId(uuid.UUID(int=number << 64 | 0x8000)),
        name=f"gpu-{number}",
        url=f"http://gpu-{number}",
        api_version="native",
        row_version=row_version,
        policy=POLICY,
        connection_watch=connection_watch,
    )
    return Watched(
        server=server,
        availability=Availability(status=status),
        check_requested_at=check_requested_at,
        discovery_requested_at=discovery_requested_at,
    )


async def until(condition: Callable[[], object], *, within: float = 10.0) -> None:
    """Wait until a condition holds; fail the test when it does not within the limit."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while not condition():
        if loop.time() > deadline:
            pytest.fail(f"the condition did not come true within {within} s")
        await asyncio.sleep(0.001)


async def settled() -> None:
    """Let everything that can go on without waiting for time go on."""
    for _ in range(20):
        await asyncio.sleep(0)
