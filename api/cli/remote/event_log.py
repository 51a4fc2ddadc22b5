"""The event log behind an API elsewhere: pages of it, and a long poll in the place of a notification."""

import asyncio
import contextlib
from collections.abc import Sequence
from uuid import UUID

from api.cli.remote.connection import ApiConnection
from api.fleet.queries.events import Extract
from api.fleet.refusals import Refused
from api.fleet.views import EventPage, EventView
from monitor.domain.errors import FleetError
from monitor.domain.event import Event, EventType

PATH = "/api/events"
PAGE = 1000
WAIT_SECONDS = 30
PAUSE_SECONDS = 2.0


class RemoteEventLog:
    """Implements `reach.ReadEvents` and `reach.Waker` over HTTP."""

    def __init__(self, connection: ApiConnection) -> None:
        self._api = connection

    async def __call__(self, after: int | None, *, limit: int, types: Sequence[str], server_id: UUID | None) -> Extract:
        """Return at most `limit` events after a number, and how far the log reaches even if not to there."""
        wanted = [*(("type", one) for one in types), *([] if server_id is None else [("server_id", str(server_id))])]
        try:
            page = await self._page(after, limit=min(limit, PAGE), wanted=wanted)
        except Refused as problem:
            if after is None or "head" not in problem.facts:
                raise
            first, last = problem.facts.get("first_seq", 1), problem.facts["head"]
            return Extract(after=after, events=[], first=first, last=last)
        start = page.first_seq - 1 if after is None else after
        found = [_event(one) for one in page.items]
        while len(page.items) == PAGE and len(found) < limit:
            page = await self._page(page.last_seq, limit=min(limit - len(found), PAGE), wanted=wanted)
            found += [_event(one) for one in page.items]
        return Extract(after=start, events=found, first=page.first_seq, last=page.head)

    async def run(self) -> None:
        """Do nothing until cancelled: each wait asks by itself."""
        await asyncio.get_running_loop().create_future()

    async def wait(self, cursor: int) -> None:
        """Return when there is an event above the cursor, or after half a minute."""
        with contextlib.suppress(FleetError):
            await self._page(cursor, limit=1, wanted=(), wait=WAIT_SECONDS)
            return
        # Whoever reads next hears what is the matter; here only nobody is to be asked without a pause.
        await asyncio.sleep(PAUSE_SECONDS)

    async def _page(
        self, after: int | None, *, limit: int, wanted: Sequence[tuple[str, str]], wait: int = 0
    ) -> EventPage:
        parameters = [("limit", str(limit)), ("wait", str(wait)), *wanted]
        if after is not None:
            parameters.append(("after", str(after)))
        return self._api.read(EventPage, await self._api.ask("GET", PATH, parameters=parameters))


def _event(view: EventView) -> Event:
    return Event(
        seq=view.seq,
        type=EventType(view.type),
        server_id=view.server_id,
        model_id=view.model_id,
        at=view.at,
        body=view.body,
    )
