"""What the benchmarks have in common: a database, other processes, and what those cost."""

import asyncio
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import asyncpg

from monitor.embedded import postgres as embedded
from monitor.postgres import schema_version
from monitor.postgres.database import Connection

TICKS = os.sysconf("SC_CLK_TCK")


@contextmanager
def folder() -> Iterator[Path]:
    """Lend a folder that PostgreSQL's unprivileged user can reach."""
    path = Path(tempfile.mkdtemp(prefix="ollama-fleet-benchmark-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """Lend a migrated database with the settings of a real one (it syncs to disk)."""
    with folder() as path, embedded.running(path) as server:
        await schema_version.upgrade(server.dsn())
        yield server.dsn()


@asynccontextmanager
async def session(dsn: str, *, database: str | None = None) -> AsyncIterator[Connection]:
    """Lend a session, perhaps with another database than the address names."""
    connection: Connection = await asyncpg.connect(dsn, database=database)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def process(
    *arguments: str, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `python …` with pipes to its standard input and output; it is ended afterwards."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OLLAMA_FLEET_LOG_LEVEL": "warning", **(environment or {})},
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.terminate()
        await child.communicate()


async def line(child: asyncio.subprocess.Process) -> list[str]:
    """Return the words of the next line a process prints."""
    assert child.stdout is not None
    return (await child.stdout.readline()).decode().split()


async def ask(child: asyncio.subprocess.Process, command: str) -> list[str]:
    """Give a process a line and return the words of its answer."""
    assert child.stdin is not None
    child.stdin.write(command.encode() + b"\n")
    return await line(child)


def cpu_seconds(pid: int) -> float:
    """Return the processor time a process has used so far, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process, in megabytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_000_000


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which the given share (0 to 1) of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
