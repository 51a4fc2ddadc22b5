"""History in the database: each page once, only by the owner of the fleet, bounded, and gone with its server."""

import uuid
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.domain import history, latency, timeline
from monitor.domain.history import DAY, FIVE_MINUTES, HOUR, Page
from monitor.domain.latency import Counts
from monitor.domain.lease import Lease
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS
from monitor.postgres.database import Connection, Database
from monitor.postgres.history_store import PostgresHistoryStore
from tests.postgres.conftest import AddServer

ROWS = """
SELECT (SELECT count(*) FROM server_history_recent), (SELECT count(*) FROM server_history WHERE span = 3600),
    (SELECT count(*) FROM server_history WHERE span = 86400)
"""
START = 1_800_000_000 // DAY * DAY


@pytest.fixture
def histories(fleet_database: Database, lease: Lease) -> PostgresHistoryStore:
    """On the test's database, for the lease."""
    return PostgresHistoryStore(fleet_database, lease)


def page(server_id: uuid.UUID, start: int, status: int = 0) -> Page:
    """Five minutes in one status, with a check each minute."""
    runs = [(start * TICKS, (start + FIVE_MINUTES) * TICKS, status)]
    return history.page(ServerId(server_id), start, runs=runs, good=5, bad=0, latencies=Counts({40: 4, 60: 1}))


async def rows(connection: Connection) -> tuple[int, int, int]:
    """How many rows there are of five minutes, an hour, a day."""
    found = await connection.fetchrow(ROWS)
    assert found is not None
    return found[0], found[1], found[2]


async def roll_up(store: PostgresHistoryStore, span: int, *, before: int, limit: int = 50) -> int:
    """Roll up step by step; return the number of steps."""
    after: ServerId | None = None
    steps = 0
    while done := await store.roll_up(span, before=before, after=after, limit=limit):
        after = done[-1]
        steps += 1
    return steps


async def known_seconds(connection: Connection) -> float:
    """All the time that is known, whichever rows it is in."""
    found = 0
    for row in await connection.fetch(
        "SELECT timeline FROM server_history_recent UNION ALL SELECT timeline FROM server_history"
    ):
        found += sum(timeline.totals(timeline.decode(row["timeline"], 0), 0, 2**60))
    return found / TICKS


async def test_pages_become_hours_and_days_and_nothing_is_lost_on_the_way(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer, lease: Lease
) -> None:
    servers = [await add_server() for _ in range(3)]
    for server_id in servers:
        for hour in (0, 7, 25):
            await histories.write(
                [page(server_id, START + hour * HOUR + each * FIVE_MINUTES, each % 3) for each in range(12)]
            )
    assert await rows(connection) == (108, 0, 0)

    assert await roll_up(histories, HOUR, before=START + DAY, limit=2) == 2
    assert await rows(connection) == (36, 6, 0)
    assert await roll_up(histories, HOUR, before=START + 2 * DAY) == 1
    assert await rows(connection) == (0, 9, 0)

    assert await roll_up(histories, DAY, before=START + DAY) == 1
    assert await rows(connection) == (0, 3, 3)
    assert await known_seconds(connection) == 3 * 3 * HOUR
    checks = await connection.fetchval("SELECT sum(good + bad) FROM server_history")
    assert checks == 3 * 3 * 12 * 5


async def test_what_is_written_late_joins_the_hour_that_is_there(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer, lease: Lease
) -> None:
    server_id = await add_server()
    for part in (0, 1):
        await histories.write([page(server_id, START + part * FIVE_MINUTES)])
        await roll_up(histories, HOUR, before=START + HOUR)
        await roll_up(histories, DAY, before=START + DAY)
        assert await rows(connection) == (0, 0, 1)
    assert await known_seconds(connection) == 2 * FIVE_MINUTES


async def test_a_stale_owner_writes_and_rolls_up_nothing(
    histories: PostgresHistoryStore,
    connection: Connection,
    add_server: AddServer,
    lease: Lease,
    fleet_database: Database,
) -> None:
    server_id = await add_server()
    await histories.write([page(server_id, START)])
    stale = PostgresHistoryStore(fleet_database, replace(lease, epoch=lease.epoch - 1))

    await stale.write([page(server_id, START + FIVE_MINUTES)])
    assert await stale.roll_up(HOUR, before=START + DAY, after=None, limit=10) == []
    await stale.delete_older(timedelta(0))

    assert await rows(connection) == (1, 0, 0)


async def test_a_page_that_is_written_twice_counts_once_and_that_of_another_owner_beside_it(
    histories: PostgresHistoryStore,
    connection: Connection,
    add_server: AddServer,
    lease: Lease,
    fleet_database: Database,
) -> None:
    written = page(await add_server(), START)
    for _ in range(2):
        await histories.write([written])
    assert await rows(connection) == (1, 0, 0)
    await connection.execute("UPDATE monitor_leases SET epoch = epoch + 1")
    await PostgresHistoryStore(fleet_database, replace(lease, epoch=lease.epoch + 1)).write([written])
    assert await rows(connection) == (2, 0, 0)


async def test_a_server_that_is_gone_takes_its_history_along_and_spoils_no_others(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer, lease: Lease
) -> None:
    gone, other = await add_server(), await add_server()
    await histories.write([page(gone, START), page(other, START)])
    await roll_up(histories, HOUR, before=START + HOUR)
    await histories.write([page(gone, START + HOUR)])
    await connection.execute("DELETE FROM ollama_servers WHERE id = $1", gone)
    assert await rows(connection) == (0, 1, 0)

    await histories.write([page(gone, START + HOUR), page(other, START + HOUR)])
    assert await rows(connection) == (1, 1, 0)


