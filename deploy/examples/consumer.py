"""Takes ollama-fleet's events into an SQLite file, each once and in order: `python consumer.py DSN FILE`."""

import asyncio
import signal
import sqlite3
import sys
from contextlib import suppress

import asyncpg

PATIENCE = 5.0  # Seconds: to connect, for an answer (a half-open session gives none), between looks without a wake-up.
SETUP = """CREATE TABLE IF NOT EXISTS effect (seq INT, event TEXT); CREATE TABLE IF NOT EXISTS cursor (seq INT);
INSERT INTO cursor SELECT 0 WHERE NOT EXISTS (SELECT * FROM cursor)"""
# One statement sees one moment: the newest number there is, beside what the log holds after the cursor.
READ = """SELECT head.seq, event.seq, row_to_json(event)::text FROM fleet_event_head AS head LEFT JOIN LATERAL
(SELECT * FROM fleet_events WHERE seq > $1 ORDER BY seq LIMIT 500) AS event ON true ORDER BY event.seq"""


async def follow(session: "asyncpg.Connection[asyncpg.Record]", store: sqlite3.Connection) -> None:
    woken = asyncio.Event()
    session.add_termination_listener(lambda *_: woken.set())
    for channel in ("ollama_servers", "ollama_models"):  # Before the first look: what comes after it wakes us.
        await session.add_listener(channel, lambda *_: woken.set())
    while True:
        woken.clear()
        (cursor,) = store.execute("SELECT seq FROM cursor").fetchone()
        newest, first, _ = (rows := await session.fetch(READ, cursor))[0]
        if newest == cursor:
            with suppress(TimeoutError):
                await asyncio.wait_for(woken.wait(), PATIENCE)
        elif first != cursor + 1:  # Retention has passed the cursor, or it is another database's.
            sys.stderr.write(f"The log ends at {newest} and does not go on after {cursor}: read the tables anew.\n")
            sys.exit(3 if newest > cursor else 4)
        else:
            with store:  # Effect and cursor in one transaction: whenever this process dies, it is both or neither.
                store.executemany("INSERT INTO effect VALUES (?, ?)", [(seq, event) for _, seq, event in rows])
                store.execute("UPDATE cursor SET seq = ?", [rows[-1][1]])
            print(*(event for _, _, event in rows), sep="\n", flush=True)  # noqa: T201  # The lines are its output.


async def main(dsn: str, path: str) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sys.exit)
    store, delay = sqlite3.connect(path).executescript(SETUP).connection, 0.1
    while True:
        try:
            session, delay = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE), 0.1
            try:
                await follow(session, store)
            finally:
                session.terminate()  # close() would wait for the answer of a server that may be silent.
        # The last of these is the driver's confusion when a session ends in the middle of a statement.
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        await asyncio.sleep(delay := min(2 * delay, 3.0))


asyncio.run(main(*sys.argv[1:]))
