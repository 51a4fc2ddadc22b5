"""Tells of servers that have been suspect for a while; those of one moment go into one statement."""

import time

from monitor.domain import suspicion
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.server import ServerId
from monitor.ports import Recorder


class Suspicions:
    """Keeps the servers whose suspicion is not told yet; `sweep` tells of those for which it is time."""

    def __init__(self, *, fleet: Fleet, recorder: Recorder) -> None:
        self._fleet = fleet
        self._recorder = recorder
        self._waiting: dict[ServerId, Watched] = {}

    def add(self, watched: Watched) -> None:
        """Take in a server that has become suspect."""
        self._waiting[watched.server.id] = watched

    def sweep(self) -> None:
        """Tell of what has lasted long enough, and forget what is over."""
        now = time.monotonic()
        for server_id, watched in list(self._waiting.items()):
            due = watched.suspicion.is_due_at
            if due is None or not self._fleet.is_current(watched):
                del self._waiting[server_id]
            elif now >= due:
                del self._waiting[server_id]
                watched.suspicion = suspicion.tell(watched.suspicion, at=now)
                self._recorder.record(watched.record(suspicion=watched.suspicion), at_once=True)
