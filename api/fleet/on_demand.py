"""Checks and discoveries on demand: ask the monitor through the database, and wait for its answer.

The request is a column, so it stands whatever becomes of this process or of the monitor.
"""

import time
from datetime import datetime
from uuid import UUID

from api.fleet import edits
from api.fleet.queries import requests
from api.fleet.queries.requests import Demand
from api.fleet.refusals import Next, Refused
from api.fleet.wakeup import Wakeup
from monitor.domain.server import Policy
from monitor.postgres.database import Database, Row

GRACE_SECONDS = 2.0
FIRST_LOOK_SECONDS = 0.05
LAST_LOOK_SECONDS = 0.5
LOOK_GROWTH = 1.3


class OnDemand:
    """Has the monitor do something now."""

    def __init__(self, database: Database, policy: Policy, wakeup: Wakeup) -> None:
        """`wakeup` ends the waiting when the API stops."""
        self._database = database
        self._policy = policy
        self._wakeup = wakeup

    async def request(self, demand: Demand, server_id: UUID) -> dict[str, object]:
        """Return the monitor's answer, at the latest 2 s after the server's time-out."""
        request = await self._ask(demand, server_id)
        seconds = request["check_timeout_seconds"] or self._policy.timeout.total_seconds()
        deadline = time.monotonic() + seconds + GRACE_SECONDS
        pause = FIRST_LOOK_SECONDS
        # A check that changes no status makes no event that could wake us, so the row is looked at.
        while time.monotonic() < deadline and not self._wakeup.is_closed:
            await self._wakeup.sleep(min(pause, deadline - time.monotonic()))
            answer = await self._answer(demand, server_id, request["requested_at"])
            if answer["is_answered"]:
                return dict(answer["result"] or {})
            pause = min(pause * LOOK_GROWTH, LAST_LOOK_SECONDS)
        raise Refused(
            "not_answered_in_time",
            f"The monitor has not done the {demand} in time. The request stands.",
            next=Next.READ_SERVER_AGAIN,
            demand=demand.value,
        )

    async def _ask(self, demand: Demand, server_id: UUID) -> Row:
        async with self._database.session() as connection:
            request = await requests.ask(connection, demand, server_id)
            exists = request is not None or await requests.exists(connection, server_id)
        if not exists:
            raise edits.server_not_found(server_id)
        if request is None:
            raise Refused(
                "server_inactive",
                "The server is inactive, so nobody asks it anything.",
                next=Next.ACTIVATE,
            )
        if not request["monitor_at_work"]:
            raise Refused(
                "monitor_absent",
                f"No monitor is at work, so the {demand} waits for one: the request stands. "
                "Start `ollama-fleet monitor`, or see why it stopped.",
            )
        return request

    async def _answer(self, demand: Demand, server_id: UUID, requested_at: datetime) -> Row:
        async with self._database.session() as connection:
            answer = await requests.answer(connection, demand, server_id=server_id, requested_at=requested_at)
        if answer is None:
            raise edits.server_not_found(server_id)
        return answer
