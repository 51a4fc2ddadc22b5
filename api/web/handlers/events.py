"""The routes of events: a page of the log, at once or when there is one, and a stream of what comes."""

from aiohttp import web

from api.fleet.registry import Registry
from api.fleet.views import EventPage
from api.web.gate import access
from api.web.http import parameters, responses
from api.web.http.parameters import EventQuery, EventStreamQuery
from api.web.openapi.operation import Operation
from api.web.stream.streams import Streams


class EventHandler:
    """Events over HTTP."""

    def __init__(self, registry: Registry, streams: Streams) -> None:
        self._registry = registry
        self._streams = streams

    def operations(self) -> list[Operation]:
        """Return what is answered here. A HEAD of a stream would never end, so there is none."""
        return [
            Operation(
                tag="events",
                method="GET",
                path="/api/events",
                handler=self.read,
                summary="Read a page of the event log, and wait for its first event if asked to",
                parameters=EventQuery,
                answer=EventPage,
                problems=("cursor_expired", "cursor_unknown"),
            ),
            Operation(
                tag="events",
                method="GET",
                path="/api/events/stream",
                handler=self.stream,
                summary="Follow the event log as Server-Sent Events",
                parameters=EventStreamQuery,
                headers={"Last-Event-ID": "The number to go on after; wins over `after`."},
                media_type="text/event-stream",
                problems=("cursor_expired", "cursor_unknown", "too_many_streams"),
                allow_head=False,
            ),
        ]

    async def read(self, request: web.Request) -> web.Response:
        """`GET /api/events`."""
        query = parameters.read(request.query, EventQuery)
        async with access.lasting(request):
            page = await self._registry.events(
                query.after, limit=query.limit, wait=query.wait, types=query.type, server_id=query.server_id
            )
        return responses.document(page)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """`GET /api/events/stream`: Server-Sent Events, each with its number as `id` and its type as `event`.

        Begins after the number in `Last-Event-ID`, else after the one in `after`, else with what happens from
        now on; 410 or 409 when the log does not lead there. With `snapshot=true` it begins with the fleet:
        messages `snapshot` with `seq`, some `servers` and some `models`, then `snapshot.end` with how many there
        were, whose id is the event that the changes follow; `server_id` narrows it, `type` does not. A client
        that connects again under the same address sends `Last-Event-ID` and goes on without a snapshot, unless
        that number is not held any more.

        Every 15 s a comment, or for a filtered stream an id without data, so that its cursor does not grow old.
        A stream that cannot go on, or whose token is revoked or expires, ends with a message `error` that
        holds the problem. A client that takes nothing in for 30 s is cut off, and can go on from its last id.
        """
        query = parameters.read(request.query, EventStreamQuery)
        return await self._streams.serve(request, query, last_event_id=parameters.last_event_id(request.headers))
