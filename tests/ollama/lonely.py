"""What the adapters see from a network that leads nowhere; run in one of the test's own, never in the real one.

`python -m tests.ollama.lonely probe URL…` prints reason and detail for each URL. `python -m tests.ollama.lonely
watch IDLE INTERVAL COUNT TIMEOUT` pulls the cable while a connection is watched, with those settings of the
kernel's keep-alive, and prints how the watch ended and after how many seconds.
"""

import asyncio
import sys
import time

import uvloop

from monitor.domain.watching import Ending
from monitor.ollama import watch
from monitor.ollama.client import OllamaClient
from monitor.ollama.prober import HttpProber
from monitor.ollama.watch import IdleConnections
from tests.fakes.network import plug_in
from tests.fakes.ollama import FakeOllama
from tests.ollama.conftest import server_at


async def _probe(urls: list[str]) -> None:
    async with OllamaClient() as client:
        for url in urls:
            result = await HttpProber(client).probe(server_at(url, timeout=2))
            sys.stdout.write(f"{result.reason} {result.detail}\n")


async def _watch(settings: list[str]) -> None:
    watch.KEEPALIVE = tuple((name, int(value)) for (name, _), value in zip(watch.KEEPALIVE, settings, strict=True))
    ended: asyncio.Queue[Ending] = asyncio.Queue()
    async with FakeOllama() as fake, OllamaClient() as client:
        assert (
            await IdleConnections(client.dialer, client.contexts).hold(server_at(fake.url), ended.put_nowait)
            is not None
        )
        plug_in(up=False)
        began = time.monotonic()
        sys.stdout.write(f"{await ended.get()} {time.monotonic() - began:.1f}\n")


if __name__ == "__main__":
    uvloop.run({"probe": _probe, "watch": _watch}[sys.argv[1]](sys.argv[2:]))
