"""An event loop whose time jumps from one timer to the next, so that days of checks pass in seconds."""

import asyncio
import random
import selectors
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar
from unittest import mock

from structlog.testing import capture_logs

BEGINNING = 1000.0
EPOCH = 1_800_000_000.0
SERVICES = "monitor.services."

Result = TypeVar("Result")


class Jump(selectors.SelectSelector):
    """Takes the time that is to be waited as passed; nothing ever comes in from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Let the time pass; raises RuntimeError when there is nothing to wait for."""
        if timeout is None:
            raise RuntimeError("No timer is set, so nothing would ever happen again in virtual time.")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Code takes no time here; only timers, and whoever makes the loop stand still, let it pass."""

    def __init__(self) -> None:
        self._jump = Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Return the virtual time, in seconds."""
        return self._jump.now

    def stand_still(self, until: float) -> None:
        """Do nothing until then, as a process without a processor: what was due meanwhile is all due at once."""
        self._jump.now = max(self._jump.now, until)


class ShownTime:
    """Stands in for the module `time` in the services; `step` moves the clock on the wall only."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.monotonic = self.perf_counter = loop.time
        self.step = 0.0

    def time(self) -> float:
        """Return the time of the clock on the wall."""
        return EPOCH + self.monotonic() + self.step


@contextmanager
def shown(loop: VirtualLoop) -> Iterator[ShownTime]:
    """Have every service that is imported see the time of a loop; all other code goes on in real time."""
    shows = ShownTime(loop)
    services = [module for name, module in list(sys.modules.items()) if name.startswith(SERVICES)]
    with ExitStack() as stack:
        for module in services:
            if getattr(module, "time", None) is time:
                stack.enter_context(mock.patch.object(module, "time", shows))
        yield shows


def run(main: Callable[[VirtualLoop, ShownTime], Coroutine[Any, Any, Result]], *, seed: str) -> Result:
    """Run to its end what is made with a loop of its own, always the same way for the same seed; logs are dropped.

    No other event loop may be at work in this thread.
    """
    loop, before = VirtualLoop(), random.getstate()
    random.seed(seed)
    try:
        with capture_logs(), shown(loop) as shows, asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main(loop, shows))
    finally:
        random.setstate(before)
