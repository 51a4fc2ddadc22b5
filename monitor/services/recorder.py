"""Writes what checks found: a transition at once, everything else once a second in one statement.

A transition takes others along that wait, unless they are so many that it would be late for them.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import structlog

from monitor.domain.counters import Counters
from monitor.domain.errors import DatabaseFaultError, DatabaseUnavailableError
from monitor.domain.record import ServerRecord, Written
from monitor.domain.server import ServerId
from monitor.ports import ResultStore

LONGEST_WAIT = 1.0
RETRY = 1.0
MOST_TAKEN_ALONG = 20
# Seconds. Each writer, another part of the monitor too, has a row locked for a moment.
LOCK_WORTH_TELLING = 2.0

log = structlog.get_logger(__name__)


class BatchRecorder:
    """Keeps the newest record of each server until it is written; implements `ports.Recorder`.

    With the database away the records wait, one per server at the most, and are written when it is
    back: subscribers then learn of each server that changed, once.
    """

    def __init__(
        self,
        store: ResultStore,
        *,
        counters: Counters,
        note: Callable[[ServerRecord], None] = lambda _: None,
    ) -> None:
        """`note` is told of every record, also of those that a newer one replaces before they are written."""
        self._store = store
        self._note = note
        self._waiting: dict[ServerId, ServerRecord] = {}
        self._urgent = asyncio.Event()
        # Whose records brought a transition.
        self._changed: set[ServerId] = set()
        self._all_written_at = float("-inf")
        self._stuck = False
        # Since when somebody else has had servers locked whose results were to be written.
        self._locked: dict[ServerId, float] = {}
        self._is_lock_told = False
        self.turns = 0
        self._counters = counters

    @property
    def waiting(self) -> int:
        """How many records are not written yet."""
        return len(self._waiting)

    def record(self, record: ServerRecord, /, *, at_once: bool) -> None:
        """Take the newest record of a server."""
        self._note(record)
        self._waiting[record.server_id] = record.over(self._waiting.get(record.server_id))
        if at_once:
            self._changed.add(record.server_id)
            self._urgent.set()

    async def run(self) -> None:
        """Write until cancelled; `turns` goes on counting while the database keeps a write waiting."""
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LONGEST_WAIT):
                        await self._urgent.wait()
                if writing is None:
                    self._urgent.clear()
                    writing = asyncio.create_task(self._flush(self._take_soonest), name="write results")
                done, _ = await asyncio.wait([writing], timeout=LONGEST_WAIT)
                self.turns += 1
                if done:
                    writing.result()
                    writing = None
                    await asyncio.sleep(RETRY if self._stuck else 0)
        finally:
            if writing is not None:
                writing.cancel()
                await asyncio.wait([writing])

    async def flush(self) -> None:
        """Write all that waits, if the database can be reached."""
        await self._flush(self._take_all)

    def _take_soonest(self) -> list[ServerRecord]:
        """Take out what is to be written now: all of it, or only the transitions if much else waits that may."""
        changed, self._changed = self._changed, set()
        is_soon = time.monotonic() < self._all_written_at + LONGEST_WAIT
        if not changed or not is_soon or len(self._waiting) - len(changed) <= MOST_TAKEN_ALONG:
            return self._take_all()
        return [record for each in changed if (record := self._waiting.pop(each, None)) is not None]

    def _take_all(self) -> list[ServerRecord]:
        self._all_written_at = time.monotonic()
        batch, self._waiting = list(self._waiting.values()), {}
        return batch

    async def _flush(self, take: Callable[[], list[ServerRecord]]) -> None:
        batch = take()
        if not batch:
            return
        began = time.monotonic()
        try:
            await self._write(batch)
        except DatabaseUnavailableError as error:
            self._put_back(batch)
            if not self._stuck:
                log.warning("results_wait", error=str(error), servers=len(self._waiting))
            self._stuck = True
        except asyncio.CancelledError:
            self._put_back(batch)
            raise
        else:
            if self._stuck:
                log.info("results_written_again", servers=len(batch))
            self._stuck = False
            self._counters.batch_records.observe(len(batch))
            self._counters.batch_seconds.observe(time.monotonic() - began)

    def _put_back(self, batch: list[ServerRecord]) -> None:
        for record in batch:
            newer = self._waiting.get(record.server_id)
            self._waiting[record.server_id] = record if newer is None else newer.over(record)

    async def _write(self, batch: list[ServerRecord]) -> None:
        """Write a batch; should the database refuse it for what is in it, save all records but the bad one."""
        try:
            written = await self._store.write(batch)
        except Exception as error:
            if isinstance(error, DatabaseUnavailableError) and not isinstance(error, DatabaseFaultError):
                raise
            if len(batch) == 1:
                log.exception("result_refused", server_id=str(batch[0].server_id))
                self._counters.results_dropped += 1
                return
            middle = len(batch) // 2
            await self._write(batch[:middle])
            await self._write(batch[middle:])
        else:
            self._counters.results_dropped += len(batch) - written.count - len(written.locked)
            self._put_back([record for record in batch if record.server_id in written.locked])
            self._note_locks(batch, written)

    def _note_locks(self, batch: list[ServerRecord], written: Written) -> None:
        now = time.monotonic()
        for record in batch:
            if record.server_id not in written.locked:
                self._locked.pop(record.server_id, None)
        for server_id in written.locked:
            self._locked.setdefault(server_id, now)
        lasting = sum(now - since >= LOCK_WORTH_TELLING for since in self._locked.values())
        if lasting and not self._is_lock_told:
            log.warning("server_rows_locked", servers=lasting, holder=written.holder or "unknown")
        self._is_lock_told = lasting > 0
