"""Many event streams on one API process: processor, memory, delivery and replay, beside a bare handler."""

import argparse
import asyncio
import functools
import re
import time
from typing import Any

import aiohttp

from monitor.postgres.database import Connection
from tests.benchmarks import stage

PATH = "/api/events/stream"
ADD = "INSERT INTO ollama_servers (name, url) VALUES ('bench', 'http://127.0.0.1:1')"
CHANGE = "UPDATE ollama_servers SET priority = priority + 1"
AWAY = """
INSERT INTO ollama_servers (name, url) SELECT 'away' || n, 'http://away' || n FROM generate_series(1, $1::int) AS n
"""
HEADS = re.compile(rb"^id: (\d+)\nevent: (\S+)", re.MULTILINE)
# The reference: the same bytes at the same rate to as many streams, by aiohttp's own means.
BARE = """
import asyncio, sys, time
from aiohttp import web

async def stream(request):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b": begin\\n\\n")
    streams.add(response)
    try:
        await asyncio.Event().wait()
    finally:
        streams.discard(response)

async def main(port, size, rate):
    app = web.Application()
    app.add_routes([web.get("/api/events/stream", stream)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print("ready", flush=True)
    seq, began = 0, time.perf_counter()
    while True:
        await asyncio.sleep(began + seq / rate - time.perf_counter())
        seq += 1
        data = f"id: {seq}\\nevent: {time.perf_counter()}\\ndata: ".encode().ljust(size - 2, b"x") + b"\\n\\n"
        for response in list(streams):
            await response.write(data)

streams = set()
import uvloop
uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
"""
# Enough to see that it works.
SMOKE = ("--streams", "5", "--rate", "20", "--seconds", "1", "--away", "50")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how many streams there are, how fast events come, and for how long."""
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rate", type=float, default=100.0, help="events per second")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--away", type=int, default=5000, help="events to be replayed")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Hold the streams under load, replay what one missed, then do the same with the bare handler."""
    async with stage.database() as dsn, stage.session(dsn) as writer:
        await writer.execute(ADD)
        port = stage.free_port()
        environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port)}
        async with stage.process("-m", "api", environment=environment) as api:
            figures = await _measure(options, api.pid, port, writer)
            await writer.execute(AWAY, options.away)
            figures["replay_s"] = round(await _replay(port, options.away), 2)
            figures["replay_events"] = options.away
    port = stage.free_port()
    size = figures["bytes_per_event"]
    async with stage.process("-c", BARE, str(port), str(size), str(options.rate)) as bare:
        await stage.line(bare)
        figures |= await _measure_bare(options, bare.pid, port)
    ours = figures["cores"] / figures["events_per_second"]
    bare_handlers = figures["bare_handler_cores"] / figures["bare_handler_events_per_second"]
    # A run too short for the processor clock to tick has no ratio.
    figures["cores_per_event_to_bare_handler"] = round(ours / bare_handlers, 2) if bare_handlers else None
    return figures


async def _measure(options: argparse.Namespace, pid: int, port: int, writer: Connection) -> dict[str, Any]:
    clients = Clients(port, options.streams)
    await clients.open()
    try:
        await asyncio.sleep(1)
        committed: dict[int, float] = {}
        memory, cpu, received = stage.memory_mb(pid), stage.cpu_seconds(pid), clients.received
        began = time.perf_counter()
        seq = 1
        while time.perf_counter() - began < options.seconds:
            await asyncio.sleep(began + (seq - 1) / options.rate - time.perf_counter())
            await writer.execute(CHANGE)
            seq += 1
            committed[seq] = time.perf_counter()
        took = time.perf_counter() - began
        cpu = stage.cpu_seconds(pid) - cpu
        await clients.wait_for(seq)
        lags = [(at - committed[number]) * 1000 for number, at, _ in clients.seen if number in committed]
    finally:
        clients.close()
    return {
        "streams": options.streams,
        "events_per_second": round(len(committed) / took, 1),
        "bytes_per_event": round((clients.received - received) / options.streams / len(committed)),
        "cores": round(cpu / took, 2),
        "memory_mb_before": round(memory),
        "memory_mb_after": round(stage.memory_mb(pid)),
        # From the answer to COMMIT; reading all these streams keeps a core of this machine busy, too.
        "delivery_p50_ms": round(stage.percentile(lags, 0.5), 1),
        "delivery_p99_ms": round(stage.percentile(lags, 0.99), 1),
    }


