"""The API wired together, and its life from the first to the last request."""

import asyncio
import errno
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from api.fleet.access import hosts
from api.fleet.access.hosts import PortOwner
from api.fleet.access.tokens import TokenTable
from api.fleet.registry import Registry
from api.fleet.resolution.mirror import Mirror
from api.fleet.resolution.outgoing import OutgoingHeaders
from api.fleet.resolution.rediscovery import Rediscovery
from api.fleet.resolution.service import ResolverService
from api.fleet.wakeup import Wakeup
from api.web.gate.gate import Gate
from api.web.handlers.events import EventHandler
from api.web.handlers.health import HealthHandler
from api.web.handlers.pages import DashboardHandler, DescriptionHandler
from api.web.handlers.resolve import ResolveHandler
from api.web.handlers.servers import HistoryHandler, ModelHandler, ServerHandler
from api.web.http import bodies, connections
from api.web.http.connections import CONNECTIONS, Connections, ConnectionSite
from api.web.metrics.scrape import Scrape
from api.web.metrics.traffic import Traffic
from api.web.openapi.operation import Operation
from api.web.pipeline import RequestPipeline
from api.web.stream.fan_out import FanOut
from api.web.stream.streams import Streams
from monitor.credentials.vault import Vault
from monitor.domain.errors import ConfigurationError, DatabaseRefusesError, DatabaseUnavailableError, KeyRingError
from monitor.postgres import credential_store, schema_version
from monitor.postgres.database import Database
from monitor.settings import Settings

DRAIN_SECONDS = 5.0
# A connection that has no whole head of a request for us is closed, however slowly more of it comes.
IDLE_SECONDS = 60.0
# Each costs a connection and up to half a megabyte when its client is slow; a quarter of the connections stays free.
MOST_STREAMS = 1000
FREE_OF_STREAMS = 4
SCHEMA_RETRY_SECONDS = 1.0
OPERATIONS = web.AppKey("operations", list[Operation])
PROTOCOL_LOG = "api.protocol"

log = structlog.get_logger(__name__)


def build(
    settings: Settings,
    database: Database,
    *,
    wakeup: Wakeup,
    streams: Streams,
    mirror: Mirror,
    tokens: TokenTable,
    vault: Vault,
) -> web.Application:
    """Return the application on a database that is open."""
    registry = Registry(database, settings, wakeup=wakeup, vault=vault)
    gate = Gate(tokens, hostnames=settings.api_hostnames)
    rediscovery = Rediscovery(database, settings.discovery_interval)
    traffic = Traffic()
    scrape = Scrape(database, settings.policy, traffic=traffic, wakeup=wakeup, streams=streams, fan_out=streams.fan_out)
    app = web.Application(client_max_size=bodies.MAX_BYTES)
    app[CONNECTIONS] = Connections(connections.most())
    handlers = (
        ServerHandler(registry),
        ModelHandler(registry),
        EventHandler(registry, streams),
        ResolveHandler(
            mirror,
            ResolverService(settings.policy, settings.allowed_networks),
            rediscovery=rediscovery,
            outgoing=OutgoingHeaders(registry.credential),
        ),
        HistoryHandler(registry),
        HealthHandler(registry, scrape),
    )
    operations = [operation for handler in handlers for operation in handler.operations()]
    app[OPERATIONS] = operations
    routes = [operation.route() for operation in operations]
    pages = [*DescriptionHandler(operations).routes(), *DashboardHandler().routes()]
    app.add_routes(RequestPipeline(gate, traffic, app[CONNECTIONS]).wrap([*routes, *pages]))

    async def release_waiters(_: web.Application) -> None:
        wakeup.close()
        streams.close()
        await rediscovery.close()

    app.on_shutdown.append(release_waiters)
    return app


