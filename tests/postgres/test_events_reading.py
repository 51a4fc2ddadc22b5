"""Reading the log after a cursor, and cutting its old end off without ever leaving a hole."""

from datetime import timedelta

import pytest

from monitor.domain.event import EventType
from monitor.postgres import event_log
from monitor.postgres.database import Connection, Database
from monitor.postgres.event_log import PostgresEventLog
from tests.postgres.conftest import AddServer

WEEK = timedelta(days=7)


@pytest.fixture
def log(fleet_database: Database) -> PostgresEventLog:
    """The log as the monitor bounds it."""
    return PostgresEventLog(fleet_database)


async def age(connection: Connection, numbers: str) -> None:
    """Let events be older than a week."""
    await connection.execute(f"UPDATE fleet_events SET at = at - interval '8 days' WHERE seq IN ({numbers})")


async def held(connection: Connection) -> list[int]:
    """The numbers still in the log."""
    return [seq for (seq,) in await connection.fetch("SELECT seq FROM fleet_events ORDER BY seq")]


async def test_events_are_read_in_order_in_pages_and_by_kind(observer: Connection, add_server: AddServer) -> None:
    first, second = await add_server(), await add_server()
    await observer.execute("UPDATE ollama_servers SET priority = 1 WHERE id = $1", second)

    everything = await event_log.read_after(observer, 0, limit=10)
    assert [(event.seq, event.type, event.server_id) for event in everything] == [
        (1, EventType.SERVER_CREATED, first),
        (2, EventType.SERVER_CREATED, second),
        (3, EventType.SERVER_UPDATED, second),
    ]
    assert everything[2].body == {"priority": 1, "row_version": 2, "actor": "fleet"}
    assert await event_log.read_after(observer, 1, limit=1) == everything[1:2]
    assert await event_log.read_after(observer, 0, limit=9, types=["server.updated"]) == everything[2:]
    assert await event_log.read_after(observer, 0, limit=9, server_id=first) == everything[:1]
    assert await event_log.read_after(observer, 3, limit=9) == []
    assert await event_log.read_after(observer, 2**62, limit=9) == []


async def test_the_extent_of_the_log_is_known_even_when_it_is_empty(
    observer: Connection, add_server: AddServer, log: PostgresEventLog
) -> None:
    assert await event_log.extent(observer) == (1, 0)
    for _ in range(3):
        await add_server()
    assert await event_log.extent(observer) == (1, 3)

    await age(observer, "1")
    assert await log.delete_older(WEEK, limit=10) == 1
    assert await event_log.extent(observer) == (2, 3)

    await age(observer, "2, 3")
    assert await log.delete_older(WEEK, limit=10) == 2
    assert await event_log.extent(observer) == (4, 3)

    await add_server()
    assert await event_log.extent(observer) == (4, 4)


async def test_the_oldest_go_first_and_not_more_than_wanted(
    connection: Connection, add_server: AddServer, log: PostgresEventLog
) -> None:
    for _ in range(5):
        await add_server()
    await age(connection, "1, 2, 3")

    assert [await log.delete_older(WEEK, limit=2) for _ in range(3)] == [2, 1, 0]
    assert await held(connection) == [4, 5]


async def test_a_clock_that_was_set_back_leaves_no_hole(
    connection: Connection, add_server: AddServer, log: PostgresEventLog
) -> None:
    for _ in range(4):
        await add_server()
    # Number 2 was written while the clock was ahead.
    await age(connection, "1, 3")

    assert await log.delete_older(WEEK, limit=10) == 1
    assert await held(connection) == [2, 3, 4]
    await age(connection, "2")
    assert await log.delete_older(WEEK, limit=10) == 2
    assert await held(connection) == [4]


async def test_of_a_log_that_is_too_big_the_oldest_go_whatever_their_size(
    connection: Connection, add_server: AddServer, log: PostgresEventLog
) -> None:
    for _ in range(8):
        await add_server()
    await connection.execute("UPDATE fleet_events SET body = jsonb_build_object('a', repeat('x', 100 * seq::int))")
    whole = await connection.fetchval("SELECT sum(100 + octet_length(type) + pg_column_size(body)) FROM fleet_events")
    assert await log.delete_beyond(whole, limit=10) == 0
    assert await log.delete_beyond(whole // 2, limit=3) == 3
    assert await held(connection) == [4, 5, 6, 7, 8]
    while await log.delete_beyond(whole // 2, limit=1):
        pass
    rest = await held(connection)
    assert rest == list(range(rest[0], 9))
    size = "SELECT sum(100 + octet_length(type) + pg_column_size(body)) FROM fleet_events"
    assert whole // 4 < await connection.fetchval(size) <= whole // 2

    assert await log.delete_beyond(0, limit=10) == len(rest)
    assert await log.delete_beyond(0, limit=10) == 0
    assert await event_log.extent(connection) == (9, 8)
    await add_server()
    assert await event_log.extent(connection) == (9, 9)


async def test_the_size_of_a_long_log_is_told_by_a_part_of_it(connection: Connection, log: PostgresEventLog) -> None:
    await connection.execute(
        "WITH head AS (UPDATE fleet_event_head SET seq = 20000 RETURNING seq)"
        " INSERT INTO fleet_events SELECT number, 'server.up', NULL, NULL, now(), jsonb_build_object('a', number)"
        " FROM head, generate_series(1, head.seq) AS number"
    )
    each = await connection.fetchval("SELECT avg(100 + octet_length(type) + pg_column_size(body)) FROM fleet_events")
    assert 4900 < await log.delete_beyond(int(each * 15_000), limit=10_000) < 5100
