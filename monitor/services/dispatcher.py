"""Runs work on servers side by side: one piece at a time per server, a bound for all, no waiting on a sick one."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from monitor.domain.server import ServerId

log = structlog.get_logger(__name__)


class Dispatcher:
    """Work that is submitted while the same server's is under way runs once more after it."""

    def __init__(self, work: Callable[[ServerId], Awaitable[None]], *, name: str, limit: int) -> None:
        """`limit` is the most pieces of work under way at once; more wait in line."""
        self._work = work
        self._name = name
        self._limit = limit
        self._running: dict[ServerId, asyncio.Task[None]] = {}
        self._again: set[ServerId] = set()
        self._line: deque[ServerId] = deque()
        self._in_line: set[ServerId] = set()
        self._open = True

    @property
    def in_flight(self) -> int:
        """How many pieces of work are under way."""
        return len(self._running)

    def submit(self, server_id: ServerId, *, repeat: bool = False) -> None:
        """Start work on a server, now or as soon as there is room.

        With `repeat`, work that is under way already does not count: it is done once more after it.
        """
        if not self._open:
            return
        if server_id in self._running:
            if repeat:
                self._again.add(server_id)
        elif len(self._running) < self._limit:
            self._start(server_id)
        elif server_id not in self._in_line:
            self._in_line.add(server_id)
            self._line.append(server_id)

    def _start(self, server_id: ServerId) -> None:
        task = asyncio.create_task(self._guarded(server_id), name=f"{self._name} {server_id}")
        self._running[server_id] = task
        task.add_done_callback(lambda _: self._finished(server_id))

    async def _guarded(self, server_id: ServerId) -> None:
        try:
            await self._work(server_id)
        except Exception:
            log.exception("work_failed", work=self._name, server_id=str(server_id))

    def _finished(self, server_id: ServerId) -> None:
        del self._running[server_id]
        if not self._open:
            return
        while self._line and len(self._running) < self._limit:
            waiting = self._line.popleft()
            self._in_line.discard(waiting)
            self.submit(waiting)
        # Behind those in line: a server that is asked for again and again must not keep them waiting.
        if server_id in self._again:
            self._again.discard(server_id)
            self.submit(server_id)

    async def stop(self, *, patience: float) -> None:
        """Take no more work; let what is under way end within `patience` seconds, then cancel it."""
        self._open = False
        self._line.clear()
        self._in_line.clear()
        if not self._running:
            return
        _, late = await asyncio.wait(list(self._running.values()), timeout=patience)
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late)
