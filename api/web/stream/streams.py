"""All event streams of this process: where one may begin, the life of each, and the end of all when the API stops.

One catches up in pages, goes live, falls behind, catches up again. Invariant: everything up to its `cursor` that its
filter lets through was written to the client, once and in order.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web
from aiohttp.hdrs import ACCEPT_ENCODING

from api.fleet import event_pages
from api.fleet.event_pages import Stretch
from api.fleet.queries import events
from api.fleet.refusals import Refused
from api.web.gate import access
from api.web.http.parameters import EventStreamQuery
from api.web.stream import frames
from api.web.stream.fan_out import PAGE, FanOut
from api.web.stream.frames import Filter, Shared
from api.web.stream.outlet import Outlet, StalledError
from api.web.stream.snapshots import Snapshots
from monitor.domain.errors import DatabaseUnavailableError
from monitor.domain.server import Policy
from monitor.postgres.database import Database

# While the database is away.
RETRY_SECONDS = 1.0
GONE_WRONG = Refused("internal", "This is a fault of the API; its log says more.")

HEARTBEAT_SECONDS = 15.0
# So many streams may ask the database at once; the sessions left are for all other requests.
MOST_READERS = 4
# A filter that lets nothing through must not make one statement look through the whole log.
SPAN = 20_000

ReadOn = Callable[[int, Filter], Awaitable[Stretch]]

log = structlog.get_logger(__name__)


class Stream:
    """One client's stream; `cursor` is the number it has everything up to."""

    def __init__(
        self, outlet: Outlet, *, cursor: int, generation: int, wanted: Filter, fan_out: FanOut, read_on: ReadOn
    ) -> None:
        """`read_on` reads a stretch of the log from the database."""
        self.cursor = cursor
        self.generation = generation
        self.wanted = wanted
        self._told = cursor
        self._outlet = outlet
        self._fan_out = fan_out
        self._read_on = read_on
        self._is_let_go = asyncio.Event()
        self._limit = asyncio.timeout(None)

    async def run(self, opening: list[Shared]) -> None:
        """Write until the client is gone, the stream cannot go on, or `stop` is called.

        `opening` is sent first, and emptied meanwhile: the snapshot of a big fleet is many megabytes.
        """
        try:
            async with self._limit:
                await self._write_or_tell(opening)
        except TimeoutError:
            self._outlet.finish()
        except StalledError as error:
            log.info("stream_dropped", cursor=self.cursor, error=str(error))
        except ConnectionError:
            log.debug("stream_ended", cursor=self.cursor)
        finally:
            self._fan_out.remove(self)

    def push(self, data: bytes, /) -> bool:
        """Take what the fan-out hands out, or refuse."""
        return self._outlet.push(data)

    def let_go(self) -> None:
        """Catch up again."""
        self._is_let_go.set()

    def beat(self) -> None:
        """Show the client that we live, and move its cursor past what its filter held back."""
        is_silent = not self.wanted.is_open and self.cursor > self._told
        if self._outlet.push(frames.cursor_mark(self.cursor) if is_silent else frames.HEARTBEAT):
            self._told = self.cursor

    def stop(self) -> None:
        """End now, in whatever it does."""
        if self._limit.when() is None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def _write_or_tell(self, opening: list[Shared]) -> None:
        try:
            await self._write(opening)
        except Refused as problem:
            await self._outlet.send(frames.error(problem))
        except ConnectionError:
            raise
        except Exception:
            log.exception("stream_failed", cursor=self.cursor)
            await self._outlet.send(frames.error(GONE_WRONG))

    async def _write(self, opening: list[Shared]) -> None:
        self._fan_out.add(self)
        while opening:
            await self._outlet.send_shared(opening.pop(0))
        while True:
            self._is_let_go.clear()
            if self._fan_out.join(self):
                await self._is_let_go.wait()
            page = self._fan_out.recent(self)
            if page is not None:
                await self._send(page.data, cursor=page.cursor)
            else:
                await self._send_from_database()

    async def _send(self, data: bytes, *, cursor: int) -> None:
        self.cursor = cursor
        await self._outlet.send(data)

    async def _send_from_database(self) -> None:
        generation = self._fan_out.generation
        try:
            stretch = await self._read_on(self.cursor, self.wanted)
        except DatabaseUnavailableError:
            # Heartbeats go on meanwhile.
            await asyncio.sleep(RETRY_SECONDS)
            return
        self.generation = generation
        for found in frames.slices(map(frames.frame, stretch.events)):
            await self._send(frames.joined(found, self.wanted), cursor=found[-1].seq)
        self.cursor = stretch.through


