"""`/api/resolve` for a big fleet, in quiet and in a storm of events, beside a bare handler that answers as much.

The storm's writer and its PostgreSQL take their share of the machine from whoever answers. So the resolver is asked
in a storm elsewhere, too, in a database of the same PostgreSQL that is not its own: what it loses beyond that is
what following the storm costs it.
"""

import argparse
import asyncio
import statistics
import time
import tracemalloc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from api.fleet.queries import whole_fleet
from monitor.postgres import schema_version
from monitor.postgres.database import Connection, Database
from tests.api import token_maker
from tests.benchmarks import bare_handler, load, stage

# Without the triggers: 50,000 events would only be old ones.
FILL = """
SET session_replication_role = replica;
INSERT INTO ollama_servers (name, url, status, is_available, priority, last_checked_at)
    SELECT 'gpu-' || n, 'http://gpu-' || n || '.example:11434', CASE WHEN n % 10 = 0 THEN 'down' ELSE 'up' END,
        n % 10 <> 0, n % 7, now() FROM generate_series(1, {servers}) AS n;
INSERT INTO ollama_models (server_id, name, model_name, size_bytes, digest, capabilities, family)
    SELECT id, model, model, 4000000000, md5(model) || md5(model), '["completion", "tools"]', 'llama'
    FROM ollama_servers, generate_series(1, {models}) AS n, LATERAL (SELECT {model_name} AS model) AS named;
SET session_replication_role = origin;
"""
SHARED, OWN = "'model-' || n || ':8b'", "'model-' || n || '-of-' || ollama_servers.name || ':8b'"
# Of one server after the other; every verdict moves all its models in the order of choice.
STORM = """
UPDATE ollama_servers SET status = CASE status WHEN 'up' THEN 'down' ELSE 'up' END WHERE name = 'gpu-' || $1::int
"""
# So many answers, and all models were asked for.
MOST_TO_BEGIN = 200
# Enough to see that it works.
SMOKE = ("--servers", "20", "--models", "3", "--rounds", "1", "--seconds", "0.3", "--rate", "20")


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """What is asked, of ours and of the bare handler alike, byte for byte."""

    options: argparse.Namespace
    paths: list[str]
    headers: dict[str, str]

    async def ask(self, port: int, *, connections: int, seconds: float) -> load.Tally:
        """Ask one of them for some seconds."""
        return await load.run(port, self.paths, connections=connections, seconds=seconds, headers=self.headers)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, and how it is asked."""
    parser.add_argument("--servers", type=int, default=1000)
    parser.add_argument("--models", type=int, default=50, help="models of each server")
    parser.add_argument("--distinct", action="store_true", help="no two servers have the same model")
    parser.add_argument("--sessions", type=int, default=0, help="so many sessions ask for a model each, in turn")
    parser.add_argument("--open", action="store_true", help="ask an API that wants no token")
    parser.add_argument("--connections", type=int, default=16)
    # Many short rounds: a machine that others share changes its pace within seconds.
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each part of a round")
    parser.add_argument("--rate", type=float, default=100.0, help="events per second in the storm")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask ours, the bare handler, ours in a storm, and ours in a storm elsewhere, in turn."""
    async with stage.database() as dsn, stage.session(dsn) as writer:
        model_name = OWN if options.distinct else SHARED
        fill = FILL.format(servers=options.servers, models=options.models, model_name=model_name)
        await writer.execute(fill)
        figures = {"servers": options.servers, "models": options.models, "snapshot_mb": await _snapshot_mb(dsn)}
        port, bare_port = stage.free_port(), stage.free_port()
        environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
        questions = Questions(
            options=options, paths=_paths(options), headers={} if options.open else await _bearer(dsn)
        )
        async with stage.process("-m", "api", environment=environment) as api:
            size = await _body_bytes(port, questions)
            async with (
                bare_handler.running(bare_port, "/api/resolve", b"x" * size) as bare,
                _elsewhere(dsn, writer, fill) as stranger,
            ):
                rounds = [
                    (
                        await _measure(questions, api.pid, port),
                        await _measure(questions, bare.pid, bare_port),
                        await _in_storm(questions, api.pid, port, writer),
                        await _in_storm(questions, api.pid, port, stranger),
                    )
                    for _ in range(options.rounds)
                ]
            figures |= {"body_bytes": size, "api_memory_mb": round(stage.memory_mb(api.pid))}
    return figures | _summary(rounds)


