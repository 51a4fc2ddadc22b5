"""What the tests of watched connections share: who is watched, and who hears of a death."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

import asyncpg

from tests.daemon.observer import Observer
from tests.fakes.ollama import FakeOllama

# Nothing that happens within seconds comes from a regular check.
RARELY = timedelta(minutes=10)
SOON = 5.0
WATCH_STATE = "SELECT watch_state = $1 FROM ollama_servers"


@asynccontextmanager
async def downs(dsn: str) -> AsyncIterator["asyncio.Queue[str]"]:
    """Lend the ids of servers that go down, as a LISTEN session hears of them."""
    heard: asyncio.Queue[str] = asyncio.Queue()

    def hear(*arguments: object) -> None:
        payload = json.loads(str(arguments[-1]))
        if payload["type"] == "server.down":
            heard.put_nowait(payload["server_id"])

    session = await asyncpg.connect(dsn)
    try:
        await session.add_listener("ollama_servers", hear)
        yield heard
    finally:
        await session.close()


async def until_watched(observer: Observer, fakes: Sequence[FakeOllama]) -> None:
    """Wait until each server has had a connection without a single byte at two looks in a row."""
    before: dict[int, object] = {}

    async def held() -> bool:
        nonlocal before
        now = {index: set(fake.silent_connections) for index, fake in enumerate(fakes)}
        same = all(now[index] & before.get(index, set()) for index in now)  # type: ignore[operator]
        before = dict(now)
        return same

    await observer.until_true(held)


async def until_left_alone(observer: Observer, fake: FakeOllama) -> None:
    """Wait until no connection without a byte is left."""

    async def left() -> bool:
        return not fake.silent_connections

    await observer.until_true(left)
