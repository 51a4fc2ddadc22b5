"""The fleet in the API's memory: equal to the tables after whatever history, and there when the database is not."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import asyncpg
import pytest

from api.fleet.queries import whole_fleet
from api.fleet.resolution import mirror as mirrors
from api.fleet.resolution.mirror import Mirror
from api.web.stream.fan_out import FanOut
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry, Residency
from monitor.postgres.database import Connection, Database

# A server that is up, with one model in memory for so long yet.
LOADED = """
WITH server AS (INSERT INTO ollama_servers (name, url, status) VALUES ('a', 'http://a', 'up') RETURNING id)
INSERT INTO ollama_models (server_id, name, model_name, size_vram, expires_at)
SELECT id, 'm', 'm:1b', 9, now() + $1::interval FROM server
"""

Eventually = Callable[..., Awaitable[None]]
STEPS = (
    "INSERT INTO ollama_servers (name, url, priority) VALUES ('s' || $1, 'http://s' || $1, $2)",
    "UPDATE ollama_servers SET priority = $2 WHERE name LIKE 's%' || ($1 % 10)",
    "UPDATE ollama_servers SET name = 's' || $1, url = 'http://S' || $1 || ':80/' WHERE name LIKE 's%' || ($2 % 10)"
    " AND (SELECT count(*) FROM ollama_servers WHERE name LIKE 's%' || ($2 % 10)) = 1",
    "UPDATE ollama_servers SET is_active = NOT is_active WHERE name LIKE 's%' || ($1 % 10) AND $2 > 1",
    "UPDATE ollama_servers SET status = CASE WHEN status = 'up' THEN 'down' ELSE 'up' END, status_reason = 'refused'"
    " WHERE is_active AND name LIKE 's%' || ($1 % 10) AND $2 >= 0",
    "UPDATE ollama_servers SET flapping_since = CASE WHEN flapping_since IS NULL THEN now() END"
    " WHERE name LIKE 's%' || ($1 % 10) AND $2 >= 0",
    "UPDATE ollama_servers SET is_default = false WHERE $1 + $2 >= 0",
    "UPDATE ollama_servers SET is_default = true WHERE name = (SELECT max(name) FROM ollama_servers"
    " WHERE name LIKE 's%' || ($1 % 10) AND $2 >= 0) AND NOT EXISTS (SELECT FROM ollama_servers WHERE is_default)",
    "UPDATE ollama_servers SET capabilities = to_jsonb(ARRAY['c' || $2]), check_interval_seconds = 1 + $1 % 5"
    " WHERE name LIKE 's%' || ($1 % 10)",
    "DELETE FROM ollama_servers WHERE name LIKE 's%' || ($1 % 10) AND $2 = 3",
    "UPDATE ollama_servers SET id = gen_random_uuid() WHERE name LIKE 's%' || ($1 % 10) AND $2 = 3"
    " AND NOT EXISTS (SELECT FROM ollama_models WHERE server_id = ollama_servers.id)",
    "INSERT INTO ollama_models (server_id, name, model_name, digest) SELECT id, 'm', 'M' || ($1 % 4), 'd' || $2"
    " FROM ollama_servers WHERE name LIKE 's%' || ($1 % 10) ON CONFLICT DO NOTHING",
    "INSERT INTO ollama_models (server_id, name, model_name, remote_host) SELECT id, 'm', 'm' || ($2 % 4), 'https://c'"
    " FROM ollama_servers WHERE $1 % 3 = 0 ON CONFLICT DO NOTHING",
    "UPDATE ollama_models SET is_active = NOT is_active WHERE model_name LIKE '%' || ($1 % 4) AND $2 > 1",
    "UPDATE ollama_models SET removed_at = CASE WHEN removed_at IS NULL THEN now() END"
    " WHERE model_name LIKE '%' || ($1 % 4) AND $2 > 1",
    "UPDATE ollama_models SET size_vram = CASE WHEN size_vram IS NULL THEN $1 END WHERE model_name = 'm' || ($2 % 4)",
    "UPDATE ollama_models SET digest = 'e' || $1, size_bytes = 1 + $1 WHERE model_name = 'M' || ($2 % 4)",
    "UPDATE ollama_models SET model_name = 'x' || $1 WHERE model_name = 'M' || ($2 % 4) AND $1 % 5 = 0",
    "UPDATE ollama_models SET server_id = (SELECT id FROM ollama_servers ORDER BY name LIMIT 1)"
    " WHERE id = (SELECT id FROM ollama_models WHERE model_name LIKE '%' || ($1 % 4) LIMIT 1) AND $2 = 3",
    "DELETE FROM ollama_models WHERE model_name LIKE '%' || ($1 % 4) AND $2 = 0",
)
NINE = "INSERT INTO ollama_servers (name, url) SELECT 'a' || n, 'http://a' || n FROM generate_series(1, 9) AS n"
SILENT = {"copies", "server", "fresh_from", "key", "revision"}


def contents(fleet: Directory) -> dict[str, Any]:
    """Return all that a directory holds and every order it keeps, as plain data; the times of checks are left out."""

    def fields(one: Entry | Copy) -> dict[str, Any]:
        return {name: getattr(one, name) for name in one.__slots__ if name not in SILENT}

    urls = {entry.base_url for entry in fleet.servers.values()}
    return {
        "servers": {entry.id: fields(entry) for entry in fleet.servers.values()},
        "models": {copy.id: fields(copy) for entry in fleet.servers.values() for copy in entry.copies.values()},
        "holders": {key: [copy.id for copy in fleet.holders(key)] for key in fleet.keys},
        "best": {key: (best := fleet.best(key)) and {copy.id for copy in best.copies} for key in fleet.keys},
        "active": [entry.id for entry in fleet.active],
        "default": fleet.default and fleet.default.id,
        "at": {url: (found := fleet.at(url)) and found.id for url in urls},
    }


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    """An open pool."""
    pool = Database(dsn, name="mirror", size=3)
    await pool.open()
    yield pool
    await pool.close()


@pytest.fixture
async def mirror(database: Database) -> AsyncIterator[Mirror]:
    """A mirror at work; what is new has to be fetched by a fan-out."""
    found = Mirror(database)
    task = asyncio.create_task(found.run())
    await found.wait()
    yield found
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def caught_up(mirror: Mirror, fan_out: FanOut, eventually: Eventually) -> Directory:
    """Return the fleet once the mirror has everything that is committed."""

    async def is_true() -> bool:
        head = await fan_out.advance()
        snapshot = mirror.now()
        return snapshot is not None and snapshot.seq == head

    await eventually(is_true, what="the mirror")
    snapshot = mirror.now()
    assert snapshot is not None
    return snapshot.fleet


async def test_after_any_history_it_equals_a_fresh_reading(
    database: Database, mirror: Mirror, connection: Connection, eventually: Eventually, pytestconfig: pytest.Config
) -> None:
    rounds = 400 if pytestconfig.getoption("--long") else 25
    chance = random.Random(7)
    fan_out = FanOut(database, mirror)
    await fan_out.advance()
    first = mirror.now()
    for _ in range(rounds):
        for _ in range(12):
            # What two servers cannot both be is refused by the tables, and makes no event.
            with suppress(asyncpg.IntegrityConstraintViolationError):
                step = chance.choice(STEPS).replace("$1", "$1::int").replace("$2", "$2::int")
                await connection.execute(step, chance.randrange(40), chance.randrange(4))
        fleet = await caught_up(mirror, fan_out, eventually)
        assert contents(fleet) == contents((await whole_fleet.read(database)).fleet)
    assert first is not None
    assert fleet is first.fleet, "it was read anew, not folded"
    assert fleet.servers
    assert fleet.keys


async def test_a_log_that_was_replaced_has_the_fleet_read_anew(
    database: Database, mirror: Mirror, connection: Connection, eventually: Eventually
) -> None:
    fan_out = FanOut(database, mirror)
    await connection.execute(NINE)
    await caught_up(mirror, fan_out, eventually)
    # As after a restore of an older dump.
    await connection.execute("SET session_replication_role = replica")
    await connection.execute(
        "DELETE FROM ollama_servers; DELETE FROM fleet_events; UPDATE fleet_event_head SET seq = 2"
    )
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('old', 'http://old')")
    fleet = await caught_up(mirror, fan_out, eventually)
    assert [entry.name for entry in fleet.servers.values()] == ["old"]


async def test_events_that_went_by_unseen_have_the_fleet_read_anew(
    database: Database, mirror: Mirror, connection: Connection, eventually: Eventually
) -> None:
    fan_out = FanOut(database, mirror)
    await fan_out.advance()
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
    late = FanOut(database, mirror)
    fleet = await caught_up(mirror, late, eventually)
    assert [entry.name for entry in fleet.servers.values()] == ["anna"]


async def test_what_cannot_be_folded_is_read(
    database: Database, mirror: Mirror, connection: Connection, eventually: Eventually
) -> None:
    fan_out = FanOut(database, mirror)
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
    await connection.execute("UPDATE fleet_events SET body = '{}'")
    fleet = await caught_up(mirror, fan_out, eventually)
    assert contents(fleet) == contents((await whole_fleet.read(database)).fleet)


async def test_the_times_of_checks_are_refreshed_without_events(
    database: Database, connection: Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "TIMES_SECONDS", 0.05)
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
    mirror = Mirror(database)
    task = asyncio.create_task(mirror.run())
    fleet = (await mirror.wait()).fleet
    (entry,) = fleet.servers.values()
    await connection.execute("UPDATE ollama_servers SET last_checked_at = '2099-01-01T00:00:00Z'")

    async def refreshed() -> bool:
        return entry.fresh_from > 4e9

    await eventually(refreshed, what="the time of the check")
    task.cancel()
    await asyncio.wait([task])


async def test_who_is_suspect_no_more_stays_so_until_the_verdict_is_known_too(
    database: Database, mirror: Mirror, connection: Connection, eventually: Eventually
) -> None:
    fan_out = FanOut(database, mirror)
    await connection.execute("INSERT INTO ollama_servers (name, url, status) VALUES ('anna', 'http://anna', 'up')")
    fleet = await caught_up(mirror, fan_out, eventually)
    (entry,) = fleet.servers.values()
    following = asyncio.create_task(mirror.follow_suspicions())

    async def suspected() -> bool:
        return entry.is_suspect

    await connection.execute("UPDATE ollama_servers SET suspect_since = now(), suspect_reason = 'refused'")
    mirror.suspicions_changed()
    await eventually(suspected)
    # The events are not read on for now.
    await connection.execute("UPDATE ollama_servers SET status = 'down'")
    mirror.suspicions_changed()
    for _ in range(10):
        assert entry.is_suspect
        await whole_fleet.suspects(database)
    await fan_out.advance()
    assert not entry.is_available

    async def cleared() -> bool:
        return not entry.is_suspect

    await eventually(cleared)
    following.cancel()
    await asyncio.wait([following])


async def test_a_model_whose_time_has_passed_is_not_loaded_until_somebody_has_looked_again(
    database: Database, connection: Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "TIMES_SECONDS", 0.05)
    await connection.execute(LOADED, timedelta(hours=1))
    mirror = Mirror(database)
    task = asyncio.create_task(mirror.run())
    fan_out = FanOut(database, mirror)
    copy = (await caught_up(mirror, fan_out, eventually)).holders("m:1b")[0]
    assert (copy.is_loaded, copy.residency) == (True, Residency.VRAM)

    async def is_loaded(expected: bool) -> None:
        async def holds() -> bool:
            return copy.is_loaded is expected

        await eventually(holds, what=f"loaded is {expected}")

    # None of these makes an event.
    await connection.execute("UPDATE ollama_models SET expires_at = now() - interval '1 second'")
    await is_loaded(False)
    assert copy.residency == Residency.COLD
    assert not (await mirrors.read_once(database)).fleet.holders("m:1b")[0].is_loaded
    await connection.execute("UPDATE ollama_models SET expires_at = NULL")
    await is_loaded(True)
    await connection.execute("UPDATE ollama_servers SET status = 'down'")
    await caught_up(mirror, fan_out, eventually)
    assert not copy.is_loaded
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_look_that_finds_a_model_in_memory_counts_before_its_time_is_read_anew(
    database: Database, connection: Connection, eventually: Eventually
) -> None:
    await connection.execute(LOADED, timedelta(hours=-1))
    mirror = Mirror(database)
    task = asyncio.create_task(mirror.run())
    fan_out = FanOut(database, mirror)
    copy = (await caught_up(mirror, fan_out, eventually)).holders("m:1b")[0]
    assert not copy.is_loaded
    await connection.execute("UPDATE ollama_models SET size_vram = 8, expires_at = now() + interval '1 hour'")
    await caught_up(mirror, fan_out, eventually)
    assert copy.is_loaded
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
