"""Numbers without gaps in commit order: rollbacks, savepoints, storms of writers, and every isolation level."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import asyncpg
import pytest

from monitor.postgres import event_log
from monitor.postgres.database import Connection
from tests import fold
from tests.postgres.conftest import AddServer

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
EDIT = "UPDATE ollama_servers SET priority = priority + 1 WHERE id = $1"
HEAD_UPDATES = "SELECT pg_stat_get_xact_tuples_updated('fleet_event_head'::regclass)"
Eventually = Callable[..., Awaitable[None]]


async def numbers(connection: Connection) -> list[int]:
    """All numbers in the log."""
    return [seq for (seq,) in await connection.fetch("SELECT seq FROM fleet_events ORDER BY seq")]


async def test_the_rows_of_a_transaction_share_one_update_of_the_head(connection: Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    await connection.executemany(ADD, [(f"s{number}",) for number in range(50)])
    await connection.execute("UPDATE ollama_servers SET priority = 1")
    assert await connection.fetchval(HEAD_UPDATES) == 0
    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert await connection.fetchval(HEAD_UPDATES) == 1
    await transaction.commit()

    assert await numbers(connection) == list(range(1, 101))
    assert await connection.fetchval("SELECT count(*) FROM fleet_event_pending") == 0


async def test_events_of_a_transaction_keep_the_order_of_its_changes(connection: Connection) -> None:
    async with connection.transaction():
        for name in ("b", "a", "c"):
            await connection.execute(ADD, name)

    assert [event.body["name"] for event in await fold.read_events(connection)] == ["b", "a", "c"]


async def test_a_rollback_takes_its_numbers_back(connection: Connection) -> None:
    await connection.execute(ADD, "a")
    for ending in ("ROLLBACK", "SET CONSTRAINTS ALL IMMEDIATE; ROLLBACK"):
        await connection.execute(f"BEGIN; INSERT INTO ollama_servers (name, url) VALUES ('x', 'http://x'); {ending}")
    await connection.execute(ADD, "b")

    assert await numbers(connection) == [1, 2]


async def test_a_savepoint_takes_back_only_its_own(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute(ADD, "undone-first")
        await connection.execute("SAVEPOINT kept")
        await connection.execute(ADD, "undone")
        await connection.execute("ROLLBACK TO kept")
        await connection.execute(ADD, "kept")
        with suppress(asyncpg.UniqueViolationError):
            async with connection.transaction():
                await connection.execute(ADD, "kept")
        await connection.execute("RELEASE kept")

    events = await fold.read_events(connection)
    assert [(event.seq, event.body["name"]) for event in events] == [(1, "undone-first"), (2, "kept")]


async def test_a_first_change_that_is_taken_back_hides_none_of_the_later_ones(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("SAVEPOINT start")
        await connection.execute(ADD, "undone")
        await connection.execute("ROLLBACK TO start")
        await connection.execute(ADD, "a")
        await connection.execute(ADD, "b")

    events = await fold.read_events(connection)
    assert [(event.seq, event.body["name"]) for event in events] == [(1, "a"), (2, "b")]


async def test_a_transaction_may_publish_as_it_goes(connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await connection.execute(ADD, "a")
        await connection.execute(ADD, "b")
        assert await numbers(connection) == [1, 2]
        await connection.execute("SET CONSTRAINTS ALL DEFERRED")
        await connection.execute(ADD, "c")

    assert await numbers(connection) == [1, 2, 3]


async def storm(dsn: str, *, writers: int, transactions: int, isolation: str = "read committed") -> tuple[int, int]:
    """Many writers at once, a fifth of whose transactions roll back; returns events made, and conflicts."""

    async def write(number: int) -> tuple[int, int]:
        chance = random.Random(number)
        session: Connection = await asyncpg.connect(dsn, server_settings={"default_transaction_isolation": isolation})
        own, made, conflicts = None, 1, 0
        while own is None:
            with suppress(asyncpg.SerializationError):
                own = await session.fetchval(f"{ADD} RETURNING id", f"writer-{number}")
        for _ in range(transactions):
            edits, kept = chance.randint(1, 3), chance.random() > 0.2
            try:
                await session.execute("BEGIN")
                for _ in range(edits):
                    await session.execute(EDIT, own)
                await session.execute("COMMIT" if kept else "ROLLBACK")
                made += edits * kept
            except asyncpg.SerializationError:
                conflicts += 1
                await session.execute("ROLLBACK")
        await session.close()
        return made, conflicts

    results = await asyncio.gather(*(write(number) for number in range(writers)))
    return sum(made for made, _ in results), sum(conflicts for _, conflicts in results)


async def test_a_reader_behind_a_cursor_misses_nothing_in_a_storm_of_writers(dsn: str, observer: Connection) -> None:
    seen: list[int] = []
    over = asyncio.Event()

    async def follow() -> None:
        while True:
            last_look = over.is_set()
            page = await event_log.read_after(observer, seen[-1] if seen else 0, limit=7)
            seen.extend(event.seq for event in page)
            if last_look and not page:
                return

    reader = asyncio.create_task(follow())
    made, conflicts = await storm(dsn, writers=20, transactions=10)
    over.set()
    await reader

    assert conflicts == 0
    assert seen == list(range(1, made + 1))
    events = await fold.read_events(observer)
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(observer)
    assert all(earlier.at <= later.at for earlier, later in pairwise(events))


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_stricter_isolation_makes_conflicts_but_never_a_gap(
    dsn: str, connection: Connection, isolation: str
) -> None:
    made, conflicts = await storm(dsn, writers=4, transactions=10, isolation=isolation)

    assert conflicts > 0
    assert await numbers(connection) == list(range(1, made + 1))
    events = await fold.read_events(connection)
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(connection)


async def test_a_long_transaction_elsewhere_does_not_stall_the_stream(
    dsn: str, connection: Connection, observer: Connection, add_server: AddServer
) -> None:
    busy, other = await add_server(), await add_server()
    slow: Connection = await asyncpg.connect(dsn)
    await slow.execute("BEGIN")
    await slow.execute(EDIT, busy)

    await asyncio.wait_for(connection.execute(EDIT, other), 10)

    assert [event.seq for event in await event_log.read_after(observer, 2, limit=9)] == [3]
    await slow.execute("COMMIT")
    late = await event_log.read_after(observer, 3, limit=9)
    assert [(event.seq, event.server_id) for event in late] == [(4, busy)]
    await slow.close()


async def test_the_order_is_the_order_of_the_commits(dsn: str, connection: Connection) -> None:
    first: Connection = await asyncpg.connect(dsn)
    await first.execute("BEGIN")
    await first.execute(ADD, "began-first")
    await connection.execute(ADD, "committed-first")
    await first.execute("COMMIT")
    await first.close()

    names = [event.body["name"] for event in await fold.read_events(connection)]
    assert names == ["committed-first", "began-first"]


async def test_a_writer_that_is_cut_off_before_its_commit_leaves_nothing(
    dsn: str, connection: Connection, eventually: Eventually
) -> None:
    doomed: Connection = await asyncpg.connect(dsn)
    await doomed.execute("BEGIN")
    await doomed.execute(ADD, "doomed")
    await doomed.execute("SET CONSTRAINTS ALL IMMEDIATE")
    await connection.execute("SELECT pg_terminate_backend($1)", doomed.get_server_pid())

    await asyncio.wait_for(connection.execute(ADD, "next"), 10)

    events = await fold.read_events(connection)
    assert [(event.seq, event.body["name"]) for event in events] == [(1, "next")]
    doomed.terminate()
