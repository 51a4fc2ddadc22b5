"""The life of one event stream: catch up in pages, go live, fall behind, catch up again.

Invariant: everything up to `cursor` that the filter lets through was written to the client, once and in order.
"""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from api.fleet import event_pages
from api.fleet.refusals import Refused
from api.web.stream import frames
from api.web.stream.fan_out import FanOut
from api.web.stream.frames import Filter, Shared
from api.web.stream.outlet import Outlet, StalledError
from monitor.domain.errors import ConfigurationError, DatabaseUnavailableError

# While the database is away.
RETRY_SECONDS = 1.0
GONE_WRONG = Refused("internal", "This is a fault of the API; its log says more.")

ReadOn = Callable[[int, Filter], Awaitable[event_pages.Stretch]]

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
        except (DatabaseUnavailableError, ConfigurationError):
            # Heartbeats go on meanwhile.
            await asyncio.sleep(RETRY_SECONDS)
            return
        self.generation = generation
        for found in frames.slices(map(frames.frame, stretch.events)):
            await self._send(frames.joined(found, self.wanted), cursor=found[-1].seq)
        self.cursor = stretch.through
