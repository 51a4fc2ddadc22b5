"""The example consumer as a real process, and what it has stored, to be judged against the log."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from monitor.postgres.database import Connection

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "consumer.py"
LIMIT = 30.0
LOG = "SELECT seq, row_to_json(event)::text FROM fleet_events AS event ORDER BY seq"

Effect = tuple[int, str]


class Store:
    """The consumer's SQLite file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def effects(self) -> list[Effect]:
        """All that was stored, in the order in which it was."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute("SELECT seq, event FROM effect ORDER BY rowid").fetchall()

    def cursor(self) -> int:
        """The number that the consumer goes on after; 0 before it has begun."""
        with closing(sqlite3.connect(self.path)) as connection:
            if not connection.execute("SELECT * FROM sqlite_master WHERE name = 'cursor'").fetchone():
                return 0
            return int(connection.execute("SELECT coalesce(max(seq), 0) FROM cursor").fetchone()[0])

    def set_cursor(self, seq: int) -> None:
        """What a person does who has read the tables anew."""
        with closing(sqlite3.connect(self.path)) as connection, connection:
            connection.execute("UPDATE cursor SET seq = ?", [seq])

    async def has(self, seq: int) -> bool:
        """Whether the consumer has come so far."""
        return self.cursor() >= seq


class Consumer:
    """One run of the example."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def kill(self) -> None:
        """Kill -9, and wait until it is gone."""
        self.process.kill()
        await self.process.wait()

    async def kill_in_transaction(self, store: Store, sightings: int) -> None:
        """Kill -9 while SQLite is in the middle of a transaction, the so-manieth one from now on."""
        await asyncio.to_thread(_strike, self.process.pid, Path(f"{store.path}-journal"), sightings)
        await self.process.wait()

    async def end(self) -> tuple[int, str]:
        """Wait for its own end; return the exit code and what it said on standard error."""
        _, said = await asyncio.wait_for(self.process.communicate(), LIMIT)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()

    async def terminate(self) -> None:
        """SIGTERM, which it must take well."""
        self.process.send_signal(signal.SIGTERM)
        code, said = await self.end()
        assert code == 0, said


def _strike(pid: int, journal: Path, sightings: int) -> None:
    # SQLite's journal is there for as long as a transaction is not committed. Nothing but a tight loop sees it.
    deadline = time.monotonic() + LIMIT
    for _ in range(sightings):
        for state in (False, True):
            while journal.exists() is not state:
                assert time.monotonic() < deadline, "the consumer stores nothing"
    os.kill(pid, signal.SIGKILL)


@asynccontextmanager
async def running(dsn: str, store: Store, *, patience: float | None = None) -> AsyncIterator[Consumer]:
    """Run the example, with less patience if wanted; it is killed at the end if it still runs."""
    program = [str(SCRIPT)]
    if patience is not None:
        text = SCRIPT.read_text()
        assert text.count("PATIENCE = 5.0") == 1
        program = ["-c", text.replace("PATIENCE = 5.0", f"PATIENCE = {patience}")]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *program,
        dsn,
        str(store.path),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Consumer(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def check(store: Store, connection: Connection) -> None:
    """Fail unless the stored effects are exactly the events of the log, in order, none missing and none twice."""
    expected = [(row[0], row[1]) for row in await connection.fetch(LOG)]
    assert store.effects() == expected
    assert store.cursor() == (expected[-1][0] if expected else 0)
