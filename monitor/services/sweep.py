"""Hands over what is due: at every beat, and between two beats what is to be punctual.

Regular work is handed over in bulk, which is a third cheaper. Fast re-checks come at their very time: one timer
per agenda sees to them, however many there are, and never runs more often than a hundred times a second.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta

from monitor.domain.distribution import Distribution
from monitor.domain.schedule import Schedule
from monitor.domain.server import ServerId

FINEST = 0.01


class Sweep:
    """The act of a beat; what goes wrong between two beats goes wrong at the next one again, and is fatal there."""

    def __init__(
        self,
        agenda: Schedule,
        submit: Callable[[ServerId], None],
        *,
        every: timedelta,
        lag: Distribution | None = None,
    ) -> None:
        """`every` is the time between two beats; `lag` learns how long after it was due each piece was handed over."""
        self._agenda = agenda
        self._submit = submit
        self._every = every.total_seconds()
        self._timer: asyncio.TimerHandle | None = None
        self._lag = lag

    async def look(self) -> None:
        """Hand over what is due now, and arm the timer for what is to be punctual before the next beat."""
        self.stop()
        self._hand_over(time.monotonic() + self._every)

    def stop(self) -> None:
        """Hand over nothing until the next beat."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _hand_over(self, next_beat: float) -> None:
        self._timer = None
        now = time.monotonic()
        for server_id, due in self._agenda.due(now):
            self._submit(server_id)
            if self._lag is not None:
                self._lag.observe(now - due)
        soonest = self._agenda.soonest_punctual()
        if soonest is not None and soonest < next_beat:
            delay = max(soonest - now, FINEST)
            self._timer = asyncio.get_running_loop().call_later(delay, self._hand_over, next_beat)
