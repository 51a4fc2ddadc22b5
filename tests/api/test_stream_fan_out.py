"""What the fan-out promises to one follower, in moments that a test over HTTP cannot choose."""

from collections.abc import AsyncIterator

import pytest

from api.fleet.resolution.mirror import Mirror
from api.web.stream.fan_out import FanOut
from api.web.stream.frames import Filter
from monitor.postgres.database import Connection, Database

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"


class Reader:
    """A stream that takes everything, or nothing."""

    def __init__(self, cursor: int) -> None:
        self.cursor = cursor
        self.generation = 0
        self.wanted = Filter(types=frozenset(), server_id=None)
        self.taken = b""
        self.is_deaf = False
        self.times_let_go = 0

    def push(self, data: bytes, /) -> bool:
        """Keep the bytes."""
        if not self.is_deaf:
            self.taken += data
        return not self.is_deaf

    def let_go(self) -> None:
        """Count."""
        self.times_let_go += 1


@pytest.fixture
async def fan_out(dsn: str) -> AsyncIterator[FanOut]:
    """On a database of the test's own."""
    database = Database(dsn, name="fan-out")
    await database.open()
    yield FanOut(database, Mirror(database))
    await database.close()


def joined(fan_out: FanOut, cursor: int) -> Reader:
    """A follower that has everything up to a number and is live."""
    reader = Reader(cursor)
    fan_out.add(reader)
    assert fan_out.join(reader)
    return reader


async def test_who_is_ahead_of_the_others_is_not_told_twice(fan_out: FanOut, psql: Connection) -> None:
    behind = joined(fan_out, 0)
    for name in ("anna", "berta"):
        await psql.execute(ADD, name)
    ahead = joined(fan_out, 1)
    assert await fan_out.advance() == 2
    assert (behind.taken.count(b"id: "), ahead.taken.count(b"id: ")) == (2, 1)
    assert ahead.taken.startswith(b"id: 2\n")


async def test_who_missed_something_cannot_join_but_is_given_what_is_at_hand(fan_out: FanOut, psql: Connection) -> None:
    joined(fan_out, 0)
    for name in ("anna", "berta"):
        await psql.execute(ADD, name)
    await fan_out.advance()
    late = Reader(1)
    fan_out.add(late)
    assert not fan_out.join(late)
    page = fan_out.recent(late)
    assert page is not None
    assert (page.data[:6], page.cursor) == (b"id: 2\n", 2)


async def test_who_takes_nothing_is_let_go_with_the_cursor_it_had(fan_out: FanOut, psql: Connection) -> None:
    deaf, good = joined(fan_out, 0), joined(fan_out, 0)
    deaf.is_deaf = True
    await psql.execute(ADD, "anna")
    await fan_out.advance()
    assert (deaf.times_let_go, deaf.cursor) == (1, 0)
    assert (good.times_let_go, good.cursor) == (0, 1)


async def test_nobody_joins_a_log_that_was_replaced_before_asking_the_database(
    fan_out: FanOut, psql: Connection
) -> None:
    live = joined(fan_out, 0)
    for name in ("anna", "berta", "carla"):
        await psql.execute(ADD, name)
    await fan_out.advance()
    reading = Reader(3)
    fan_out.add(reading)
    await psql.execute("DELETE FROM fleet_events WHERE seq > 1")
    await psql.execute("UPDATE fleet_event_head SET seq = 1")
    assert await fan_out.advance() == 1
    assert live.times_let_go == 1
    assert not fan_out.join(reading)
    assert fan_out.recent(reading) is None
    reading.generation, reading.cursor = fan_out.generation, 1
    assert fan_out.join(reading)


async def test_what_happens_while_nobody_listens_is_not_read(fan_out: FanOut, psql: Connection) -> None:
    await psql.execute(ADD, "anna")
    assert await fan_out.advance() == 1
    await psql.execute(ADD, "berta")
    assert await fan_out.advance() == 2
    late = Reader(1)
    fan_out.add(late)
    assert not fan_out.join(late)
    assert not fan_out.holds(1)
