"""`python -m tests.benchmarks.holding URL COUNT idle|kept`: holds connections, prints what they take, and ends.

`idle` as the connection watch does, `kept` with all that TLS keeps for one that is to be used. The line
tells how many are open, and the megabytes of the process before and after.
"""

import asyncio
import os
import sys
import uuid
from datetime import timedelta

import uvloop
from yarl import URL

from monitor.domain.server import Policy, Server, ServerId
from monitor.domain.watching import Ending
from monitor.ollama.client import OllamaClient
from monitor.ollama.watch import IdleConnection, IdleConnections
from tests.benchmarks import stage

AT_ONCE = 50
POLICY = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=60), rise=2, fall=3)


async def _hold(url: str, count: int, kind: str) -> None:
    ended: list[Ending] = []
    server = Server(id=ServerId(uuid.uuid4()), name=url, url=url, api_version="v1", row_version=1, policy=POLICY)
    async with OllamaClient() as client:
        connections = IdleConnections(client.dialer, client.contexts)

        async def hold() -> IdleConnection | None:
            if kind == "idle":
                return await connections.hold(server, ended.append)
            target = URL(url)
            host = target.host or ""
            return await client.dialer.dial(
                host,
                target.port or 0,
                security=client.contexts.of(server.tls, host) if target.scheme == "https" else None,
                factory=lambda: IdleConnection(ended.append, tolerated=0),
                reached=lambda _stage: None,
            )

        # Whatever is loaded and made once is not to count.
        held = [await hold()]
        before = stage.memory_mb(os.getpid())
        while len(held) <= count:
            held += await asyncio.gather(*(hold() for _ in range(min(AT_ONCE, count + 1 - len(held)))))
        # Until the tickets of the last ones have come and gone.
        await asyncio.sleep(1)
        after = stage.memory_mb(os.getpid())
        opened = sum(connection is not None and connection.is_open for connection in held) - 1
        sys.stdout.write(f"{opened} {before} {after}\n")
        sys.stdout.flush()
        for connection in held:
            if connection is not None:
                connection.close()


if __name__ == "__main__":
    uvloop.run(_hold(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
