"""Other programs that check servers, at work on the same fleet in the same run, where they are installed.

`prometheus-blackbox-exporter` probes when asked to and stores nothing; `gatus` checks by itself and, like
the daemon, writes what it finds to PostgreSQL.
"""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp

from tests.benchmarks import stage

BLACKBOX = "prometheus-blackbox-exporter"
GATUS = "gatus"
PATH = "/api/version"
AT_ONCE = 50
# Gatus starts its endpoints one after the other: more of them would take minutes to begin.
GATUS_ENDPOINTS = 100
GATUS_DATABASE = "gatus"


async def measure(
    urls: Sequence[str], *, servers: asyncio.subprocess.Process, dsn: str, seconds: float
) -> dict[str, Any]:
    """Return the checks per CPU-second of each peer, or that it is not there."""
    found: dict[str, Any] = {}
    with stage.folder() as folder:
        for name, at_work in ((BLACKBOX, _blackbox), (GATUS, _gatus)):
            if shutil.which(name) is None:
                found[name] = "not on PATH"
                continue
            async with at_work(urls, dsn, folder) as process:
                before = await _reading(servers, process)
                await asyncio.sleep(seconds)
                checks, cpu = (
                    late - early for late, early in zip(await _reading(servers, process), before, strict=True)
                )
                found[name] = {"checks": int(checks), "checks_per_cpu_second": round(checks / cpu)}
    return found


async def _reading(servers: asyncio.subprocess.Process, process: asyncio.subprocess.Process) -> tuple[float, float]:
    return float((await stage.ask(servers, f"asked {PATH}"))[1]), stage.cpu_seconds(process.pid)


@asynccontextmanager
async def _blackbox(urls: Sequence[str], _dsn: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run it, and have it probe without a pause."""
    configuration, port = folder / "blackbox.yml", stage.free_port()
    # YAML is a superset of JSON.
    configuration.write_text(json.dumps({"modules": {"alive": {"prober": "http", "timeout": "5s"}}}))
    arguments = (f"--config.file={configuration}", f"--web.listen-address=127.0.0.1:{port}", "--log.level=error")
    async with _running(BLACKBOX, *arguments, port=port) as process, aiohttp.ClientSession() as session:

        async def ask_for_ever(url: str) -> None:
            while True:
                target = quote(url + PATH, safe="")
                async with session.get(f"http://127.0.0.1:{port}/probe?module=alive&target={target}") as answer:
                    await answer.read()

        askers = [asyncio.create_task(ask_for_ever(url)) for url in urls[:AT_ONCE]]
        yield process
        for asker in askers:
            asker.cancel()
        await asyncio.gather(*askers, return_exceptions=True)


@asynccontextmanager
async def _gatus(urls: Sequence[str], dsn: str, folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run it on a database of its own, and wait until all of its endpoints have begun."""
    configuration, port = folder / "gatus.yaml", stage.free_port()
    async with stage.session(dsn) as connection:
        await connection.execute(f"CREATE DATABASE {GATUS_DATABASE}")
    endpoints = [
        {"name": str(number), "url": url + PATH, "interval": "1s", "conditions": ["[STATUS] == 200"]}
        for number, url in enumerate(urls[:GATUS_ENDPOINTS])
    ]
    address = urlsplit(dsn)
    parameters = "&".join([address.query, "sslmode=disable"])
    settings = {
        "web": {"address": "127.0.0.1", "port": port},
        "storage": {
            "type": "postgres",
            "path": address._replace(scheme="postgres", path=GATUS_DATABASE, query=parameters).geturl(),
        },
        "concurrency": 0,
        "endpoints": endpoints,
    }
    configuration.write_text(json.dumps(settings))
    environment = {"GATUS_CONFIG_PATH": str(configuration), "GATUS_LOG_LEVEL": "ERROR"}
    async with _running(GATUS, port=port, environment=environment) as process:
        async with asyncio.timeout(120):
            while await _known_to_gatus(dsn) < len(endpoints):  # noqa: ASYNC110  (another process's doing)
                await asyncio.sleep(0.5)
        yield process


async def _known_to_gatus(dsn: str) -> int:
    async with stage.session(dsn, database=GATUS_DATABASE) as connection:
        if await connection.fetchval("SELECT to_regclass('endpoints') IS NULL"):
            return 0
        return int(await connection.fetchval("SELECT count(*) FROM endpoints"))


@asynccontextmanager
async def _running(
    *command: str, port: int, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(60):
            while not await _listens(port):
                assert process.returncode is None, f"{command[0]} has ended by itself"
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