class Streams:
    """Begins and ends streams."""

    def __init__(self, database: Database, policy: Policy, fan_out: FanOut, *, most: int) -> None:
        """`most` may be open at once."""
        self._database = database
        self.fan_out = fan_out
        self._most = most
        self._snapshots = Snapshots(database, policy)
        self._readers = asyncio.Semaphore(MOST_READERS)
        self._open: set[Stream] = set()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    async def serve(
        self, request: web.Request, query: EventStreamQuery, *, last_event_id: int | None
    ) -> web.StreamResponse:
        """Answer a request with a stream, until it ends; raises a `Refused` when it cannot begin."""
        self._require_room()
        wanted = Filter(types=frozenset(query.type), server_id=query.server_id)
        generation = self.fan_out.generation
        cursor, opening = await self._begin(query, last_event_id, generation)
        # Before a snapshot is complete there is nothing to go on from.
        first = frames.beginning(None if opening else cursor)
        try:
            is_packed = bool(opening) and "gzip" in request.headers.get(ACCEPT_ENCODING, "").lower()
            outlet, response = await Outlet.begin(request, first, is_packed=is_packed)
        except OSError:
            # The client is gone already.
            return web.Response()
        stream = Stream(
            outlet,
            cursor=cursor,
            generation=generation,
            wanted=wanted,
            fan_out=self.fan_out,
            read_on=self._read_on,
        )
        self._open.add(stream)
        try:
            async with access.lasting(request):
                await stream.run(opening)
        except Refused as problem:
            outlet.push(frames.error(problem))
        finally:
            self._open.discard(stream)
        return response

    async def beat(self) -> None:
        """Send heartbeats until cancelled."""
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            for stream in self._open:
                stream.beat()

    def close(self) -> None:
        """End all streams, and begin no more."""
        self._is_closed = True
        for stream in self._open:
            stream.stop()

    def _require_room(self) -> None:
        if self._is_closed or len(self._open) >= self._most:
            raise Refused(
                "too_many_streams",
                f"The API stops, or holds {self._most} streams already. Try again in a moment, or poll /api/events.",
            )

    async def _begin(
        self, query: EventStreamQuery, last_event_id: int | None, generation: int
    ) -> tuple[int, list[Shared]]:
        cursor = query.after if last_event_id is None else last_event_id
        try:
            if cursor is not None:
                await self._require_held(cursor)
                return cursor, []
        except Refused:
            # Whoever takes snapshots is helped by a new one.
            if not query.snapshot:
                raise
        if query.snapshot:
            snapshot = await self._snapshots.take(query.server_id, generation=generation)
            return snapshot.seq, list(snapshot.pieces)
        async with self._readers:
            return await events.head(self._database), []

    async def _require_held(self, cursor: int) -> None:
        if not self.fan_out.holds(cursor):
            async with self._readers:
                extract = await events.extract(self._database, cursor, limit=0, types=[], server_id=None)
            event_pages.require_held(extract)

    async def _read_on(self, cursor: int, wanted: Filter) -> Stretch:
        types = [type_.value for type_ in wanted.types]
        async with self._readers:
            return await event_pages.stretch(
                self._database, cursor, limit=PAGE, span=SPAN, types=types, server_id=wanted.server_id
            )
