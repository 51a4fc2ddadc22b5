"""What history costs: memory and processor per check, log and disk per page, and what reading it takes."""

import argparse
import time
import uuid
from datetime import timedelta
from typing import Any

from api.fleet.history import Histories
from monitor.domain.availability import Status
from monitor.domain.history import DAY, FIVE_MINUTES, HOUR
from monitor.domain.ledger import Ledger
from monitor.domain.server import Policy, ServerId
from monitor.domain.uptime import Window
from monitor.postgres.database import Connection, Database
from monitor.postgres.history_store import PostgresHistoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from tests.benchmarks import stage

ADD = (
    "INSERT INTO ollama_servers (id, name, url) SELECT id, id::text, 'http://' || id FROM unnest($1::uuid[]) AS a (id)"
)
WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
RECENT, OLD = "server_history_recent", "server_history"
POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)
PART = 500
ROUNDS = 5
# Enough to see that it works.
SMOKE = ("--servers", "5", "--days", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, and how much it has behind it."""
    parser.add_argument("--servers", type=int, default=500)
    parser.add_argument("--days", type=int, default=31)
    parser.add_argument("--interval", type=float, default=15.0, help="seconds between two checks of a server")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Live through some days at full speed, as the monitor does, then read."""
    servers = [ServerId(uuid.uuid4()) for _ in range(options.servers)]
    async with stage.database() as dsn, stage.session(dsn) as connection:
        await connection.execute(ADD, servers)
        database = Database(dsn, name="benchmark")
        await database.open()
        lease = await PostgresLeaseStore(database, owner=uuid.uuid4(), owner_name="benchmark").take(timedelta(days=1))
        assert lease is not None
        past = Past(PostgresHistoryStore(database, lease), connection)
        figures = await past.live(servers, days=options.days, interval=options.interval)
        figures |= await _read(database, servers)
        await database.close()
    return {"servers": options.servers, "days": options.days, **figures}


class Past:
    """Writes a fleet's past, and adds up what that takes."""

    def __init__(self, store: PostgresHistoryStore, connection: Connection) -> None:
        self._store = store
        self._connection = connection
        self._ledger = Ledger()
        self.checks = self.pages = 0
        self.noting = self.wal = self.rolling = self.rolling_wal = 0.0

    async def live(self, servers: list[ServerId], *, days: int, interval: float) -> dict[str, Any]:
        """Check every server from some days ago until now."""
        end = int(await self._store.clock()) // FIVE_MINUTES * FIVE_MINUTES
        start = end // DAY * DAY - (days - 1) * DAY
        for begin in range(start, end, FIVE_MINUTES):
            self._note(servers, begin, interval)
            await self._write()
            if begin % HOUR == 0:
                await self._roll_up(HOUR, begin // HOUR * HOUR - HOUR)
            if begin % DAY == 0:
                await self._roll_up(DAY, begin // DAY * DAY - DAY)
        return await self._figures()

    def _note(self, servers: list[ServerId], begin: int, interval: float) -> None:
        rounds = int(FIVE_MINUTES / interval)
        started = time.process_time()
        for number in range(rounds):
            at = begin + number * interval
            for place, server_id in enumerate(servers):
                down = (begin // FIVE_MINUTES + place) % 100 == 0 and number > rounds // 2
                self._ledger.checked(
                    server_id,
                    Status.DOWN if down else Status.UP,
                    at=at,
                    good=not down,
                    milliseconds=None if down else 1.5 + (place * 7 + number * 13) % 40 / 10,
                    patience=3 * interval + 5,
                )
        while self._ledger.close(begin + FIVE_MINUTES, most=PART):
            pass
        self.noting += time.process_time() - started
        self.checks += rounds * len(servers)

    async def _write(self) -> None:
        before = await self._connection.fetchval(WAL)
        while pages := self._ledger.take(PART):
            self.pages += len(pages)
            await self._store.write(pages)
        self.wal += float(await self._connection.fetchval(WAL) - before)

    async def _roll_up(self, span: int, before: int) -> None:
        wal, started = await self._connection.fetchval(WAL), time.process_time()
        after: ServerId | None = None
        while done := await self._store.roll_up(span, before=before, after=after, limit=50):
            after = done[-1]
        self.rolling += time.process_time() - started
        self.rolling_wal += float(await self._connection.fetchval(WAL) - wal)

    async def _figures(self) -> dict[str, Any]:
        sizes: dict[str, float] = {}
        for name, table, where in (
            ("five_minutes", RECENT, "true"),
            ("hour", OLD, f"span = {HOUR}"),
            ("day", OLD, f"span = {DAY}"),
        ):
            # With the head of a row, its place in the page, and its entry in the index (a third of that is free).
            size = await self._connection.fetchval(
                f"SELECT avg(pg_column_size(t.*) + 4 + 60) FROM {table} t WHERE {where}"
            )
            sizes[name] = float(size or 0)
        year = 10_000 * (24 * sizes["five_minutes"] + 48 * sizes["hour"] + 365 * sizes["day"])
        return {
            "cpu_us_per_check": round(self.noting / self.checks * 1e6, 2),
            "wal_bytes_per_page": round(self.wal / self.pages, 1),
            "wal_bytes_per_check": round(self.wal / self.checks, 2),
            "roll_up_wal_bytes_per_check": round(self.rolling_wal / self.checks, 2),
            "roll_up_cpu_us_per_check": round(self.rolling / self.checks * 1e6, 2),
            "row_bytes": {name: round(size) for name, size in sizes.items()},
            "gigabytes_of_10000_servers_and_a_year": round(year / 1e9, 2),
        }


async def _read(database: Database, servers: list[ServerId]) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for window in Window:
        times, cpu = [], time.process_time()
        for _ in range(ROUNDS):
            started = time.perf_counter()
            await Histories(database, POLICY).of_many([], window=window)
            times.append(time.perf_counter() - started)
        figures[f"strips_{window.value}_ms"] = round(min(times) * 1000, 1)
        figures[f"strips_{window.value}_cpu_ms"] = round((time.process_time() - cpu) / ROUNDS * 1000, 1)
    started = time.perf_counter()
    for server_id in servers[:50]:
        await Histories(database, POLICY).of_server(server_id, window=Window.DAY)
    figures["one_server_ms"] = round((time.perf_counter() - started) * 1000 / len(servers[:50]), 1)
    return figures