async def serve(
    settings: Settings,
    *,
    dsn: str,
    stop: asyncio.Event,
    ready: Callable[[str], None] | None = None,
    vault: Vault | None = None,
) -> None:
    """Serve until `stop` is set; `ready` is called with the base URL once requests are answered.

    A database that is away is waited for, and requests get 503 meanwhile. Without a `vault` it has one of its
    own. Raises `ConfigurationError` for an address that cannot be used and, as soon as the database answers,
    `KeyRingError` for a key ring that does not go with it.
    """
    is_exposed = hosts.exposure(settings.api_host, settings.api_hostnames) is not None
    database = Database(dsn, name="ollama-fleet api", behind_pooler=settings.listen_database_url is not None)
    await database.open()
    vault = vault or Vault.of(settings, makes_ring=False)
    mirror = Mirror(database)
    fan_out = FanOut(database, mirror)
    wakeup = Wakeup(database, look=fan_out.advance, suspicions_changed=mirror.suspicions_changed)
    streams = Streams(database, settings.policy, fan_out, most=_most_streams())
    tokens = TokenTable(database, open_when_empty=not is_exposed)
    runner = web.AppRunner(
        build(settings, database, wakeup=wakeup, streams=streams, mirror=mirror, tokens=tokens, vault=vault),
        access_log=None,
        logger=_protocol_logger(),
        auto_decompress=False,
        handler_cancellation=True,
        keepalive_timeout=IDLE_SECONDS,
        shutdown_timeout=DRAIN_SECONDS,
    )
    looked = asyncio.Event()
    try:
        if is_exposed:
            permission = _require_token(database, tokens, settings=settings, vault=vault, looked=looked)
            if not await _unless_stopped(stop, permission):
                return
        base_url = await _bind(runner, settings)
        async with asyncio.TaskGroup() as group:
            follow = _follow(
                database, wakeup, mirror, listen_dsn=settings.listen_database_url or dsn, vault=vault, looked=looked
            )
            tasks = [
                group.create_task(follow, name="api_follow"),
                group.create_task(streams.beat(), name="api_heartbeat"),
                group.create_task(tokens.run(), name="api_tokens"),
            ]
            # What is refused was never started.
            if await _unless_stopped(stop, looked.wait()):
                log.info("api_started", url=base_url)
                if ready is not None:
                    ready(base_url)
            await stop.wait()
            log.info("api_stopping")
            # No new requests; streams and those who wait for events end at once, the others have 5 s.
            await runner.cleanup()
            for task in tasks:
                task.cancel()
        await tokens.close()
    finally:
        await runner.cleanup()
        await database.close()
    log.info("api_stopped")


def _most_streams() -> int:
    most = connections.most()
    return min(MOST_STREAMS, most - most // FREE_OF_STREAMS)


async def _bind(runner: web.AppRunner, settings: Settings) -> str:
    await runner.setup()
    site = ConnectionSite(runner, settings.api_host, settings.api_port, connections=runner.app[CONNECTIONS])
    try:
        await site.start()
    except OSError as error:
        where = f"{settings.api_host} port {settings.api_port}"
        if error.errno == errno.EADDRINUSE:
            is_ours = await hosts.port_owner(settings.api_host, settings.api_port) is PortOwner.API
            who = "an API of ollama-fleet runs there already" if is_ours else "another program does"
            raise ConfigurationError(
                f"The API cannot listen on {where}: {who}. Stop that one, or set OLLAMA_FLEET_API_PORT to a free port."
            ) from error
        raise ConfigurationError(
            f"The API cannot listen on {where}: {error.strerror or error}. "
            "Set OLLAMA_FLEET_API_HOST and OLLAMA_FLEET_API_PORT to what this machine has."
        ) from error
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _require_token(
    database: Database, tokens: TokenTable, *, settings: Settings, vault: Vault, looked: asyncio.Event
) -> None:
    await _verify_schema(database, vault, looked)
    await hosts.require_token(tokens, settings.api_host, settings.api_hostnames)


async def _follow(
    database: Database, wakeup: Wakeup, mirror: Mirror, *, listen_dsn: str, vault: Vault, looked: asyncio.Event
) -> None:
    """Follow the event log, but not before it is known to be there, and the right key ring with it."""
    await _verify_schema(database, vault, looked)
    async with asyncio.TaskGroup() as group:
        group.create_task(wakeup.run(listen_dsn), name="api_wakeup")
        group.create_task(mirror.run(), name="api_mirror")
        group.create_task(mirror.follow_suspicions(), name="api_suspicions")


async def _verify_schema(database: Database, vault: Vault, looked: asyncio.Event) -> None:
    """Wait for the database; `looked` is set once it was asked, unless there is a reason to refuse it."""
    while True:
        try:
            async with database.session() as connection:
                await schema_version.verify(connection)
                await credential_store.require_key_ring(connection, vault)
        except KeyRingError:
            raise
        except DatabaseUnavailableError as error:
            if isinstance(error, DatabaseRefusesError) and not looked.is_set():
                raise ConfigurationError(str(error)) from error
            log.debug("api_waits_for_database", error=str(error))
            looked.set()
            await asyncio.sleep(SCHEMA_RETRY_SECONDS)
        else:
            looked.set()
            return


async def _unless_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, object]) -> bool:
    """Do some work that may wait for the database; False when the stop came first."""
    tasks = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            tasks[0].result()
        return tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _protocol_logger() -> logging.Logger:
    """Return the log of requests that are no HTTP: aiohttp quotes their bytes, among which may be a token."""
    found = logging.getLogger(PROTOCOL_LOG)
    found.addFilter(_without_content)
    return found


def _without_content(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"request_not_understood: {type(error).__name__}, status {error.code}", ()
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, "INFO"
    return True
