"""Takes ollama-fleet's events into an SQLite file, each once and in order: `python consumer.py DSN FILE`."""

import argparse
import asyncio
import signal
import sqlite3
import sys
from contextlib import suppress

import asyncpg

# No waiting mends these: no such role, password or database, no right to read, no fleet in it, no DSN.
HOPELESS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
    asyncpg.ClientConfigurationError,
)
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
                async with asyncio.timeout(PATIENCE):
                    await woken.wait()
        elif first != cursor + 1:  # Retention has passed the cursor, or it is another database's.
            sys.stderr.write(f"The log ends at {newest} and does not go on after {cursor}: read the tables anew.\n")
            sys.exit(3 if newest > cursor else 4)
        else:
            with store:  # Effect and cursor in one transaction: whenever this process dies, it is both or neither.
                store.executemany("INSERT INTO effect VALUES (?, ?)", [(seq, event) for _, seq, event in rows])
                store.execute("UPDATE cursor SET seq = ?", [rows[-1][1]])
            print(*(event for _, _, event in rows), sep="\n", flush=True)  # noqa: T201  # The lines are its output.


async def main(dsn: str, path: str) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, sys.exit)
    store, delay, is_away = sqlite3.connect(path).executescript(SETUP).connection, 0.1, False
    while True:
        try:
            session = await asyncpg.connect(dsn, timeout=PATIENCE, command_timeout=PATIENCE)
            delay, is_away = 0.1, False
            try:
                await follow(session, store)
            finally:
                session.terminate()  # close() would wait for the answer of a server that may be silent.
        except HOPELESS as error:
            sys.exit(f"The database cannot be read with this DSN: {error}. The README beside me says where to get one.")
        # The last of these is the driver's confusion when a session ends in the middle of a statement.
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            if not is_away:  # Once, not at each try.
                sys.stderr.write(f"The database is away, and is tried again: {str(error) or 'it does not answer'}\n")
            is_away = True
        await asyncio.sleep(delay := min(2 * delay, 3.0))


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("dsn", help="the database, as `ollama-fleet db uri` prints it")
parser.add_argument("file", help="the SQLite file of events and cursor; it is made if it is not there")
given = parser.parse_args()
try:
    asyncio.run(main(given.dsn, given.file))
except sqlite3.Error as error:
    sys.exit(f"Events cannot be kept in {given.file}: {error}.")
