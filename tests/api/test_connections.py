"""Clients that hold connections: they are bounded below the descriptors there are, and it is said once."""

import asyncio
import json
import os
import resource
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.web.http import connections
from monitor.settings import Settings
from tests.api.client import serving
from tests.api.event_source import listening

HALF_A_HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost"
HALF_A_BODY = (
    b"POST /api/servers HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
)
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
DESCRIPTORS = 256


class Client:
    """One connection to the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, base_url: str) -> "Client":
        """Connect to the API."""
        host, _, port = base_url.removeprefix("http://").partition(":")
        return cls(*await asyncio.open_connection(host, int(port)))

    async def ask(self, request: bytes = LIVEZ) -> tuple[bytes, bytes]:
        """Send a request; return status and body of the answer, which is empty when the connection is closed."""
        async with asyncio.timeout(20):
            try:
                self._writer.write(request)
                head = await self._reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return b"", b""
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            return head.split()[1], await self._reader.readexactly(int(fields[b"content-length"]))

    def send(self, some: bytes) -> None:
        """Send something that is no whole request."""
        self._writer.write(some)

    async def is_closed(self) -> bool:
        """Wait for the API to close it."""
        async with asyncio.timeout(20):
            try:
                return await self._reader.read() == b""
            except ConnectionError:
                return True

    def close(self) -> None:
        """Close it."""
        self._writer.close()


@asynccontextmanager
async def process(dsn: str, log: Path) -> AsyncIterator[tuple[str, int]]:
    """Run an API that may have few descriptors; give its address and process id."""
    command = f'ulimit -n {DESCRIPTORS}; exec "{sys.executable}" -m api'
    variables = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": "0", "OLLAMA_FLEET_LOG_FORMAT": "json"}
    with log.open("wb") as file:
        api = await asyncio.create_subprocess_exec("sh", "-c", command, env=os.environ | variables, stderr=file)
    try:
        async with asyncio.timeout(30):
            while not (started := lines(log, "api_started")):  # noqa: ASYNC110  (the file is another process's)
                await asyncio.sleep(0.02)
        yield started[0]["url"], api.pid
    finally:
        api.terminate()
        await api.wait()


def descriptors(pid: int) -> int:
    """Return how many files a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def lines(log: Path, event: str) -> list[dict[str, Any]]:
    """Return the log lines of an event."""
    written = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in written if line["event"] == event]


@pytest.mark.parametrize("half", [HALF_A_HEAD, HALF_A_BODY], ids=["head", "body"])
async def test_320_half_sent_requests_stop_nobody_and_are_told_once(dsn: str, tmp_path: Path, half: bytes) -> None:
    async with process(dsn, tmp_path / "log") as (base_url, pid):
        held = []
        for _ in range(320):
            held.append(await Client.connect(base_url))
            held[-1].send(half)
        for _ in range(3):
            client = await Client.connect(base_url)
            assert await client.ask() == (b"200", b'{"status":"ok"}')
            client.close()
        assert descriptors(pid) < DESCRIPTORS // 2
        assert await held[0].is_closed()
        for client in held:
            client.close()
        client = await Client.connect(base_url)
        assert (await client.ask())[0] == b"200"
        client.close()
    told = lines(tmp_path / "log", "clients_limited")
    assert [(line["level"], line["most"]) for line in told] == [("warning", DESCRIPTORS // connections.SHARE)]


async def test_the_oldest_that_was_never_answered_goes_first(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most", lambda: 3)
    async with serving(settings, dsn) as (api, _):
        answered = await Client.connect(api.base_url)
        assert (await answered.ask())[0] == b"200"
        silent, half = await Client.connect(api.base_url), await Client.connect(api.base_url)
        half.send(HALF_A_HEAD)
        fresh = await Client.connect(api.base_url)
        assert (await fresh.ask())[0] == b"200"
        assert await silent.is_closed()
        assert (await answered.ask())[0] == b"200"
        last = await Client.connect(api.base_url)
        assert (await last.ask())[0] == b"200"
        assert await half.is_closed()
        another = await Client.connect(api.base_url)
        assert (await another.ask())[0] == b"200"
        assert await answered.is_closed()
        for client in (answered, silent, half, fresh, last, another):
            client.close()


async def test_where_each_has_a_request_a_new_one_is_refused_and_told_why(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "most", lambda: 2)
    with capture_logs() as logs:
        async with serving(settings, dsn) as (api, _), listening(api), listening(api):
            for _ in range(3):
                client = await Client.connect(api.base_url)
                status, body = await client.ask(b"")
                assert (status, json.loads(body)["code"]) == (b"503", "too_many_connections")
                client.close()
    assert [line["refused"] for line in logs if line["event"] == "clients_limited"] == [True]


@pytest.mark.parametrize(("limit", "most"), [(256, 64), (20, 16), (65_536, 16_384), (resource.RLIM_INFINITY, 16_384)])
def test_a_quarter_of_the_descriptors_is_for_clients(monkeypatch: pytest.MonkeyPatch, limit: int, most: int) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    assert connections.most() == most
