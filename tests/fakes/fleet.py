"""A fleet of fake servers in one process: one port, a loopback address for each, real refusals.

`python -m tests.fakes.fleet --count N [--port P] [--first F] [--models M]` runs one as a process: it
prints `ready PORT`, obeys the lines below on its standard input, answers each with `done` and more words for
some of them, and ends on SIGTERM or at the end of its input.

`die I`, `hang I`, `revive I J …`
`die_at_once I J …`: when each of them was dead, in seconds of the machine's monotonic clock
`asked PATH`: how many requests all servers have had on that path
`watched`: how many servers have a connection on which no byte has come in
"""

import argparse
import asyncio
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
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

    @property
    def watched(self) -> int:
        """How many servers have a connection on which no byte has come in."""
        return sum(1 for server in self._servers if server.silent_connections)

    async def die(self, index: int) -> None:
        """End a server's connections and refuse new ones."""
        await self._servers[index].stop()

    async def die_at_once(self, *indices: int) -> list[float]:
        """Let servers die as fast as sockets can be ended; return when each was dead, in monotonic seconds.

        The clock is the same for all processes of a machine.
        """
        moments = [_cut_off(self._servers[index]) for index in indices]
        # Before the event loop looks at what it has just lost.
        await asyncio.gather(*(self._servers[index].stop() for index in indices))
        return moments

    async def revive(self, *indices: int) -> None:
        """Listen again at the same addresses and port."""
        await asyncio.gather(*(self._servers[index].start() for index in indices))


def _cut_off(server: FakeOllama) -> float:
    """Refuse, and end every connection, within some microseconds; return when that was done."""
    for end in server.sockets:
        # A client may have ended it already.
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    return time.monotonic()


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
            _say(" ".join(["done", *await _obey(fleet, *line.decode().split())]))


async def _obey(fleet: FakeFleet, verb: str, *arguments: str) -> list[str]:
    """Do as a line says; return the words of the answer."""
    match verb:
        case "asked":
            return [str(sum(server.requests[arguments[0]] for server in fleet))]
        case "watched":
            return [str(fleet.watched)]
        case "hang":
            fleet[int(arguments[0])].behave(behaviours.hang())
        case "die":
            await fleet.die(int(arguments[0]))
        case "die_at_once":
            return [f"{moment:.6f}" for moment in await fleet.die_at_once(*map(int, arguments))]
        case "revive":
            await fleet.revive(*map(int, arguments))
        case _:
            raise ValueError(f"a fleet does not know how to {verb}")
    return []


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
