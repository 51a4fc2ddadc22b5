"""What was allowed once and may end at any moment, together with the long answers that must end with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from api.fleet.refusals import Refused

# A timer further away than this is not set: the API will have been started anew by then.
LONGEST_SECONDS = 30 * 86_400.0


class Grant:
    """Stands until its deadline, or until `end` is called; both times are of the event loop's clock."""

    def __init__(self, *, deadline: float | None = None, expired: Refused | None = None) -> None:
        """`expired` is what is told after the deadline."""
        self._deadline = deadline
        self._expired = expired
        self._ended: Refused | None = None
        self._limits: set[asyncio.Timeout] = set()

    def refusal(self) -> Refused | None:
        """Return why it stands no more."""
        if self._ended is None and self._deadline is not None and now() >= self._deadline:
            self._ended = self._expired
        return self._ended

    def end(self, why: Refused) -> None:
        """End it, and with it everything that lasts."""
        if self.refusal() is None:
            self._ended = why
        for limit in self._limits:
            limit.reschedule(now())

    @asynccontextmanager
    async def lasting(self) -> AsyncIterator[None]:
        """Run the block while the grant stands; raises the `Refused` that ended it."""
        try:
            async with asyncio.timeout_at(self._timer()) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)
        except TimeoutError:
            refusal = self.refusal() if limit.expired() else None
            if refusal is None:
                raise
            raise refusal from None

    def _timer(self) -> float | None:
        if self.refusal() is not None:
            return now()
        if self._deadline is None or self._deadline - now() > LONGEST_SECONDS:
            return None
        return self._deadline


def now() -> float:
    """Return the time of the event loop."""
    return asyncio.get_running_loop().time()
