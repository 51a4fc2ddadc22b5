"""Looks at the database: does it answer, does it know our schema, does its clock agree, do notifications arrive?"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.fleet import readiness
from api.fleet.queries import diagnosis
from api.fleet.queries.diagnosis import Isolation
from monitor.domain.errors import FleetError
from monitor.postgres import database, notify_proof, schema_version
from monitor.postgres.database import Connection, Database

NOTIFY_SECONDS = 3.0
MOST_CLOCK_DIFFERENCE = timedelta(seconds=2)
SUBJECTS = ("database", "schema", "clock", "notify", "monitor", "verdicts")


async def look(store: Database, *, listen_dsn: str) -> AsyncIterator[Finding]:
    """Yield a finding for each of `SUBJECTS`; what needs the one before it is skipped when that failed."""
    try:
        async with store.session() as connection:
            asked = time.time()
            server = await diagnosis.database_server(connection)
            took = time.time() - asked
            yield finding.ok("database", f"PostgreSQL {server.version} at {database.describe(store.dsn)}")
            try:
                await schema_version.verify(connection)
            except FleetError as error:
                seen, _, remedy = str(error).partition(": ")
                yield finding.failed("schema", seen, next=remedy or "run `ollama-fleet migrate`.")
                yield _clock(server.now, asked=asked, took=took)
                for subject in SUBJECTS[3:]:
                    yield finding.skipped(subject)
                return
            yield finding.ok("schema", f"at {schema_version.KNOWN}, as this program needs it")
            yield _clock(server.now, asked=asked, took=took)
            at_work = await _at_work(connection)
    except FleetError as error:
        yield finding.failed("database", str(error), next="check OLLAMA_FLEET_DATABASE_URL, and PostgreSQL's own log.")
        for subject in SUBJECTS[1:]:
            yield finding.skipped(subject)
        return
    yield await _notify(store, listen_dsn=listen_dsn)
    for one in at_work:
        yield one


def _clock(shown: datetime, *, asked: float, took: float) -> Finding:
    difference = shown - datetime.fromtimestamp(asked + took / 2, UTC)
    seconds = difference.total_seconds()
    if abs(difference) <= MOST_CLOCK_DIFFERENCE:
        return finding.ok("clock", f"differs by {abs(seconds):.1f} s from the database's")
    return finding.warning(
        "clock",
        f"the database's is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
        next="let both follow a time server (timedatectl); stored times are the database's, ages shown here are wrong.",
    )


async def _notify(store: Database, *, listen_dsn: str) -> Finding:
    heard, word = asyncio.Event(), secrets.token_hex(8)

    def hear(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        if payload == word:
            heard.set()

    try:
        listener = await database.connect(listen_dsn, name="ollama-fleet doctor", statement_cache_size=0)
        try:
            await listener.add_listener(notify_proof.CHANNEL, hear)
            sent = time.perf_counter()
            async with store.session() as connection:
                await diagnosis.notify(connection, notify_proof.CHANNEL, payload=word)
            async with asyncio.timeout(NOTIFY_SECONDS):
                await heard.wait()
            return finding.ok("notify", f"arrives after {(time.perf_counter() - sent) * 1000:.1f} ms")
        finally:
            listener.terminate()
    except (FleetError, TimeoutError) as error:
        return finding.failed(
            "notify",
            str(error) or f"nothing arrives within {NOTIFY_SECONDS:.0f} s",
            next="set OLLAMA_FLEET_LISTEN_DATABASE_URL to the same database directly, not through a pooler.",
        )


async def _at_work(connection: Connection) -> list[Finding]:
    monitors = await diagnosis.monitors(connection)
    if not monitors:
        missing = finding.failed(
            "monitor",
            "none is at work, so nothing is checked",
            next="start `ollama-fleet up` or `ollama-fleet monitor`.",
        )
        return [missing, finding.skipped("verdicts")]
    isolated = await diagnosis.isolation(connection)
    return [finding.ok("monitor", f"at work: {', '.join(monitors)}"), _verdicts(isolated)]


def _verdicts(isolated: Isolation | None) -> Finding:
    if isolated is None:
        return finding.ok("verdicts", "none is held: the monitor does not take itself to be cut off")
    seen, _, remedy = readiness.isolation_sentence(isolated).partition(": ")
    return finding.failed("verdicts", seen, next=remedy)
