"""When which server died, and when a subscriber of NOTIFY knew: what every benchmark of crashes asks."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from monitor.postgres.database import Connection
from tests.benchmarks import stage

CHANNEL = "ollama_servers"
SHARES = (50, 95, 99)


class Deaths:
    """Note in `died` when a server dies; `known` has when its `server.down` came. All in monotonic seconds."""

    def __init__(self) -> None:
        self.died: dict[UUID, float] = {}
        self.known: dict[UUID, float] = {}
        self.false = 0

    async def follow(self, subscriber: Connection) -> None:
        """Listen on a session."""
        await subscriber.add_listener(CHANNEL, self._hear)

    def _hear(self, *arguments: Any) -> None:
        now, payload = time.monotonic(), json.loads(arguments[-1])
        if payload["type"] != "server.down":
            return
        server_id = UUID(payload["server_id"])
        if server_id in self.died:
            self.known.setdefault(server_id, now)
        else:
            self.false += 1

    def delays(self) -> list[float]:
        """Return how long it took, in milliseconds, for each death that is known, in the order of the deaths."""
        return [(self.known[each] - died) * 1000 for each, died in self.died.items() if each in self.known]

    def missed(self) -> int:
        """Return how many deaths are not known."""
        return len(self.died.keys() - self.known.keys())

    async def all_known(self, within: float) -> None:
        """Wait until a subscriber knows of all deaths; raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while self.missed():  # noqa: ASYNC110  (another process's doing)
                await asyncio.sleep(0.01)


def spread(name: str, delays: Sequence[float]) -> dict[str, int | None]:
    """Return the percentiles of some delays and the longest one; of none, None."""
    if not delays:
        return {f"{name}_{what}": None for what in (*(f"p{share}" for share in SHARES), "max")}
    figures: dict[str, int | None] = {
        f"{name}_p{share}": round(stage.percentile(delays, share / 100)) for share in SHARES
    }
    return {**figures, f"{name}_max": round(max(delays))}