async def _measure_bare(options: argparse.Namespace, pid: int, port: int) -> dict[str, Any]:
    """The same of the bare handler, which says in each event when it sent it."""
    clients = Clients(port, options.streams)
    await clients.open()
    try:
        await asyncio.sleep(1)
        clients.seen.clear()
        cpu, began = stage.cpu_seconds(pid), time.perf_counter()
        await asyncio.sleep(options.seconds)
        took = time.perf_counter() - began
        lags = [(at - float(sent)) * 1000 for _, at, sent in clients.seen]
        return {
            "bare_handler_events_per_second": round(len({seq for seq, _, _ in clients.seen}) / took, 1),
            "bare_handler_cores": round((stage.cpu_seconds(pid) - cpu) / took, 2),
            "bare_handler_delivery_p50_ms": round(stage.percentile(lags, 0.5), 1),
            "bare_handler_delivery_p99_ms": round(stage.percentile(lags, 0.99), 1),
        }
    finally:
        clients.close()


async def _replay(port: int, count: int) -> float:
    """Return how long one takes to be given the last events again."""
    url = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{url}/api/events?limit=1") as response:
            head = (await response.json())["head"]
        began = time.perf_counter()
        async with session.get(url + PATH, headers={"Last-Event-ID": str(head - count)}) as response:
            received = b""
            while f"id: {head}\nevent".encode() not in received:
                received += await response.content.readany()
        took = time.perf_counter() - began
    assert [int(seq) for seq, _ in HEADS.findall(received)] == list(range(head - count + 1, head + 1))
    return took


class Clients:
    """Many streams read as cheaply as can be; every fiftieth notes when each event came."""

    def __init__(self, port: int, count: int) -> None:
        self._port = port
        self._count = count
        self._connections: list[tuple[asyncio.Transport, Reading]] = []
        self.seen: list[tuple[int, float, bytes]] = []

    @property
    def received(self) -> int:
        """Bytes of all streams so far."""
        return sum(reading.received for _, reading in self._connections)

    async def open(self) -> None:
        """Connect all."""
        loop = asyncio.get_running_loop()
        for number in range(self._count):
            make = functools.partial(Reading, self.seen if number % 50 == 0 else None)
            for _ in range(200):
                try:
                    connection = await loop.create_connection(make, "127.0.0.1", self._port)
                except OSError:
                    await asyncio.sleep(0.1)
                else:
                    break
            else:
                raise TimeoutError("The API did not begin to listen within 20 s.")
            self._connections.append(connection)
            await connection[1].begun.wait()

    async def wait_for(self, seq: int) -> None:
        """Return when a sampled stream has the event with this number."""
        async with asyncio.timeout(30):
            while not self.seen or self.seen[-1][0] < seq:  # noqa: ASYNC110  (a benchmark, after the measuring)
                await asyncio.sleep(0.01)

    def close(self) -> None:
        """Disconnect all."""
        for transport, _ in self._connections:
            transport.abort()


class Reading(asyncio.Protocol):
    """One stream's client."""

    def __init__(self, seen: list[tuple[int, float, bytes]] | None) -> None:
        self.begun = asyncio.Event()
        self.received = 0
        self._seen = seen

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        """Count, and note the numbers; small messages come whole."""
        self.begun.set()
        self.received += len(data)
        if self._seen is not None:
            now = time.perf_counter()
            self._seen += [(int(seq), now, name) for seq, name in HEADS.findall(data)]
