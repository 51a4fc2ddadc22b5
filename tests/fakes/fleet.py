"""A fleet of fake servers in one process: one port, a loopback address for each, real refusals.

`python -m tests.fakes.fleet --count N [--port P] [--first F] [--models M]` runs one as a process: it
prints `ready PORT`, obeys lines `die I`, `revive I`, `hang I` and `asked PATH` on its standard input (each
is answered with `done` and, for the last, how many requests all servers have had on that path) and ends
on SIGTERM or at the end of its input.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from tests.fakes import behaviours, recordings
from tests.fakes.ollama import FakeOllama

PER_NETWORK = 250
KEPT_REQUESTS = 10


class FakeFleet:
    """Servers at 127.1.x.y, all on one port; index it for one of them.

    Each has a listening socket of its own, so that a dead one refuses as a dead process does. A server
    takes one descriptor and one more for each connection: where a process may have but 20,000, make
    10,000 servers of two processes, the second with `first` 5,000.
    """

    def __init__(self, count: int, *, port: int = 0, first: int = 0) -> None:
        self.port = port
        self._servers = [
            FakeOllama(host=address(number), port=port, recorded=recordings.LATEST, keep=KEPT_REQUESTS)
            for number in range(first, first + count)
        ]

    def __len__(self) -> int:
        return len(self._servers)

    def __getitem__(self, index: int) -> FakeOllama:
        return self._servers[index]

    def __iter__(self) -> Iterator[FakeOllama]:
        return iter(self._servers)

    @property
    def urls(self) -> list[str]:
        """The base URL of each server."""
        return [server.url for server in self._servers]

    async def __aenter__(self) -> Self:
        for server in self._servers:
            # The first one chooses the port for all.
            server.port = self.port
            await server.start()
            self.port = server.port
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for server in self._servers:
            await server.stop()

    def give_models(self, count: int) -> None:
        """Have each server list as many models, on top of the recorded ones; they share the entries."""
        pattern = self._servers[0]
        while len(pattern.models) < count:
            pattern.add_model(f"model-{len(pattern.models)}:latest")
        for server in self._servers:
            server.models = dict(pattern.models)

    async def die(self, index: int) -> None:
        """End a server's connections and refuse new ones."""
        await self._servers[index].stop()

    async def revive(self, index: int) -> None:
        """Listen again at the same address and port."""
        await self._servers[index].start()


def address(number: int) -> str:
    """Return the loopback address of a server of the fleet."""
    return f"127.1.{number // PER_NETWORK}.{number % PER_NETWORK + 1}"


async def _serve(count: int, port: int, first: int, models: int) -> None:
    loop = asyncio.get_running_loop()
    serving = asyncio.current_task()
    assert serving is not None
    loop.add_signal_handler(signal.SIGTERM, serving.cancel)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    async with FakeFleet(count, port=port, first=first) as fleet:
        fleet.give_models(models)
        _say(f"ready {fleet.port}")
        async for line in commands:
            verb, argument = line.decode().split()
            if verb == "asked":
                _say(f"done {sum(server.requests[argument] for server in fleet)}")
                continue
            if verb == "hang":
                fleet[int(argument)].behave(behaviours.hang())
            else:
                await (fleet.die if verb == "die" else fleet.revive)(int(argument))
            _say("done")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run a fleet until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.fleet", description=__doc__)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first server's address")
    parser.add_argument("--models", type=int, default=0, help="models of each server, at least")
    options = parser.parse_args()
    try:
        asyncio.run(_serve(options.count, options.port, options.first, options.models))
    except asyncio.CancelledError:
        sys.exit(0)


if __name__ == "__main__":
    main()
