"""Holds one idle connection to each available server; its end wakes a check at once, and never is a verdict.

Twice a second the connections that are held are compared with the fleet as it is believed to be, so
nobody has to tell of servers that come, go or are edited. A server that ends its watch and answers again as another
process has restarted, which is told at most once in ten seconds: of many restarts the last one at the latest.
"""

import functools
import random
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from monitor.domain import watching
from monitor.domain.availability import Availability
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.server import ServerId
from monitor.domain.watching import End, Ending, Habit, Meaning, Restarts, WatchState
from monitor.ports import Hold, Holder, Recorder

MOST_PER_SWEEP = 100

log = structlog.get_logger(__name__)


class ConnectionWatch:
    """The watch of one server, for as long as it is not edited: its connection, if there is one, and what is known."""

    __slots__ = (
        *("at_end", "began", "end", "ending", "habit", "hold", "may_begin", "on", "recorded", "restarts"),
        *("settled", "watched"),
    )

    def __init__(self, watched: Watched, habit: Habit, *, on: bool) -> None:
        self.watched = watched
        self.on = on
        self.habit = habit
        self.hold: Hold | None = None
        self.began = 0.0
        self.ending = Ending.CLOSED
        # What was believed when the last watch ended; None once that end is understood.
        self.at_end: Availability | None = None
        # That the server has ended the watch, until it is known what it answers as.
        self.end: End | None = None
        self.restarts = Restarts()
        self.may_begin = True
        self.recorded: WatchState | None = None
        # With this availability there is nothing to do here: most servers, at most sweeps.
        self.settled: Availability | None = None

    def let_go(self) -> None:
        """Close the connection, if there is one."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None


class Sentry:
    """Holds the connections; `sweep` says to which servers it is time to connect."""

    def __init__(
        self,
        *,
        fleet: Fleet,
        holder: Holder,
        recorder: Recorder,
        wake: Callable[[ServerId], None],
        restart: Callable[[ServerId], None],
        most: int,
        on: bool,
        refuses: Callable[[Watched], bool] = lambda _: False,
        look: Callable[[ServerId], None] = lambda _: None,
    ) -> None:
        """`wake` has a server checked now, even if a check is under way; `most` bounds the connections.

        `restart` does so instead of a check that is under way, and may wait on a connection that is dead as well.
        `refuses` is asked of a server that has ended its connection, before that check, whether it refuses another one.
        `look` is told of a server that has come through the end of its watch: its memory may be empty.
        """
        self._fleet = fleet
        self._holder = holder
        self._recorder = recorder
        self._wake = wake
        self._restart = restart
        self._refuses = refuses
        self._look = look
        self._most = most
        self._on = on
        self._watches: dict[ServerId, ConnectionWatch] = {}
        self._arming: set[ServerId] = set()
        self._held = 0
        self._full = False
        self._open = True

    @property
    def held(self) -> int:
        """How many connections are held."""
        return self._held

    def sweep(self) -> list[ServerId]:
        """Let go of what is not to be held any more; return servers to watch now, and count on being called."""
        now = time.monotonic()
        held = 0
        due: list[ServerId] = []
        for watched in self._fleet:
            watch = self._watches.get(watched.server.id)
            if watch is None or watch.watched is not watched or watch.settled is not watched.availability:
                watch = self._watch_of(watch, watched, now)
                self._review(watch, now)
                if self._is_due(watch, now):
                    due.append(watched.server.id)
            held += watch.hold is not None
        self._held = held
        if len(self._watches) > len(self._fleet):
            self._leave()
        return self._choose(due)

    def _watch_of(self, watch: ConnectionWatch | None, watched: Watched, now: float) -> ConnectionWatch:
        if watch is not None and watch.watched is watched:
            return watch
        if watch is not None:
            watch.let_go()
        habit = watching.begin(at=now, chance=random.random())
        restarts = Restarts() if watch is None or watch.watched.server.url != watched.server.url else watch.restarts
        watch = ConnectionWatch(watched, habit, on=self._on and watched.server.connection_watch)
        watch.restarts = restarts
        self._watches[watched.server.id] = watch
        return watch

    def _is_due(self, watch: ConnectionWatch, now: float) -> bool:
        free = watch.hold is None and watch.at_end is None
        return watch.on and free and watch.may_begin and now >= watch.habit.not_before

    def _review(self, watch: ConnectionWatch, now: float) -> None:
        availability = watch.watched.availability
        if watch.at_end is not None:
            self._understand(watch, watch.at_end, now)
        may_begin = watching.may_begin(availability)
        if watch.end is not None and watch.at_end is None and may_begin:
            self._come_through(watch, watch.end)
        if watch.restarts.is_due(now):
            self._tell(watch, now)
        if not watching.may_hold(availability):
            watch.let_go()
        elif may_begin and not watch.may_begin:
            watch.habit = watching.after_return(watch.habit, at=now, chance=random.random())
        watch.may_begin = may_begin
        self._record(watch)
        idle = watch.hold is not None or not watch.on or not watching.may_hold(availability)
        watch.settled = availability if idle and watch.restarts.at is None else None

    def _understand(self, watch: ConnectionWatch, at_end: Availability, now: float) -> None:
        """Ask the checks since a watch ended what its end meant."""
        watched = watch.watched
        meaning = watching.meaning(at_end, watched.availability, is_checked=watched.watch_ended_at is None)
        if meaning is Meaning.OPEN:
            return
        watch.at_end = None
        if meaning is Meaning.SICK:
            watch.end = None if watch.end is None else replace(watch.end, confirmed=True)
        elif watch.ending is Ending.SILENT:
            watch.habit = watching.after_silence(watch.habit, at=now, chance=random.random())
            self._look(watched.server.id)
        elif watch.end is not None and not _has_restarted(watch.watched, watch.end):
            habit = watching.after_end(watch.habit, at=now, lasted=watch.end.lasted, chance=random.random())
            watch.end = None
            self._learn(watch, habit, "it ends idle connections while it is healthy")

    def _come_through(self, watch: ConnectionWatch, end: End) -> None:
        """Note whether it is another process that answers, after the end of its watch and whatever came of it."""
        watched = watch.watched
        if _has_restarted(watched, end):
            watch.restarts = replace(watch.restarts, at=watched.connected_at)
        watch.end = None
        if watched.availability.changed_at < end.at:
            # Of one that was down meanwhile all is listed anyway.
            self._look(watched.server.id)

    def _tell(self, watch: ConnectionWatch, now: float) -> None:
        record = watch.watched.record(restarted_at=watch.restarts.at)
        watch.restarts = Restarts(told_at=now)
        self._recorder.record(record, at_once=True)

    def _record(self, watch: ConnectionWatch) -> None:
        """Record what people are to see of the watch, when it is another thing than before."""
        state = self._state(watch)
        if state in {None, watch.recorded} or not watching.may_hold(watch.watched.availability):
            return
        watch.recorded = state
        self._recorder.record(watch.watched.record(watch_state=state), at_once=False)

    def _state(self, watch: ConnectionWatch) -> WatchState | None:
        if not watch.on:
            return WatchState.OFF
        if watch.hold is not None:
            return WatchState.WATCHED
        return None if watch.habit.holds else WatchState.NOT_HELD

    def _learn(self, watch: ConnectionWatch, habit: Habit, why: str) -> None:
        if watch.habit.holds and not habit.holds:
            server = watch.watched.server
            log.info("connection_not_held", server=server.name, server_id=str(server.id), why=why)
        watch.habit = habit

    def _leave(self) -> None:
        for server_id, watch in list(self._watches.items()):
            if not self._fleet.is_current(watch.watched):
                watch.let_go()
                del self._watches[server_id]

    def _choose(self, due: list[ServerId]) -> list[ServerId]:
        """Return those of the due servers that there is room for; at random, so that none is always last."""
        room = self._most - self._held - len(self._arming)
        free = [server_id for server_id in due if server_id not in self._arming]
        if len(free) > room and not self._full:
            log.warning("connections_limited", most=self._most, hint="raise the limit of open files")
            self._full = True
        count = max(0, min(room, MOST_PER_SWEEP - len(self._arming), len(free)))
        chosen = random.sample(free, count)
        self._arming.update(chosen)
        return chosen

    async def connect(self, server_id: ServerId) -> None:
        """Connect to a server that `sweep` has chosen."""
        try:
            watch = self._watches.get(server_id)
            if watch is not None and self._is_wanted(watch):
                await self._hold(watch)
        finally:
            self._arming.discard(server_id)

    def _is_wanted(self, watch: ConnectionWatch) -> bool:
        current = self._fleet.is_current(watch.watched)
        return self._open and current and watching.may_begin(watch.watched.availability)

    async def _hold(self, watch: ConnectionWatch) -> None:
        hold = await self._holder.hold(watch.watched.server, functools.partial(self._ended, watch))
        now = time.monotonic()
        if hold is None:
            watch.habit = watching.after_failure(watch.habit, at=now, chance=random.random())
        elif not self._is_wanted(watch):
            hold.close()
        elif hold.is_open:
            watch.hold, watch.began = hold, now
            watch.habit = watching.after_connect(watch.habit)

    def _ended(self, watch: ConnectionWatch, ending: Ending) -> None:
        now = time.monotonic()
        # An end before the connection was counted as held has lasted no time.
        lasted = 0.0 if watch.hold is None else now - watch.began
        watch.hold = watch.settled = None
        if not self._fleet.is_current(watch.watched):
            return
        if ending is Ending.SPOKE:
            self._learn(watch, watching.after_speech(at=now), "it sends bytes that nobody asked for")
            return
        watch.ending, watch.at_end = ending, watch.watched.availability
        watch.watched.watch_ended_at = now
        if ending is Ending.SILENT:
            watch.watched.vanished = True
            self._restart(watch.watched.server.id)
        else:
            watch.end = End(at=now, lasted=lasted, confirmed=self._refuses(watch.watched))
            self._wake(watch.watched.server.id)

    async def stop(self) -> None:
        """Let go of everything, and hold nothing from now on; tell what was not told yet."""
        self._open = False
        now = time.monotonic()
        for watch in self._watches.values():
            watch.let_go()
            if watch.restarts.at is not None and self._fleet.is_current(watch.watched):
                self._tell(watch, now)
        self._watches.clear()


def _has_restarted(watched: Watched, end: End) -> bool:
    return watching.has_restarted(end, connected_at=watched.connected_at, lost=watched.lost)
