"""Where a secret could show: what processes print, what answers say, what PostgreSQL logs and announces."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
from yarl import URL

COMMAND = (sys.executable, "-m", "api.cli")
CHANNELS = ("ollama_servers", "ollama_models", "ollama_fleet_requests")
LIMIT = 40.0


class Scene:
    """Runs the programs and keeps all that comes out of them; `places` is read when everything has ended."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.command_lines: set[bytes] = set()
        self.payloads: list[str] = []
        self.answers: list[str] = []
        self._numbers = itertools.count(1)
        # So many that each is done within its time on two cores.
        self._turns = asyncio.Semaphore(3)

    async def start(self, *arguments: str, stdout: int | None = None, **settings: str) -> asyncio.subprocess.Process:
        """Start a command; what it prints goes into files of the scene, but stdout elsewhere if that is given."""
        printed = self.folder / f"{next(self._numbers):02} ollama-fleet {arguments[0]}"
        with printed.open("wb") as stream:
            return await asyncio.create_subprocess_exec(
                *COMMAND,
                *arguments,
                env={**os.environ, **self.environment, **settings},
                stdin=asyncio.subprocess.PIPE,
                stdout=stream if stdout is None else stdout,
                stderr=stream,
            )

    async def run(self, *arguments: str, typed: str = "", **settings: str) -> int | None:
        """Run a command to its end; return the exit code."""
        async with self._turns:
            process = await self.start(*arguments, stdout=None, **settings)
            async with asyncio.timeout(LIMIT):
                await process.communicate(typed.encode())
        return process.returncode

    async def secret_of(self, *arguments: str) -> str:
        """Return what a command prints that is to print a secret; only what it says beside that is kept."""
        process = await self.start(*arguments, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(LIMIT):
            secret, _ = await process.communicate()
        assert process.returncode == 0, arguments
        return secret.decode().strip()

    def printed(self) -> dict[str, bytes]:
        """What each command has printed."""
        return {path.name: path.read_bytes() for path in sorted(self.folder.iterdir())}

    def places(self) -> dict[str, bytes]:
        """All that was seen, by where."""
        return self.printed() | {
            "the command lines of all processes": b"\n".join(self.command_lines),
            "the payloads of NOTIFY": "\n".join(self.payloads).encode(),
            "the answers of the API": "\n".join(self.answers).encode(),
        }

    @asynccontextmanager
    async def watching(self, dsn: str) -> AsyncIterator[None]:
        """Look at all command lines, and listen to all channels, while the block runs."""
        listener: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(dsn)
        for channel in CHANNELS:
            await listener.add_listener(channel, self._hear)
        looking = asyncio.create_task(self._look())
        try:
            yield
        finally:
            looking.cancel()
            await listener.close()

    def _hear(self, *heard: object) -> None:
        self.payloads.append(str(heard[-1]))

    async def _look(self) -> None:
        while True:
            self.command_lines.update(_command_lines())
            # Every command takes longer than that.
            await asyncio.sleep(0.1)


def _command_lines() -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*"):
        # It may have ended meanwhile.
        with suppress(OSError):
            yield (process / "cmdline").read_bytes()


class Witness:
    """Asks the API, and has the scene keep every answer with its head; it has a token."""

    def __init__(self, scene: Scene, session: aiohttp.ClientSession, *, base_url: str, token: str) -> None:
        self.base_url = base_url
        self._scene = scene
        self._session = session
        self._headers = {"Authorization": f"Bearer {token}"}

    async def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> tuple[int, Any]:
        """Ask once, perhaps with another token; return status and body, which is text unless it is JSON."""
        status, head, text = await self._told(method, path, token=token, **options)
        self._scene.answers.append(f"{status} {head} {text}")
        return status, json.loads(text) if "json" in head.get("Content-Type", "") else text

    async def ask_for_secrets(self, path: str) -> bytes:
        """Ask for an answer that is to hold secrets, which the scene does not keep."""
        status, _, text = await self._told("GET", path)
        assert status == 200, text
        return text.encode()

    async def read_stream(self, path: str, *, seconds: float) -> None:
        """Read a stream for a while."""
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(seconds),
                self._session.get(self.base_url + path, headers=self._headers) as response,
            ):
                async for line in response.content:
                    self._scene.answers.append(line.decode())

    async def _told(
        self, method: str, path: str, *, token: str | None = None, **options: Any
    ) -> tuple[int, Mapping[str, str], str]:
        url = URL(self.base_url + path, encoded=True)
        headers = self._headers if token is None else {"Authorization": f"Bearer {token}"}
        async with self._session.request(method, url, headers=headers, **options) as response:
            return response.status, response.headers, await response.text()
