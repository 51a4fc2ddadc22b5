"""A whole installation as processes: a monitor, three APIs, and a fleet of which many servers can die at once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from monitor.postgres.database import Connection
from tests.benchmarks import stage
from tests.fakes import fleet

# One that each fake server lists.
MODEL = "tiny-chat:latest"
APIS = 3
LIMIT = 60.0
ADD = "INSERT INTO ollama_servers (name, url) SELECT url, url FROM unnest($1::text[]) AS given (url)"
# An edit has the monitor forget the past of a server: one that died three times within minutes would be damped.
EDIT = "UPDATE ollama_servers SET labels = jsonb_build_object('back', clock_timestamp()) WHERE url = ANY ($1)"
CALM = """
SELECT count(*) = $1 FROM ollama_servers
WHERE status = 'up' AND suspect_since IS NULL AND flapping_since IS NULL AND models_listed_at IS NOT NULL
    AND last_checked_at > coalesce((labels ->> 'back')::timestamptz, '-infinity')
"""
HEAD = "SELECT seq FROM fleet_event_head"
ROW = "SELECT to_jsonb(server) FROM ollama_servers AS server WHERE url = $1"
EVENTS = """
SELECT concat_ws(' ', event.seq, event.at, event.type, event.body) AS line FROM fleet_events AS event
LEFT JOIN ollama_servers AS server ON server.id = event.server_id
WHERE event.model_id IS NULL AND (server.url = $1 OR event.type LIKE 'monitor.%') ORDER BY event.seq DESC LIMIT 8
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an API named when it was asked, at a monotonic time; `base_url` is None if it named nothing."""

    api: int
    asked_at: float
    status: int
    base_url: str | None
    seq: int | None


class Installation:
    """Everything at work; `urls` are those of the servers that are registered."""

    def __init__(
        self,
        *,
        servers: asyncio.subprocess.Process,
        port: int,
        connection: Connection,
        session: aiohttp.ClientSession,
        apis: list[str],
    ) -> None:
        self.urls: list[str] = []
        self.connection = connection
        self._dead: list[int] = []
        self._servers = servers
        self._port = port
        self._session = session
        self._apis = apis

    async def prepare(self, count: int) -> None:
        """Have at least as many servers registered, and all alive, up, watched, and known to every API."""
        more = [f"http://{fleet.address(number)}:{self._port}" for number in range(len(self.urls), count)]
        await stage.ask(self._servers, f"revive {' '.join(map(str, self._dead))}")
        await self.connection.execute(EDIT, [self.urls[index] for index in self._dead])
        self._dead = []
        await self.connection.execute(ADD, more)
        self.urls += more
        await _until(lambda: self.connection.fetchval(CALM, len(self.urls)), "the servers were not all up")
        # Two looks: a connection without a word may be that of a check which has not asked yet.
        await _until(self._is_watched, "the servers were not all watched", in_a_row=2)
        await _until(self._is_known, "the APIs did not know of the last event")

    async def resolve(self, api: int) -> Answer:
        """Ask one API which server to take for the model."""
        asked_at = time.monotonic()
        async with self._session.get(f"{self._apis[api]}/api/resolve", params={"model": MODEL}) as response:
            body = await response.json(content_type=None)
        seq = body.get("snapshot", {}).get("seq")
        return Answer(api=api, asked_at=asked_at, status=response.status, base_url=body.get("base_url"), seq=seq)

    async def kill(self, indices: Iterable[int]) -> dict[str, float]:
        """Let servers die at once; return when each was dead, in monotonic seconds, by its URL."""
        self._dead = sorted(indices)
        done, *moments = await stage.ask(self._servers, f"die_at_once {' '.join(map(str, self._dead))}")
        assert done == "done"
        return {self.urls[index]: float(moment) for index, moment in zip(self._dead, moments, strict=True)}

    async def _is_watched(self) -> bool:
        return int((await stage.ask(self._servers, "watched"))[1]) == len(self.urls)

    async def _is_known(self) -> bool:
        head = await self.connection.fetchval(HEAD)
        answers = [await self.resolve(api) for api in range(APIS)]
        return all(answer.status == 200 and answer.seq == head for answer in answers)

    async def record(self, url: str) -> str:
        """Return what the tables say of a server: its row, then its newest events and those of the monitor."""
        row = await self.connection.fetchval(ROW, url)
        events = await self.connection.fetch(EVENTS, url)
        return "\n    ".join([row, *(event["line"] for event in events)])


async def _until(condition: Callable[[], Awaitable[Any]], failure: str, *, in_a_row: int = 1) -> None:
    deadline, held = time.monotonic() + LIMIT, 0
    while held < in_a_row:
        held = held + 1 if await condition() else 0
        if time.monotonic() > deadline:
            raise TimeoutError(f"{failure} within {LIMIT} s")
        await asyncio.sleep(0.05)


@asynccontextmanager
async def at_work(dsn: str, *, most: int) -> AsyncIterator[Installation]:
    """Run it on a migrated database, with the settings that it has by itself; no more than `most` servers."""
    database = {"OLLAMA_FLEET_DATABASE_URL": dsn}
    ports = [stage.free_port() for _ in range(APIS)]
    async with AsyncExitStack() as stack:

        async def start(*arguments: str, **settings: str) -> asyncio.subprocess.Process:
            process = stage.process("-m", *arguments, environment=database | settings)
            return await stack.enter_async_context(process)

        servers = await start("tests.fakes.fleet", "--count", str(most))
        processes = [await start("monitor"), *[await start("api", OLLAMA_FLEET_API_PORT=str(port)) for port in ports]]
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)))
        yield Installation(
            servers=servers,
            port=int((await stage.line(servers))[1]),
            connection=await stack.enter_async_context(stage.session(dsn)),
            session=session,
            apis=[await _serving(session, f"http://127.0.0.1:{port}") for port in ports],
        )
        for process in processes:
            assert process.returncode is None, "a process ended by itself"
            # All at once, instead of each after the end of the one before.
            process.terminate()


async def _serving(session: aiohttp.ClientSession, base_url: str) -> str:
    async def answers() -> bool:
        try:
            async with session.get(f"{base_url}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    await _until(answers, f"the API at {base_url} was not ready")
    return base_url
