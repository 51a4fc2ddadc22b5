"""From `ollama-fleet up` to an API that is ready: with an empty state folder, and with one that is there."""

import argparse
import asyncio
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.benchmarks import stage

BARE_PYTHON = ("-c", "pass")
# Enough to see that it works.
SMOKE = ("--runs", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how often each start is measured."""
    parser.add_argument("--runs", type=int, default=5)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Start it cold and warm, in turn; the reference is a Python process that does nothing."""
    cold: list[float] = []
    warm: list[float] = []
    bare: list[float] = []
    for _ in range(options.runs):
        with stage.folder() as folder:
            cold.append(await _time_to_ready(folder))
            warm.append(await _time_to_ready(folder))
        started = time.perf_counter()
        async with stage.process(*BARE_PYTHON) as child:
            await child.wait()
        bare.append(time.perf_counter() - started)
    return {
        "cold_s_median": round(stage.percentile(cold, 0.5), 2),
        "warm_s_median": round(stage.percentile(warm, 0.5), 2),
        "bare_python_s_median": round(stage.percentile(bare, 0.5), 3),
    }


async def _time_to_ready(folder: Path) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {"OLLAMA_FLEET_STATE_DIR": str(folder), "OLLAMA_FLEET_API_PORT": str(port)}
    started = time.perf_counter()
    async with stage.process("-m", "api.cli", "up", environment=environment), aiohttp.ClientSession() as session:
        while time.perf_counter() - started < 60:
            try:
                async with session.get(f"http://127.0.0.1:{port}/readyz") as response:
                    if response.status == 200:
                        return time.perf_counter() - started
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)
    raise TimeoutError("The API was not ready within 60 s.")
