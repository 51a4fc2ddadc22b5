"""Connections that are held and end as they are told to, and a sentry over them whose clock the test sets."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from monitor.domain.availability import Availability, Status
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.server import Server, ServerId
from monitor.domain.watching import Ending
from monitor.services.sentry import Sentry
from tests.services.conftest import watched
from tests.services.told import KeepingRecorder, open_gate

UP = Availability(status=Status.UP, good=5)


class ToldHold:
    """Implements `ports.Hold`: ends when it is told to."""

    def __init__(self, ended: Callable[[Ending], None]) -> None:
        self._ended = ended
        self.is_open = True

    def end(self, ending: Ending = Ending.CLOSED) -> None:
        """End, as a server would end it."""
        self.is_open = False
        self._ended(ending)

    def close(self) -> None:
        """Be let go of."""
        self.is_open = False


class ToldHolder:
    """Implements `ports.Holder`: connects once its gate is open, if it is told to."""

    def __init__(self) -> None:
        self.answers = True
        self.greeting: Ending | None = None
        self.asked: list[Server] = []
        self.holds: list[ToldHold] = []
        self.gate = open_gate()

    async def hold(self, server: Server, ended: Callable[[Ending], None], /) -> ToldHold | None:
        """Connect."""
        self.asked.append(server)
        await self.gate.wait()
        if not self.answers:
            return None
        hold = ToldHold(ended)
        self.holds.append(hold)
        if self.greeting is not None:
            hold.end(self.greeting)
        return hold

    @property
    def open(self) -> int:
        """How many connections are open."""
        return sum(hold.is_open for hold in self.holds)


class Bench:
    """A sentry over a fleet, whose clock the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, most: int = 1000, on: bool = True) -> None:
        self.fleet, self.holder, self.recorder = Fleet(), ToldHolder(), KeepingRecorder()
        self.woken: list[ServerId] = []
        self.restarted: list[ServerId] = []
        self.looked: list[ServerId] = []
        self.refuses = False
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        self.sentry = Sentry(
            fleet=self.fleet,
            holder=self.holder,
            recorder=self.recorder,
            wake=self.woken.append,
            restart=self.restarted.append,
            most=most,
            on=on,
            refuses=lambda _: self.refuses,
            look=self.looked.append,
        )

    def shown(self) -> list[str]:
        """Sweep; return what people have been shown of the watches, in order."""
        self.sentry.sweep()
        return [str(record.watch_state) for record, _ in self.recorder.taken]

    def put(
        self, number: int = 1, *, availability: Availability = UP, row_version: int = 1, on: bool = True
    ) -> Watched:
        """Have a server in the fleet, or edit it."""
        entry = replace(watched(number, row_version=row_version, connection_watch=on), availability=availability)
        self.fleet.put(entry)
        return entry

    async def sweep(self, *, later: float = 2.0) -> int:
        """Sweep now and later, connect to what is due; return to how many."""
        due = self.sentry.sweep()
        self.now += later
        due += self.sentry.sweep()
        for server_id in due:
            await self.sentry.connect(server_id)
        return len(due)
