"""A real fleet as it may be on some morning: servers that are up, busy, silent and dead, and the day behind them.

Only that day is written into the database, since nobody waits for it; what is now, a real monitor finds out.
"""

import math
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from monitor.domain import history, latency
from monitor.domain.history import DAY, FIVE_MINUTES, Page
from monitor.domain.latency import Counts
from monitor.domain.server import ServerId
from monitor.domain.timeline import TICKS, Run
from monitor.postgres.database import Connection, Database
from monitor.postgres.history_store import PostgresHistoryStore
from monitor.postgres.lease_store import PostgresLeaseStore
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour, Request
from tests.fakes.exchange import Connection as Client
from tests.fakes.ollama import FakeOllama

GB = 1_000_000_000
UP, DEGRADED, DOWN = 0, 1, 2
MINUTE = 60
CHECKS = 20
CONTEXT_LENGTH = 131_072
# Size in GB, family, parameters, quantization.
MODELS = {
    "llama3.2:3b": (2.0, "llama", "3.2B", "Q4_K_M"),
    "qwen3:8b": (5.2, "qwen3", "8.2B", "Q4_K_M"),
    "gemma3:12b": (8.1, "gemma3", "12.2B", "Q4_K_M"),
    "gpt-oss:20b": (13.8, "gptoss", "20.9B", "MXFP4"),
    "deepseek-r1:70b": (42.5, "llama", "70.6B", "Q4_K_M"),
    "nomic-embed-text:latest": (0.3, "nomic-bert", "137M", "F16"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One server. `loaded` is the share of each loaded model on the GPU; `fell` and `known` are minutes ago."""

    name: str
    models: tuple[str, ...]
    milliseconds: float
    loaded: dict[str, float] = field(default_factory=dict)
    slots: int = 1
    fell: int = 0
    known: int = DAY // MINUTE
    # When it was down, and for how long, in minutes.
    outages: tuple[tuple[int, int], ...] = ()
    version: str = "0.12.6"


LLAMA, QWEN, GEMMA, OSS, DEEPSEEK, EMBED = MODELS
DEAD, SILENT, BUSY, OFF = "gpu-4", "lab-ben", "gpu-6", "spare"
FLEET = (
    Member(name="gpu-1", models=(OSS, QWEN, EMBED), milliseconds=2.1, loaded={OSS: 1}, slots=4, outages=((610, 26),)),
    Member(name="gpu-2", models=(OSS, QWEN, LLAMA), milliseconds=1.4, loaded={QWEN: 1, LLAMA: 1}, slots=4),
    Member(name="gpu-3", models=(DEEPSEEK, OSS), milliseconds=3.0, loaded={DEEPSEEK: 0.62}, slots=2),
    Member(name=DEAD, models=(QWEN, LLAMA), milliseconds=1.2, fell=37),
    Member(name="gpu-5", models=(GEMMA, EMBED), milliseconds=5.4, loaded={GEMMA: 1}, slots=2, known=900),
    Member(name=BUSY, models=(DEEPSEEK, GEMMA), milliseconds=4.2, loaded={GEMMA: 1}, fell=12, outages=((1100, 40),)),
    Member(name="gpu-7", models=(QWEN, EMBED), milliseconds=0.8, loaded={EMBED: 1}, slots=4),
    Member(name="gpu-8", models=(OSS, GEMMA, QWEN), milliseconds=1.1, slots=2, outages=((300, 18), (262, 5))),
    Member(name="lab-anna", models=(LLAMA, EMBED), milliseconds=8.6, loaded={LLAMA: 0.8}, version="0.11.10"),
    Member(name=SILENT, models=(LLAMA,), milliseconds=6.3, fell=112, version="0.11.10"),
    Member(name="vm-berlin", models=(EMBED,), milliseconds=12.5, known=55, outages=((40, 6),)),
    Member(name=OFF, models=(QWEN,), milliseconds=2.0, fell=720),
)
ADD = """
INSERT INTO ollama_servers (name, url, max_concurrent, is_default, check_timeout_seconds)
VALUES ($1, $2, $3, $4, $5)
"""
IDS = "SELECT name, id FROM ollama_servers"
SWITCH_OFF = "UPDATE ollama_servers SET is_active = false WHERE name = $1"
# All that is loaded is in its row, too, one look later.
IS_LISTED = """
SELECT bool_and(status = 'up' AND models_listed_at IS NOT NULL) AND
    (SELECT count(*) FROM ollama_models WHERE size_vram IS NOT NULL) = $1
FROM ollama_servers WHERE is_active
"""
FALLEN = "SELECT count(*) FROM ollama_servers WHERE status IN ('down', 'degraded')"
AGE = "UPDATE ollama_servers SET status_changed_at = now() - $2 * interval '1 min' WHERE name = $1"


@asynccontextmanager
async def servers(psql: Connection, *, port: int) -> AsyncIterator[dict[str, FakeOllama]]:
    """Run the fakes and add them; `port` 0 takes free ones, another is that of all of them, on addresses of their own.

    Yields them by name; all of them are well yet.
    """
    async with AsyncExitStack() as stack:
        fakes: dict[str, FakeOllama] = {}
        for number, member in enumerate(FLEET, start=1):
            host = f"127.0.10.{number}" if port else "127.0.0.1"
            fake = await stack.enter_async_context(FakeOllama(host=host, port=port))
            _furnish(fake, member)
            timeout = 0.4 if member.name == SILENT else None
            await psql.execute(ADD, member.name, fake.url, member.slots, number == 1, timeout)
            fakes[member.name] = fake
        await psql.execute(SWITCH_OFF, OFF)
        yield fakes


async def is_listed(psql: Connection) -> bool:
    """Return whether the monitor has found everything that is there."""
    loaded = sum(len(member.loaded) for member in FLEET)
    return bool(await psql.fetchval(IS_LISTED, loaded))


async def fall(fakes: dict[str, FakeOllama]) -> None:
    """Have one die, one hang and one be busy."""
    fakes[SILENT].behave(behaviours.hang())
    fakes[BUSY].behave(behaviours.status(429))
    await fakes[DEAD].stop()


async def has_fallen(psql: Connection) -> bool:
    """Return whether the monitor has seen that."""
    return bool(await psql.fetchval(FALLEN) == len((DEAD, SILENT, BUSY)))


def _furnish(fake: FakeOllama, member: Member) -> None:
    fake.models, fake.loaded, fake.version = {}, {}, member.version
    for name in member.models:
        size, family, parameters, quantization = MODELS[name]
        details = {"family": family, "parameter_size": parameters, "quantization_level": quantization}
        fake.add_model(name, size=int(size * GB), details={**details, "context_length": CONTEXT_LENGTH})
    for name, share in member.loaded.items():
        needed = int(MODELS[name][0] * GB * 1.2)
        fake.load_model(name, size=needed, size_vram=int(needed * share))
    fake.behave(_taking(member.milliseconds / 1000, fake))


def _taking(seconds: float, fake: FakeOllama) -> Behaviour:
    async def answer(client: Client, request: Request) -> None:
        fake.answer_well(client, request)

    return behaviours.slow(seconds, answer)


async def write_past(dsn: str, psql: Connection) -> None:
    """Write what the monitor of yesterday has seen; before the one of today begins."""
    database = Database(dsn, name="yesterday")
    await database.open()
    leases = PostgresLeaseStore(database, owner=uuid.uuid4(), owner_name="yesterday")
    lease = await leases.take(timedelta(minutes=1))
    assert lease is not None
    store = PostgresHistoryStore(database, lease)
    end = int(await store.clock()) // FIVE_MINUTES * FIVE_MINUTES
    ids = {row["name"]: row["id"] for row in await psql.fetch(IDS)}
    for member in FLEET:
        await store.write(_pages(member, ServerId(ids[member.name]), end))
    await leases.give_up(lease)
    await database.close()


async def age(psql: Connection) -> None:
    """Have every state last since the time that the history tells of."""
    for member in FLEET:
        past = member.fell or min((ago - lasted for ago, lasted in member.outages), default=member.known * 3)
        await psql.execute(AGE, member.name, past)


def _pages(member: Member, server_id: ServerId, end: int) -> list[Page]:
    chance = random.Random(member.name)
    return [
        _page(member, server_id, start, end, chance)
        for start in range(end - member.known // 5 * FIVE_MINUTES, end, FIVE_MINUTES)
    ]


def _page(member: Member, server_id: ServerId, start: int, end: int, chance: random.Random) -> Page:
    status = _status(member, (end - start) // MINUTE)
    runs: list[Run] = [] if status is None else [(start * TICKS, (start + FIVE_MINUTES) * TICKS, status)]
    good = CHECKS if status == UP else 0
    busy_hours = 1 + 0.5 * math.sin(start / DAY * 2 * math.pi)
    answers = [member.milliseconds * busy_hours * chance.lognormvariate(0, 0.25) for _ in range(good)]
    return history.page(
        server_id,
        start,
        runs=runs,
        good=good,
        bad=0 if status is None else CHECKS - good,
        latencies=Counts(latency.bucket(each) for each in answers),
    )


def _status(member: Member, ago: int) -> int | None:
    """Return how it was some minutes ago; None when nobody looked."""
    if ago <= member.fell:
        return {BUSY: DEGRADED, OFF: None}.get(member.name, DOWN)
    return DOWN if any(began >= ago > began - lasted for began, lasted in member.outages) else UP
