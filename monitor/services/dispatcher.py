"""Runs work on servers side by side: one piece at a time per server, a bound for all, no waiting on a sick one.

When a rack dies a thousand checks are wanted at once. They are started a few at a time, so that what the first ones
found is written while the others still run.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

import structlog

from monitor.domain.server import ServerId

MOST_STARTED_AT_ONCE = 32

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
        # Since the event loop last looked for what has come in.
        self._started = 0

    @property
    def in_flight(self) -> int:
        """How many pieces of work are under way."""
        return len(self._running)

    def submit(self, server_id: ServerId, *, repeat: bool = False, restart: bool = False) -> None:
        """Start work on a server, now or as soon as there is room.

        With `repeat`, work that is under way already does not count: it is done once more after it. With
        `restart` it is cancelled for that.
        """
        if not self._open:
            return
        if server_id in self._running:
            if repeat or restart:
                self._again.add(server_id)
            if restart:
                self._running[server_id].cancel()
        elif self._has_room() and not self._line:
            self._start(server_id)
        elif server_id not in self._in_line:
            self._in_line.add(server_id)
            self._line.append(server_id)

    def _has_room(self) -> bool:
        return len(self._running) < self._limit and self._started < MOST_STARTED_AT_ONCE

    def _go_on(self) -> None:
        """Start those in line after the event loop had its turn."""
        self._started = 0
        self._start_those_in_line()

    def _start_those_in_line(self) -> None:
        while self._line and self._has_room():
            waiting = self._line.popleft()
            self._in_line.discard(waiting)
            self._start(waiting)

    def _start(self, server_id: ServerId) -> None:
        if not self._started:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._started += 1
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
        self._start_those_in_line()
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
