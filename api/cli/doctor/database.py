"""Looks at the database: does it answer, does it know our schema, does its clock agree, do notifications arrive?

And at what it holds that is secret: does the key ring open every credential, are there good tokens?
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from api.cli.doctor import finding
from api.cli.doctor.finding import Finding
from api.cli.doctor.servers import some
from api.fleet import readiness
from api.fleet.access import hosts
from api.fleet.queries import diagnosis
from api.fleet.queries import tokens as stored_tokens
from api.fleet.queries.diagnosis import Isolation
from monitor.credentials.vault import Vault
from monitor.domain.credential import Unreadable
from monitor.domain.errors import FleetError, KeyRingError
from monitor.postgres import credential_store, database, notify_proof, schema_version
from monitor.postgres.database import Connection, Database
from monitor.settings import Settings

NOTIFY_SECONDS = 3.0
MOST_CLOCK_DIFFERENCE = timedelta(seconds=2)
SOON = timedelta(days=7)
SUBJECTS = ("database", "schema", "clock", "notify", "monitor", "verdicts")


async def look(store: Database, *, listen_dsn: str) -> AsyncIterator[Finding]:
    """Yield a finding for each of `SUBJECTS`; what needs the one before it is skipped when that failed."""
    try:
        async with store.session() as connection:
            asked = time.time()
            server = await diagnosis.database_server(connection)
            took = time.time() - asked
            seen = f"PostgreSQL {server.version} at {database.describe(store.dsn)}"
            told = readiness.write_trouble(server)
            if told is None:
                yield finding.ok("database", seen)
            else:
                trouble, _, remedy = told.partition(": ")
                yield finding.failed("database", f"{seen}: {trouble}", next=remedy)
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


async def keys(store: Database, vault: Vault) -> Finding:
    """Open every credential, and name the servers of those that stay closed; changes nothing."""
    async with store.session() as connection:
        rows = await diagnosis.with_credentials(connection)
        try:
            await credential_store.require_key_ring(connection, vault)
        except KeyRingError as error:
            return finding.failed("keys", str(error), next="a service that is started before that ends at once.")
    closed = {
        row["name"]: found.why
        for row in rows
        if isinstance(found := vault.open(credential_store.sealed(row)), Unreadable)
    }
    if closed:
        name, why = next(iter(closed.items()))
        seen = f"{len(closed)} of {len(rows)} credentials do not open, of the servers {some(list(closed))}"
        return finding.failed("keys", seen, next=f"{name}: {why}")
    if not rows:
        return finding.ok("keys", "no server has a credential")
    return finding.ok("keys", f"{len(rows)} credentials, and {vault.file.path} opens all of them")


async def tokens(store: Database, settings: Settings) -> Finding:
    """Count the tokens that are good, by the clock of the database, which is the one that ends them."""
    async with store.session() as connection:
        rows = await stored_tokens.read_all(connection)
    # The seconds that each is good for yet, None for ever.
    good = {
        row["name"]: row["seconds_left"]
        for row in rows
        if row["revoked_at"] is None and (row["seconds_left"] is None or row["seconds_left"] > 0)
    }
    if not good:
        return _none_good(hosts.exposure(settings.api_host, settings.api_hostnames), has_any=bool(rows))
    ending = [name for name, left in good.items() if left is not None and left < SOON.total_seconds()]
    if ending:
        return finding.warning(
            "tokens",
            f"{len(good)} good, but within {SOON.days} days these end: {some(ending)}",
            next="make new ones under other names with `ollama-fleet token create`, and hand them out in time.",
        )
    return finding.ok("tokens", f"{len(good)} good")


def _none_good(exposed: tuple[str, str] | None, *, has_any: bool) -> Finding:
    making = "make one with `ollama-fleet token create NAME --scope read --scope write`"
    if exposed is not None:
        why, otherwise = exposed
        return finding.warning(
            "tokens", f"none is good, and {why}, so no API starts", next=f"{making}, or {otherwise}."
        )
    if has_any:
        return finding.warning("tokens", "all are revoked or expired, so the API lets nobody in", next=f"{making}.")
    return finding.ok("tokens", "there is none: the API is open to this machine, and closed to all others")
