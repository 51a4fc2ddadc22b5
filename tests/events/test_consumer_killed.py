"""The example consumer is killed again and again while many write, and still takes each event once and in order."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from monitor.postgres.database import Connection
from tests.events import consumer, writers
from tests.events.consumer import Store

WRITERS = 20
# A random moment may be any from before the interpreter has started to well into the stream.
LONGEST_LIFE = 0.8
Eventually = Callable[..., Awaitable[None]]


async def test_it_ends_with_exactly_the_events_of_the_table_after_kills_at_random(
    dsn: str, connection: Connection, store: Store, eventually: Eventually, pytestconfig: pytest.Config
) -> None:
    chance = random.Random()
    kills = 50 if pytestconfig.getoption("--long") else 5
    async with writers.writing(dsn, WRITERS) as crew:
        for number in range(kills):
            async with consumer.running(dsn, store) as victim:
                if number % 2:
                    await asyncio.sleep(chance.uniform(0, LONGEST_LIFE))
                    await victim.kill()
                else:
                    reached = store.cursor()
                    await eventually(lambda reached=reached: store.has(reached + 1), what="progress")
                    await victim.kill_in_transaction(store, sightings=chance.randint(1, 5))
    await writers.check(crew, connection)
    newest = await connection.fetchval("SELECT seq FROM fleet_event_head")
    assert newest > WRITERS * 2

    async with consumer.running(dsn, store) as last:
        await eventually(lambda: store.has(newest), within=30, what="the newest event")
        await last.terminate()

    await consumer.check(store, connection)
