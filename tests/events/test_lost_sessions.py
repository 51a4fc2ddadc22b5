"""PostgreSQL is killed, or ends sessions, under load: all come back by themselves, and nothing acknowledged is lost."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from monitor.embedded import postmaster
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import database
from monitor.postgres.database import Connection
from tests.events import consumer, writers
from tests.events.consumer import Store
from tests.events.writers import Writer

WRITERS = 12
# All are back within 5 s of the server's first answer; the rest is for a machine that is busy with other things.
BACK = 10.0
END_SESSIONS = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
Eventually = Callable[..., Awaitable[None]]


async def reached(dsn: str) -> Connection:
    """A session, as soon as the server accepts one."""
    async with asyncio.timeout(60):
        while True:
            try:
                session: Connection = await asyncpg.connect(dsn)
            except database.LOST:
                await asyncio.sleep(0.02)
            else:
                return session


async def until_all_move(crew: list[Writer], store: Store, eventually: Eventually, *, within: float) -> None:
    """Wait until every writer has an acknowledgement that it had not, and the consumer an event from after that."""
    before = [len(writer.acknowledged) for writer in crew]

    async def written() -> bool:
        return all(len(writer.acknowledged) > count for writer, count in zip(crew, before, strict=True))

    await eventually(written, within=within, what="a write of every writer")
    cursor = store.cursor()
    await eventually(lambda: store.has(cursor + 1), within=within, what="the consumer's next event")


async def test_a_killed_postmaster_costs_no_event_and_no_acknowledged_write(
    mortal: EmbeddedServer, mortal_dsn: str, store: Store, eventually: Eventually, pytestconfig: pytest.Config
) -> None:
    kills = 10 if pytestconfig.getoption("--long") else 2
    async with consumer.running(mortal_dsn, store) as reader:
        async with writers.writing(mortal_dsn, WRITERS) as crew:
            for _ in range(kills):
                await until_all_move(crew, store, eventually, within=30)
                pid = postmaster.find(mortal.data_dir)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                await (await reached(mortal_dsn)).close()
                assert postmaster.find(mortal.data_dir) != pid
                await until_all_move(crew, store, eventually, within=BACK)
        session = await reached(mortal_dsn)
        newest = await session.fetchval("SELECT seq FROM fleet_event_head")
        await eventually(lambda: store.has(newest), what="the newest event")
        await reader.terminate()

    await writers.check(crew, session)
    await consumer.check(store, session)
    await session.close()


async def test_sessions_that_are_ended_in_a_loop_cost_nothing_either(
    dsn: str, connection: Connection, store: Store, eventually: Eventually, pytestconfig: pytest.Config
) -> None:
    rounds = 100 if pytestconfig.getoption("--long") else 10
    ended = 0
    async with consumer.running(dsn, store) as reader:
        async with writers.writing(dsn, WRITERS) as crew:
            for _ in range(rounds):
                cursor = store.cursor()
                await eventually(lambda cursor=cursor: store.has(cursor + 1), within=30, what="progress")
                ended += await connection.fetchval(END_SESSIONS)
            await until_all_move(crew, store, eventually, within=30)
        newest = await connection.fetchval("SELECT seq FROM fleet_event_head")
        await eventually(lambda: store.has(newest), what="the newest event")
        await reader.terminate()

    assert ended > rounds
    await writers.check(crew, connection)
    await consumer.check(store, connection)
