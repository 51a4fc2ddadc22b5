"""One scrape: the fleet and the monitor as the database tells of them, and the API as it counts itself.

The daemon is another process, and a monitor that stands by yet another: the one at work leaves what it counts in
the database, so that one target tells all, whichever process serves it.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from importlib import metadata

import structlog
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector

from api.fleet.queries import metrics as queries
from api.fleet.queries.metrics import FleetFacts
from api.fleet.wakeup import Wakeup
from api.web.metrics import catalogue, families
from api.web.metrics.traffic import Traffic
from api.web.stream.fan_out import FanOut
from api.web.stream.streams import Streams
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.server import Policy
from monitor.postgres.database import Database

# Whoever asks more often gets the same again.
LASTS_SECONDS = 1.0
LIMIT_SECONDS = 3.0

log = structlog.get_logger(__name__)


class Prepared(Collector):
    """Families that were gathered already: to gather asks the database, which a collector cannot wait for."""

    def __init__(self, gathered: Iterable[Family]) -> None:
        self._gathered = gathered

    def collect(self) -> Iterable[Family]:
        """Return them."""
        return self._gathered


class Scrape:
    """Answers scrapes; all that come within a second share one."""

    def __init__(
        self,
        database: Database,
        policy: Policy,
        *,
        traffic: Traffic,
        wakeup: Wakeup,
        streams: Streams,
        fan_out: FanOut,
    ) -> None:
        self._database = database
        self._policy = policy
        self._traffic = traffic
        self._wakeup = wakeup
        self._streams = streams
        self._fan_out = fan_out
        self._version = metadata.version("ollama-fleet")
        self._process = ProcessCollector(registry=None)
        self._turn = asyncio.Lock()
        self._taken_at = float("-inf")
        self._text = b""

    async def text(self) -> bytes:
        """Return all metrics in Prometheus' text format 0.0.4."""
        async with self._turn:
            if time.monotonic() >= self._taken_at + LASTS_SECONDS:
                facts = await self._ask()
                self._text = self._written([*self._of_api(facts is not None), *_of_fleet(facts)])
                self._taken_at = time.monotonic()
            return self._text

    async def _ask(self) -> FleetFacts | None:
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                return await queries.facts(self._database, self._policy)
        except (TimeoutError, DatabaseUnavailableError) as error:
            log.debug("scraped_without_database", error=str(error))
            return None

    def _written(self, gathered: list[Family]) -> bytes:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Prepared([*gathered, *self._process.collect()]))
        text: bytes = generate_latest(registry)
        return text

    def _of_api(self, database_up: bool) -> Iterator[Family]:
        yield families.many(catalogue.BUILD_INFO, [((self._version,), 1)])
        yield families.one(catalogue.DATABASE_UP, database_up)
        yield from self._traffic.families()
        yield families.histogram(catalogue.DELIVERY, [((), self._fan_out.delivery.document())])
        yield families.one(catalogue.STREAMS, len(self._streams))
        in_use, idle = self._database.sessions
        yield families.many(catalogue.SESSIONS, [(("in_use",), in_use), (("idle",), idle)])
        listener = self._wakeup.listener
        yield families.one(catalogue.API_LISTENING, listener is not None and listener.is_connected)
        yield families.one(catalogue.API_RECONNECTS, 0 if listener is None else listener.reconnects)


def _of_fleet(facts: FleetFacts | None) -> Iterator[Family]:
    if facts is None:
        return
    labelled = [((row["name"], str(row["id"])), row) for row in facts.servers]
    latencies = [(labels, row["latency_ms"] / 1000) for labels, row in labelled if row["latency_ms"] is not None]
    yield families.many(catalogue.SERVER_UP, ((labels, row["is_available"]) for labels, row in labelled))
    yield families.many(catalogue.SERVER_SUSPECT, ((labels, row["suspect"]) for labels, row in labelled))
    yield families.many(catalogue.SERVER_STALE, ((labels, row["stale"]) for labels, row in labelled))
    yield families.many(catalogue.SERVER_LATENCY, latencies)
    expiries = [(labels, row["tls_expires"]) for labels, row in labelled if row["tls_expires"] is not None]
    yield families.many(catalogue.SERVER_TLS_EXPIRES, expiries)
    yield families.many(catalogue.SERVER_MODELS, ((labels, row["models"]) for labels, row in labelled))
    yield families.many(catalogue.SERVERS, (((status,), count) for status, count in facts.by_status.items()))
    yield families.one(catalogue.MODELS, facts.models)
    yield families.one(catalogue.MODELS_LOADED, facts.models_loaded)
    yield families.one(catalogue.EVENTS, facts.events)
    yield families.one(catalogue.LEASES_HELD, facts.leases_held)
    yield families.one(catalogue.LEASE_EPOCH, facts.epoch)
    if facts.stats is not None:
        yield families.one(catalogue.STATS_AGE, facts.stats_age)
        yield from families.of_monitor(facts.stats)
