"""An example program as a real process: what it has printed, where its cursor is, and how it ends."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "deploy" / "examples"
LIMIT = 30.0
LONGEST_LINE = 16 * 1024**2


class Cursor:
    """The file in which an example keeps the number of its last event."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def text(self) -> str:
        """What it holds; nothing before the first event."""
        return self.path.read_text() if self.path.exists() else ""

    def set(self, seq: int) -> None:
        """What a person does who has read the tables anew."""
        self.path.write_text(f"{seq}\n")

    async def is_at(self, seq: int) -> bool:
        """Whether the example has come so far, and no further."""
        return self.text() == f"{seq}\n"


class Follower:
    """One run of an example."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.lines: list[str] = []
        self._seqs: list[int] = []
        self._lines_read = 0
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.lines.append(line.decode())

    @property
    def seqs(self) -> list[int]:
        """The numbers of the events it printed, one event a line or a page a line."""
        for line in self.lines[self._lines_read :]:
            document: dict[str, Any] = json.loads(line)
            self._seqs.extend(event["seq"] for event in document.get("items", [document]))
            self._lines_read += 1
        return self._seqs

    async def has(self, *seqs: int) -> bool:
        """Whether it has printed these events at least."""
        return self.seqs[-len(seqs) :] == list(seqs)

    async def kill(self) -> None:
        """Kill -9, with the programs that it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        await self.end()

    async def terminate(self) -> str:
        """SIGTERM, which it must take well; return what it said on standard error in all its life."""
        self._process.send_signal(signal.SIGTERM)
        code, said = await self.end()
        assert code == 0, said
        return said

    async def end(self) -> tuple[int, str]:
        """Wait for its own end; return the exit code and what it said on standard error."""
        assert self._process.stderr is not None
        async with asyncio.timeout(LIMIT):
            said = await self._process.stderr.read()
            await self._reading
            return await self._process.wait(), said.decode()

    async def close(self) -> None:
        """Leave nothing of it behind."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self.end()


@asynccontextmanager
async def following(*command: str | Path, **environment: str) -> AsyncIterator[Follower]:
    """Run an example."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
        start_new_session=True,
        limit=LONGEST_LINE,
    )
    follower = Follower(process)
    try:
        yield follower
    finally:
        await follower.close()
