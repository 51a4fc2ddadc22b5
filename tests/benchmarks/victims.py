"""Servers to be killed: some a process each, for kill -9, and the rest of the fleet in one process more."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol

from tests.benchmarks import stage
from tests.fakes import fleet

Process = asyncio.subprocess.Process


class Victim(Protocol):
    """One server."""

    @property
    def url(self) -> str:
        """Its address, which stays the same."""
        ...

    async def die(self) -> float:
        """End it; return when that was, in monotonic seconds."""
        ...

    async def come_back(self) -> None:
        """Serve again at the same address."""
        ...


class SingleServer:
    """A server that is a process, killed with -9."""

    def __init__(self, stack: AsyncExitStack, *, url: str, port: int, process: Process) -> None:
        self.url = url
        self.process = process
        self._port = port
        self._stack = stack

    @classmethod
    async def start(cls, stack: AsyncExitStack) -> "SingleServer":
        """Run one on a free port, until the stack is closed."""
        process = await stack.enter_async_context(stage.process("-m", "tests.fakes.ollama"))
        port = int((await stage.line(process))[1])
        return cls(stack, url=f"http://127.0.0.1:{port}", port=port, process=process)

    async def die(self) -> float:
        """Kill -9."""
        moment = time.monotonic()
        self.process.kill()
        await self.process.wait()
        return moment

    async def come_back(self) -> None:
        """Start a new process, as whoever restarts a server does."""
        again = stage.process("-m", "tests.fakes.ollama", "--port", str(self._port))
        self.process = await self._stack.enter_async_context(again)
        await stage.line(self.process)


class FleetServer:
    """A server of a process that has many."""

    def __init__(self, process: Process, *, index: int, port: int) -> None:
        self.url = f"http://{fleet.address(index)}:{port}"
        self._process = process
        self._index = index

    async def die(self) -> float:
        """Have the process end its sockets."""
        return float((await stage.ask(self._process, f"die_at_once {self._index}"))[1])

    async def come_back(self) -> None:
        """Have the process listen again."""
        await stage.ask(self._process, f"revive {self._index}")


class Victims:
    """A whole fleet; the first ones are a process each."""

    def __init__(self, singles: Sequence[SingleServer], rest: Sequence[FleetServer], process: Process | None) -> None:
        self.all: list[Victim] = [*singles, *rest]
        self._singles = singles
        self._process = process

    async def die_at_once(self) -> None:
        """Kill every process with -9, one right after the other."""
        processes = [single.process for single in self._singles] + ([self._process] if self._process else [])
        for process in processes:
            process.kill()
        await asyncio.gather(*(process.wait() for process in processes))


@asynccontextmanager
async def running(count: int, *, singles: int) -> AsyncIterator[Victims]:
    """Run a fleet of `count` servers, at most `singles` of them a process each."""
    singles = min(singles, count)
    async with AsyncExitStack() as stack:
        alone = [await SingleServer.start(stack) for _ in range(singles)]
        if singles == count:
            yield Victims(alone, [], None)
            return
        more = count - singles
        process = await stack.enter_async_context(stage.process("-m", "tests.fakes.fleet", "--count", str(more)))
        port = int((await stage.line(process))[1])
        yield Victims(alone, [FleetServer(process, index=index, port=port) for index in range(more)], process)