def _paths(options: argparse.Namespace) -> list[str]:
    """Return requests of all three rules; most are for a model, and all for servers that the storm spares."""
    numbers = range(1, min(options.models, options.servers) + 1)
    of = "-of-gpu-{}" if options.distinct else ""
    models = [f"/api/resolve?model=model-{n}{of.format(n % 9 + 1)}:8b" for n in numbers]
    if options.sessions:
        return [f"{models[n % len(models)]}&session=session-{n}" for n in range(options.sessions)]
    return [*models, "/api/resolve?server_url=http://gpu-3.example:11434/&model=model-1:8b", "/api/resolve"]


async def _bearer(dsn: str) -> dict[str, str]:
    """Make a token, after which the API wants one, and return the header that presents it."""
    database = Database(dsn, name="benchmark")
    await database.open()
    async with database.session() as connection:
        token = await token_maker.make(connection, "benchmark", "read")
    await database.close()
    return token_maker.bearer(token)


async def _body_bytes(port: int, questions: Questions) -> int:
    """Wait until the fleet is known, and return the size of an answer."""
    async with asyncio.timeout(120):
        while True:
            with suppress(OSError):
                tally = await questions.ask(port, connections=1, seconds=0.5)
                if not tally.failures and len(tally.latencies) > MOST_TO_BEGIN:
                    return round(tally.body_bytes / len(tally.latencies))
            await asyncio.sleep(0.2)


async def _measure(questions: Questions, pid: int, port: int) -> dict[str, float]:
    cpu, began = stage.cpu_seconds(pid), time.perf_counter()
    options = questions.options
    tally = await questions.ask(port, connections=options.connections, seconds=options.seconds)
    took, answers = time.perf_counter() - began, len(tally.latencies)
    return {
        "per_second": answers / took,
        "p99_ms": stage.percentile(tally.latencies, 0.99) * 1000,
        "cpu_us": (stage.cpu_seconds(pid) - cpu) / answers * 1e6,
        "failures": tally.failures,
    }


async def _in_storm(questions: Questions, pid: int, port: int, writer: Connection) -> dict[str, float]:
    storm = asyncio.create_task(_storm(questions.options, writer))
    figures = await _measure(questions, pid, port)
    storm.cancel()
    with suppress(asyncio.CancelledError):
        await storm
    return figures


@asynccontextmanager
async def _elsewhere(dsn: str, writer: Connection, fill: str) -> AsyncIterator[Connection]:
    """Lend a session with a second database of the same size that nobody follows."""
    await writer.execute("CREATE DATABASE elsewhere")
    await schema_version.upgrade(urlsplit(dsn)._replace(path="/elsewhere").geturl())
    async with stage.session(dsn, database="elsewhere") as stranger:
        await stranger.execute(fill)
        yield stranger


async def _storm(options: argparse.Namespace, writer: Connection) -> None:
    began, count = time.perf_counter(), 0
    while True:
        await writer.execute(STORM, 11 + count % max(1, options.servers - 10))
        count += 1
        await asyncio.sleep(began + count / options.rate - time.perf_counter())


async def _snapshot_mb(dsn: str) -> float:
    database = Database(dsn, name="benchmark")
    await database.open()
    tracemalloc.start()
    reading = await whole_fleet.read(database)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    await database.close()
    assert reading.fleet.servers
    return round(used / 1e6, 1)


def _summary(rounds: Sequence[tuple[dict[str, float], ...]]) -> dict[str, Any]:
    def median(part: int, name: str) -> float:
        return statistics.median(measured[part][name] for measured in rounds)

    def ratio(part: int, to: int, name: str) -> float:
        return round(statistics.median(measured[part][name] / (measured[to][name] or 1) for measured in rounds), 3)

    figures = {
        f"{title}_{name}": round(median(part, name), 2)
        for part, title in enumerate(("resolve", "bare_handler", "storm", "storm_elsewhere"))
        for name in ("per_second", "p99_ms", "cpu_us")
    }
    return figures | {
        "failures": sum(measured[part]["failures"] for measured in rounds for part in range(4)),
        "resolve_to_bare_handler": ratio(0, 1, "per_second"),
        "p99_to_bare_handler": ratio(0, 1, "p99_ms"),
        "cpu_to_bare_handler": ratio(0, 1, "cpu_us"),
        "storm_to_quiet": ratio(2, 0, "per_second"),
        "storm_costs": round(1 - ratio(2, 3, "per_second"), 3),
    }
