"""The small process between the users of an embedded PostgreSQL and its server, one per state folder.

Invariant: the server runs while anybody uses it and not after. Each user holds a shared lock on one file;
this process sleeps on the exclusive one. The kernel hands it over when the last user has ended, however that
happened, and it is kept until the server has stopped: a newcomer who gets a shared lock therefore never meets
a server on its way out.
"""

import enum
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path

from monitor.embedded import file_lock, postmaster, process, start_plan, state_folder

_SETTLED_SECONDS = 5.0
_BACK_OFF_SECONDS = (0.05, 0.1, 0.3, 1.0, 2.0, 5.0)
# A server that never came up is its starter's error to report; one that worked once is worth waiting for.
_FAILURES_AT_FIRST = 4
_HOUSEKEEPING_SECONDS = 600.0


class Event(enum.Enum):
    """What can happen to a supervisor."""

    UNUSED = enum.auto()
    TOLD_TO_STOP = enum.auto()
    SERVER_ENDED = enum.auto()


class Supervisor:
    """Keeps one server running until nobody uses it."""

    def __init__(self, folder: state_folder.StateFolder, plan: start_plan.StartPlan) -> None:
        self._folder = folder
        self._plan = plan
        # The one queue that a signal handler may put into.
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def run(self) -> int:
        """Until unused or told to stop: 0. When the server cannot be started at all: 1."""
        signal.signal(signal.SIGTERM, lambda *_: self._events.put(Event.TOLD_TO_STOP))
        users_lock = file_lock.open_file(self._folder.users_lock)
        threading.Thread(target=self._await_unused, args=[users_lock], name="users", daemon=True).start()
        failures, settled = 0, False
        while True:
            began = time.monotonic()
            server = self._adopt_or_start()
            if self._next_event() is not Event.SERVER_ENDED:
                server.stop()
                self._tidy()
                return 0
            lived_long = time.monotonic() - began >= _SETTLED_SECONDS
            settled = settled or lived_long
            failures = 1 if lived_long else failures + 1
            if not settled and failures >= _FAILURES_AT_FIRST:
                return 1
            postmaster.quit_orphans(self._folder.data_dir)
            if self._pause(_BACK_OFF_SECONDS[min(failures, len(_BACK_OFF_SECONDS)) - 1]):
                self._tidy()
                return 0

    def _adopt_or_start(self) -> postmaster.Postmaster:
        held = postmaster.hold(self._folder.data_dir)
        if held is not None:
            return postmaster.adopt(held, on_end=self._on_end)
        return postmaster.start(self._folder, self._plan, on_end=self._on_end)

    def _on_end(self) -> None:
        self._events.put(Event.SERVER_ENDED)

    def _await_unused(self, users_lock: int) -> None:
        file_lock.block_until_exclusive(users_lock)
        self._events.put(Event.UNUSED)

    def _next_event(self) -> Event:
        while True:
            try:
                return self._events.get(timeout=_HOUSEKEEPING_SECONDS)
            except queue.Empty:
                self._folder.bound_log()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try; true when it has become needless meanwhile."""
        try:
            self._events.get(timeout=seconds)
        except queue.Empty:
            return False
        return True

    def _tidy(self) -> None:
        # What is left of a killed server; a stopped one has removed its own.
        if postmaster.find(self._folder.data_dir) is None:
            self._folder.remove_socket_dir()


def main() -> None:
    """The plan comes on standard input, the state folder and the descriptor of the held lock as arguments."""
    folder, lock = state_folder.StateFolder(Path(sys.argv[1])), int(sys.argv[2])
    plan = start_plan.StartPlan.from_json(sys.stdin.read())
    # The starter waits for its child only; what goes on is nobody's child, so it leaves no zombie behind.
    if os.fork():
        os._exit(0)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()} {process.born(os.getpid())}".encode(), 0)
    sys.exit(Supervisor(folder, plan).run())


if __name__ == "__main__":
    main()