async def test_days_beyond_the_retention_go(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer, lease: Lease
) -> None:
    server_id = await add_server()
    now = int(await histories.clock())
    today = now // DAY * DAY
    await histories.write([page(server_id, today - days * DAY) for days in (2, 399, 401, 700)])
    await roll_up(histories, HOUR, before=today)
    await roll_up(histories, DAY, before=today)
    assert await rows(connection) == (0, 0, 4)
    await histories.delete_older(timedelta(days=400))
    assert await rows(connection) == (0, 0, 2)


READABLE = """
SELECT extract(epoch FROM "from")::bigint, extract(epoch FROM "to" - "from")::int, up_seconds, degraded_seconds,
    down_seconds, unknown_seconds, checks, p50_ms, p95_ms, p99_ms
FROM fleet_server_history WHERE server_id = $1 ORDER BY "from"
"""


async def test_history_can_be_read_with_sql(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer
) -> None:
    server_id = await add_server()
    at = START * TICKS
    runs = [(at, at + 1205, 0), (at + 1205, at + 2000, 1), (at + 2000, at + 2600, 2)]
    latencies = Counts({60: 90, 80: 8, 90: 2})
    first = history.page(ServerId(server_id), START, runs=runs, good=100, bad=3, latencies=latencies)
    usual = latency.milliseconds(60), latency.milliseconds(80), latency.milliseconds(90)
    silent = history.page(ServerId(server_id), START + HOUR, runs=[], good=0, bad=1, latencies=Counts())
    await histories.write([first, silent])
    told = 120.5, 79.5, 60.0

    fine = [tuple(row) for row in await connection.fetch(READABLE, server_id)]
    await roll_up(histories, HOUR, before=START + DAY)
    hours = [tuple(row) for row in await connection.fetch(READABLE, server_id)]
    await roll_up(histories, DAY, before=START + DAY)
    days = [tuple(row) for row in await connection.fetch(READABLE, server_id)]

    nothing = (0, 0, 0)
    assert fine == [
        (START, 300, *told, 40.0, 103, *usual),
        (START + HOUR, 300, *nothing, 300.0, 1, None, None, None),
    ]
    assert hours == [
        (START, HOUR, *told, 3340.0, 103, *usual),
        (START + HOUR, HOUR, *nothing, 3600.0, 1, None, None, None),
    ]
    assert days == [(START, DAY, *told, 86140.0, 104, *usual)]


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(1, 900_000), st.integers(0, 2)), max_size=30),
    st.dictionaries(st.integers(1, 255), st.integers(1, 10**6), max_size=40),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
async def test_sql_unpacks_what_the_domain_packs(
    undone: Connection, parts: list[tuple[int, int, int]], counts: dict[int, int]
) -> None:
    runs: list[timeline.Run] = []
    at = 0
    for gap, length, status in parts:
        timeline.append(runs, (at + gap, at + gap + length, status))
        at += gap + length
    unpack = "SELECT fleet_timeline_seconds($1), fleet_latency_percentiles($2)"

    found = await undone.fetchrow(unpack, timeline.encode(runs, 0), latency.encode(counts))

    assert found is not None
    assert found[0] == [ticks / TICKS for ticks in timeline.totals(runs, 0, at)]
    shares = [latency.percentile(counts, share) for share in (0.5, 0.95, 0.99)]
    assert found[1] == pytest.approx([latency.milliseconds(bucket) for bucket in shares if counts])


async def test_five_minutes_that_two_monitors_share_are_one_row(
    histories: PostgresHistoryStore,
    connection: Connection,
    add_server: AddServer,
    fleet_database: Database,
    lease: Lease,
) -> None:
    server_id = await add_server()
    at = START * TICKS
    early, late = (
        history.page(ServerId(server_id), START, runs=[run], good=2, bad=0, latencies=Counts())
        for run in ((at, at + 1000, 0), (at + 1000, at + 2500, 2))
    )
    await histories.write([early])
    await connection.execute("UPDATE monitor_leases SET epoch = epoch + 1")
    await PostgresHistoryStore(fleet_database, replace(lease, epoch=lease.epoch + 1)).write([late])

    (row,) = await connection.fetch(READABLE, server_id)

    assert tuple(row)[2:7] == (100.0, 0.0, 150.0, 50.0, 4)


async def test_a_year_of_ten_thousand_servers_stays_under_ten_gigabytes(
    histories: PostgresHistoryStore, connection: Connection, add_server: AddServer, lease: Lease
) -> None:
    servers = [await add_server() for _ in range(20)]
    for server_id in servers:
        # A restless server: three changes in each five minutes, a latency that is all over the place.
        pages = []
        for start in range(START, START + 2 * DAY, FIVE_MINUTES):
            at = start * TICKS
            runs = [(at + place * 1000, at + place * 1000 + 900, place % 3) for place in range(3)]
            latencies = Counts({place: 1 for place in range(20, 60, 2)})
            pages.append(history.page(ServerId(server_id), start, runs=runs, good=20, bad=0, latencies=latencies))
        await histories.write(pages)
    size = "SELECT pg_total_relation_size($1)"
    recent = await connection.fetchval(size, "server_history_recent") / (20 * 2 * 288)
    await roll_up(histories, HOUR, before=START + 2 * DAY, limit=2)
    hours = await connection.fetchval(size, "server_history") / (20 * 48)
    await roll_up(histories, DAY, before=START + 2 * DAY)
    await connection.execute("VACUUM FULL server_history")
    days = await connection.fetchval(size, "server_history") / (20 * 2)
    # Twice as much as the rows take, for what is deleted and not reused yet.
    total = 2 * 10_000 * (24 * recent + 48 * hours + 400 * days)
    assert total < 10e9
