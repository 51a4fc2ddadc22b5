"""From the commit of a change to its event in a subscriber's hands, beside a bare NOTIFY."""

import argparse
import asyncio
import time
from typing import Any

from monitor.postgres import event_log
from monitor.postgres.database import Connection
from tests.benchmarks import stage

ADD = "INSERT INTO ollama_servers (name, url) VALUES ('bench', 'http://127.0.0.1:1')"
CHANGE = "UPDATE ollama_servers SET priority = priority + 1"
# Enough to see that it works.
SMOKE = ("--events", "20")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many changes are measured."""
    parser.add_argument("--events", type=int, default=2000)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways in turn, in one run."""
    async with (
        stage.database() as dsn,
        stage.session(dsn) as writer,
        stage.session(dsn) as listener,
        stage.session(dsn) as reader,
    ):
        await writer.execute(ADD)
        woken = asyncio.Event()
        for channel in ("ollama_servers", "bare"):
            await listener.add_listener(channel, lambda *_: woken.set())
        bare: list[float] = []
        events: list[float] = []
        cursor = 1
        for _ in range(options.events):
            bare.append(await _measure(woken, writer, "SELECT pg_notify('bare', 'x')"))
            started = await _measure_from(woken, writer, CHANGE)
            new = await event_log.read_after(reader, cursor, limit=10)
            events.append((time.perf_counter() - started) * 1000)
            assert [event.seq for event in new] == [cursor + 1]
            cursor += 1
    return {
        "events": options.events,
        "event_read_p50_ms": round(stage.percentile(events, 0.5), 2),
        "event_read_p99_ms": round(stage.percentile(events, 0.99), 2),
        "bare_notify_p50_ms": round(stage.percentile(bare, 0.5), 2),
        "bare_notify_p99_ms": round(stage.percentile(bare, 0.99), 2),
        "ratio_p50": round(stage.percentile(events, 0.5) / stage.percentile(bare, 0.5), 1),
    }


async def _measure(woken: asyncio.Event, writer: Connection, statement: str) -> float:
    started = await _measure_from(woken, writer, statement)
    return (time.perf_counter() - started) * 1000


async def _measure_from(woken: asyncio.Event, writer: Connection, statement: str) -> float:
    """Run a statement; return when its COMMIT had been answered, after the wake-up has come too."""
    woken.clear()
    await writer.execute(statement)
    committed = time.perf_counter()
    await asyncio.wait_for(woken.wait(), 10)
    return committed
