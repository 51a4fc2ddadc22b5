"""Writers that go on through every trouble and remember which of their writes were acknowledged."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import asyncpg

from monitor.domain.event import EventType
from monitor.postgres import database
from monitor.postgres.database import Connection
from tests import fold

ADD = "INSERT INTO ollama_servers (id, name, url) VALUES ($1, $2, 'http://' || $2) ON CONFLICT DO NOTHING"
ADD_MODEL = """
INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm')
ON CONFLICT (server_id, model_name) DO UPDATE SET is_active = NOT ollama_models.is_active
"""
WRITE = """
UPDATE ollama_servers SET priority = $2, status = CASE status WHEN 'up' THEN 'down' ELSE 'up' END WHERE id = $1
"""
LONGEST_PAUSE = 0.03
RETRY = 0.05
SHARE_ROLLED_BACK = 0.2


@dataclass(slots=True)
class Writer:
    """Numbers its transactions by the priority that each gives to the writer's own server."""

    name: str
    chance: random.Random
    id: uuid.UUID = field(default_factory=uuid.uuid4)
    acknowledged: set[int] = field(default_factory=set)
    rolled_back: set[int] = field(default_factory=set)
    number: int = 0

    async def run(self, dsn: str, stop: asyncio.Event) -> None:
        """Write until told to stop, over one session after the other."""
        while not stop.is_set():
            try:
                session: Connection = await asyncpg.connect(dsn, timeout=5, command_timeout=10)
            except database.LOST:
                await asyncio.sleep(RETRY)
                continue
            try:
                await session.execute(ADD, self.id, self.name)
                while not stop.is_set():
                    await self._write(session)
                    await asyncio.sleep(self.chance.uniform(0, LONGEST_PAUSE))
            except database.LOST:
                await asyncio.sleep(RETRY)
            finally:
                session.terminate()

    async def _write(self, session: Connection) -> None:
        self.number += 1
        number, keeps = self.number, self.chance.random() >= SHARE_ROLLED_BACK
        transaction = session.transaction()
        await transaction.start()
        await session.execute(WRITE, self.id, number)
        if number % 4 == 0:
            await session.execute(ADD_MODEL, self.id)
        if keeps:
            await transaction.commit()
            self.acknowledged.add(number)
        else:
            self.rolled_back.add(number)
            await transaction.rollback()


@asynccontextmanager
async def writing(dsn: str, count: int) -> AsyncIterator[list[Writer]]:
    """Let so many writers work while the block runs; all are done with their last transaction afterwards."""
    stop = asyncio.Event()
    writers = [Writer(f"writer-{number}", random.Random(number)) for number in range(count)]
    async with asyncio.TaskGroup() as group:
        for writer in writers:
            group.create_task(writer.run(dsn, stop))
        try:
            yield writers
        finally:
            stop.set()


async def check(writers: list[Writer], connection: Connection) -> None:
    """Fail unless the history is sound, tells of every acknowledged write, and of none that was rolled back."""
    events = await fold.read_events(connection)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    fold.check_invariants(events)
    assert fold.fold(events) == await fold.table_state(connection)
    for writer in writers:
        told = [
            event.body["priority"]
            for event in events
            if event.server_id == writer.id and event.type is EventType.SERVER_UPDATED
        ]
        assert told == sorted(set(told)), writer.name
        assert writer.acknowledged <= set(told), writer.name
        assert not writer.rolled_back & set(told), writer.name
