"""What the API needs to do its work, looked at when somebody asks, and how an isolation of the monitor is told."""

import asyncio
from datetime import UTC, datetime

from api.fleet import refusals, views
from api.fleet.queries import diagnosis, requests
from api.fleet.queries.diagnosis import DatabaseServer, Isolation
from api.fleet.views import ReadinessReport
from api.fleet.wakeup import Wakeup
from monitor.domain.errors import DatabaseUnavailableError, SchemaMismatchError
from monitor.domain.probe import Reason
from monitor.postgres import schema_version
from monitor.postgres.database import Database
from monitor.postgres.listener import Listener

LIMIT_SECONDS = 3.0
# Of the queue of notifications, long before it is full: it has 8 GB.
FULL_SOON = 0.1
OK, FAILED, UNKNOWN, ABSENT, HELD = "ok", "failed", "unknown", "absent", "held"
NO_MONITOR = (
    "No monitor is at work, so nothing is checked: start `ollama-fleet up`, or `ollama-fleet monitor` where the API "
    "runs apart."
)
LOOK = "see whether the monitor's host has lost its network"
LOOK_AT_NAMES = "see whether the resolver of the monitor's host works"
LOOK_AT_HOST = "check network, memory and open files (ulimit -n) of the monitor's host"


class Readiness:
    """Looks at the database, the schema and the monitor.

    Without a monitor the API still is ready: it reads, writes and keeps requests, and shows by `stale`
    that nobody checks. To take it out of service for that would only hide the registry, too. So it is
    without the session that listens: events then come by the look that is taken every few seconds; and with a
    database that takes no writes, since it still says which server to take. While
    the monitor is isolated the API is ready, too: whether verdicts are held says nothing about the API.
    """

    def __init__(self, database: Database, wakeup: Wakeup | None) -> None:
        """`wakeup` is what the API listens with; a command has none, and nothing to miss."""
        self._database = database
        self._wakeup = wakeup

    async def report(self, *, names_database: bool) -> ReadinessReport:
        """Return what works and what does not, with a reason for each that does not.

        Without `names_database` none of them has its host, its name or a role in it.
        """
        checks = {"database": FAILED, **dict.fromkeys(("writes", "schema", "monitor", "verdicts"), UNKNOWN)}
        reasons: list[str] = []
        isolated: Isolation | None = None
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                isolated = await self._look(checks, reasons)
        except TimeoutError:
            reasons.append(f"The database did not answer within {LIMIT_SECONDS:.0f} s.")
        except SchemaMismatchError as error:
            reasons.append(str(error))
        except DatabaseUnavailableError as error:
            reasons.append(str(error) if names_database else refusals.DATABASE_AWAY)
        if self._wakeup is not None:
            self._look_at_listener(self._wakeup.listener, checks, reasons)
        return ReadinessReport(
            ready=checks["schema"] == OK,
            reasons=reasons,
            checks=checks,
            isolation=None if isolated is None else views.isolation(isolated),
        )

    def _look_at_listener(self, listener: Listener | None, checks: dict[str, str], reasons: list[str]) -> None:
        is_connected = listener is not None and listener.is_connected
        checks["listener"] = OK if is_connected else FAILED
        # What has not begun to listen has not lost it.
        if listener is not None and not is_connected and checks["database"] == OK:
            reasons.append(
                "The session that listens for changes is away and is opened anew, so events come up to 5 s late; "
                "if it stays so behind a pooler, set OLLAMA_FLEET_LISTEN_DATABASE_URL to the database itself."
            )

    async def _look(self, checks: dict[str, str], reasons: list[str]) -> Isolation | None:
        async with self._database.session() as connection:
            checks.update(database=OK, schema=FAILED)
            trouble = write_trouble(await diagnosis.database_server(connection))
            checks["writes"] = OK if trouble is None else FAILED
            if trouble is not None:
                reasons.append(trouble)
            await schema_version.verify(connection)
            checks["schema"] = OK
            if not await requests.is_monitor_at_work(connection):
                checks["monitor"] = ABSENT
                reasons.append(NO_MONITOR)
                return None
            checks["monitor"] = OK
            isolated = await diagnosis.isolation(connection)
        checks["verdicts"] = HELD if isolated is not None and isolated.is_holding else OK
        if isolated is not None:
            reasons.append(isolation_sentence(isolated))
        return isolated


def write_trouble(server: DatabaseServer) -> str | None:
    """Return what keeps PostgreSQL from taking what is written, or soon will, and, after a colon, what to do."""
    if server.is_standby:
        return (
            "PostgreSQL is a standby, so nothing can be written: point OLLAMA_FLEET_DATABASE_URL to the primary, "
            "or promote this one."
        )
    if server.is_read_only:
        return (
            "PostgreSQL is read only, so nothing can be written: end default_transaction_read_only, which is set "
            "for the server, the database or the role."
        )
    if server.queue_usage >= FULL_SOON:
        return (
            f"PostgreSQL's queue of notifications is full to {server.queue_usage:.0%}, and no write succeeds once it "
            "is full: end the session that listens and has been in a transaction for long (pg_stat_activity)."
        )
    return None


def isolation_sentence(isolation: Isolation) -> str:
    """Return what is wrong with an isolated monitor in one sentence and, after a colon, what to do."""
    what, look = _silence(isolation)
    if isolation.until is None:
        return f"{what}, so verdicts are held: {look}."
    until = _clock(isolation.until, now=isolation.now)
    if isolation.is_holding:
        return f"{what}, so verdicts are held until {until}: {look}."
    return f"{what}; verdicts are held no more since {until}, but the monitor still has this trouble: {look}."


def _silence(isolation: Isolation) -> tuple[str, str]:
    number = f"{isolation.servers} of {isolation.of} servers"
    match isolation.cause:
        case Reason.LOCAL:
            return f"{number} could not be asked, by faults of the monitor's own host (local)", LOOK_AT_HOST
        case Reason.DNS:
            return f"The names of {number} are not found any more ({isolation.cause})", LOOK_AT_NAMES
    return f"{number} stopped answering at once ({isolation.cause}) and nothing else answers", LOOK


def _clock(moment: datetime, *, now: datetime) -> str:
    moment = moment.astimezone(UTC)
    is_today = moment.date() == now.astimezone(UTC).date()
    return f"{moment:%H:%M:%S} UTC" if is_today else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
