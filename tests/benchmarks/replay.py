"""Events that a subscriber missed, read in order when it comes back, beside a bare SELECT of as many rows."""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from monitor.postgres import database, event_log
from tests.benchmarks import stage

CONSUMER = Path(__file__).resolve().parents[2] / "deploy" / "examples" / "consumer.py"
SERVERS = 50
ADD = "INSERT INTO ollama_servers (name, url) SELECT n, 'http://' || n FROM generate_series(1, $1::int) AS n"
CHANGE = "UPDATE ollama_servers SET priority = priority + 1"
BARE = "SELECT * FROM fleet_events"
PAGE = 500
# Enough to see that it works.
SMOKE = ("--events", "50", "--rounds", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many events were missed, and how often they are read."""
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=7)


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the three ways in turn, in one run; each figure is the median of its rounds, in seconds."""
    ways: dict[str, list[float]] = {"consumer_s": [], "pages_s": [], "bare_select_s": []}
    async with stage.database() as dsn:
        events = await _make_events(dsn, options.events)
        for _ in range(options.rounds):
            ways["bare_select_s"].append(await _timed(lambda: _bare(dsn, events)))
            ways["pages_s"].append(await _timed(lambda: _pages(dsn, events)))
            ways["consumer_s"].append(await _timed(lambda: _consumer(dsn, events)))
    medians = {name: statistics.median(seconds) for name, seconds in ways.items()}
    return {
        "events": events,
        **{name: round(seconds, 3) for name, seconds in medians.items()},
        "slowest_consumer_s": round(max(ways["consumer_s"]), 3),
        "ratio_pages": round(medians["pages_s"] / medians["bare_select_s"], 1),
        "ratio_consumer": round(medians["consumer_s"] / medians["bare_select_s"], 1),
    }


async def _make_events(dsn: str, wanted: int) -> int:
    async with stage.session(dsn) as writer:
        await writer.execute(ADD, SERVERS)
        for _ in range(wanted // SERVERS - 1):
            await writer.execute(CHANGE)
        newest: int = await writer.fetchval("SELECT seq FROM fleet_event_head")
        return newest


async def _timed(way: Callable[[], Coroutine[Any, Any, None]]) -> float:
    started = time.perf_counter()
    await way()
    return time.perf_counter() - started


async def _bare(dsn: str, events: int) -> None:
    async with stage.session(dsn) as reader:
        assert len(await reader.fetch(BARE)) == events


async def _pages(dsn: str, events: int) -> None:
    """Read as the API does for its pages."""
    reader = await database.connect(dsn, name="replay")
    seqs = [0]
    while page := await event_log.read_after(reader, seqs[-1], limit=PAGE):
        seqs.extend(event.seq for event in page)
    await reader.close()
    assert seqs == list(range(events + 1))


async def _consumer(dsn: str, events: int) -> None:
    """Run the example from its start until it has printed the last event, which it has stored by then."""
    with TemporaryDirectory() as folder:
        async with stage.process(str(CONSUMER), dsn, str(Path(folder, "consumed.db"))) as consumer:
            assert consumer.stdout is not None
            for seq in range(1, events + 1):
                assert json.loads(await consumer.stdout.readline())["seq"] == seq
