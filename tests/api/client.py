"""A small HTTP client of the tests: an answer as plain data, and a problem checked for its shape."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp
from yarl import URL

from api import app
from monitor.settings import Settings

BASE_URL = "http://gpu-{}.example:11434"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer; `body` is None when there is none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class ApiClient:
    """Asks one API."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self.session = session
        self.base_url = base_url

    @classmethod
    @asynccontextmanager
    async def open(cls, base_url: str) -> AsyncIterator[Self]:
        """Lend a client with a session of its own."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            yield cls(session, base_url)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        """Ask once, with the path as it is written; every answer from 400 on must be a proper problem."""
        async with self.session.request(method, URL(self.base_url + path, encoded=True), **options) as response:
            raw = await response.read()
            body: Any = json.loads(raw) if raw else None
            answer = Answer(status=response.status, headers=response.headers.copy(), body=body)
        if answer.status >= 400:
            assert answer.headers["Content-Type"].startswith("application/problem+json")
            assert body["status"] == answer.status
            assert body["code"]
            assert body["detail"]
        return answer

    async def add(self, name: str, **fields: Any) -> dict[str, Any]:
        """Create a server that must be accepted, and return it."""
        answer = await self.ask("POST", "/api/servers", json={"name": name, "url": BASE_URL.format(name)} | fields)
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.body
        return created


@asynccontextmanager
async def serving(settings: Settings, dsn: str) -> AsyncIterator[tuple[ApiClient, asyncio.Event]]:
    """Run the API as its process does, on a free port; give a client and the event that stops it."""
    stop = asyncio.Event()
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    serve = asyncio.create_task(app.serve(settings, dsn=dsn, stop=stop, ready=ready.set_result))
    serve.add_done_callback(lambda _: ready.cancel())
    try:
        await asyncio.wait([ready])
        if serve.done():
            await serve
        async with ApiClient.open(await ready) as client:
            yield client, stop
    finally:
        stop.set()
        await serve


async def told(api: ApiClient, path: str = "/api/servers", **options: Any) -> tuple[int, str]:
    """Status and code of an answer."""
    answer = await api.ask("GET", path, **options)
    return answer.status, (answer.body or {}).get("code", "")
