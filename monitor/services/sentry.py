"""Holds one idle connection to each available server; its end wakes a check at once, and never is a verdict.

Twice a second the connections that are held are compared with the fleet as it is believed to be, so
nobody has to tell of servers that come, go, are edited, or of a lease that is lost.
"""

import functools
import random
import time
from collections.abc import Callable

import structlog

from monitor.domain import watching
from monitor.domain.availability import Availability
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.server import ServerId
from monitor.domain.watching import Ending, Habit, Meaning, WatchState
from monitor.ports import Hold, Holder, Recorder

MOST_PER_SWEEP = 100

log = structlog.get_logger(__name__)


class Post:
    """Where one server is watched from, for as long as it is not edited."""

    __slots__ = (
        *("at_end", "began", "ending", "habit", "hold", "lasted", "may_begin", "on", "settled", "told", "watched"),
    )

    def __init__(self, watched: Watched, habit: Habit, *, on: bool) -> None:
        self.watched = watched
        self.on = on
        self.habit = habit
        self.hold: Hold | None = None
        self.began = 0.0
        self.lasted = 0.0
        self.ending = Ending.CLOSED
        # What was believed when the last watch ended; None once that end is understood.
        self.at_end: Availability | None = None
        self.may_begin = True
        self.told: WatchState | None = None
        # With this availability there is nothing to do here: most servers, at most sweeps.
        self.settled: Availability | None = None

    def let_go(self) -> None:
        """Close the connection, if there is one."""
        if self.hold is not None:
            self.hold.close()
            self.hold = None


class Sentry:
    """Watches one server when called with its id; `sweep` says for which ones it is time."""

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
        closed: Callable[[Watched], None] = lambda _: None,
    ) -> None:
        """`wake` has a server checked now, even if a check is under way; `most` bounds the connections.

        `restart` does so instead of a check that is under way, and may wait on a connection that is dead as well.
        `closed` is told of a server that has ended its connection, before that check.
        """
        self._fleet = fleet
        self._holder = holder
        self._recorder = recorder
        self._wake = wake
        self._restart = restart
        self._tell_closed = closed
        self._most = most
        self._on = on
        self._posts: dict[ServerId, Post] = {}
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
            post = self._posts.get(watched.server.id)
            if post is None or post.watched is not watched or post.settled is not watched.availability:
                post = self._post(post, watched, now)
                self._review(post, now)
                if self._is_due(post, now):
                    due.append(watched.server.id)
            held += post.hold is not None
        self._held = held
        if len(self._posts) > len(self._fleet):
            self._leave()
        return self._choose(due)

    def _post(self, post: Post | None, watched: Watched, now: float) -> Post:
        if post is not None and post.watched is watched:
            return post
        if post is not None:
            post.let_go()
        habit = watching.begin(at=now, chance=random.random())
        post = Post(watched, habit, on=self._on and watched.server.connection_watch)
        self._posts[watched.server.id] = post
        return post

    def _is_due(self, post: Post, now: float) -> bool:
        free = post.hold is None and post.at_end is None
        return post.on and free and post.may_begin and now >= post.habit.not_before

    def _review(self, post: Post, now: float) -> None:
        availability = post.watched.availability
        if post.at_end is not None:
            self._understand(post, post.at_end, now)
        may_begin = watching.may_begin(availability)
        if not watching.may_hold(availability):
            post.let_go()
        elif may_begin and not post.may_begin:
            post.habit = watching.after_return(post.habit, at=now, chance=random.random())
        post.may_begin = may_begin
        self._tell(post)
        idle = post.hold is not None or not post.on or not watching.may_hold(availability)
        post.settled = availability if idle else None

    def _understand(self, post: Post, at_end: Availability, now: float) -> None:
        """Ask the checks since a watch ended what its end meant."""
        match watching.meaning(at_end, post.watched.availability):
            case Meaning.HEALTHY if post.ending is Ending.SILENT:
                post.at_end = None
                post.habit = watching.after_silence(post.habit, at=now, chance=random.random())
            case Meaning.HEALTHY:
                post.at_end = None
                habit = watching.after_end(post.habit, at=now, lasted=post.lasted, chance=random.random())
                self._learn(post, habit, "it ends idle connections while it is healthy")
            case Meaning.SICK:
                post.at_end = None
            case Meaning.OPEN:
                pass

    def _tell(self, post: Post) -> None:
        """Record what people are to see of the watch, when it is another thing than before."""
        state = self._state(post)
        if state in {None, post.told} or not watching.may_hold(post.watched.availability):
            return
        post.told = state
        self._recorder.record(post.watched.record(watch_state=state), at_once=False)

    def _state(self, post: Post) -> WatchState | None:
        if not post.on:
            return WatchState.OFF
        if post.hold is not None:
            return WatchState.WATCHED
        return None if post.habit.holds else WatchState.NOT_HELD

    def _learn(self, post: Post, habit: Habit, why: str) -> None:
        if post.habit.holds and not habit.holds:
            server = post.watched.server
            log.info("connection_not_held", server=server.name, server_id=str(server.id), why=why)
        post.habit = habit

    def _leave(self) -> None:
        for server_id, post in list(self._posts.items()):
            if not self._fleet.is_current(post.watched):
                post.let_go()
                del self._posts[server_id]

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

    async def __call__(self, server_id: ServerId) -> None:
        """Connect to a server that `sweep` has chosen."""
        try:
            post = self._posts.get(server_id)
            if post is not None and self._is_wanted(post):
                await self._watch(post)
        finally:
            self._arming.discard(server_id)

    def _is_wanted(self, post: Post) -> bool:
        current = self._fleet.is_current(post.watched)
        return self._open and current and watching.may_begin(post.watched.availability)

    async def _watch(self, post: Post) -> None:
        hold = await self._holder.hold(post.watched.server, functools.partial(self._ended, post))
        now = time.monotonic()
        if hold is None:
            post.habit = watching.after_failure(post.habit, at=now, chance=random.random())
        elif not self._is_wanted(post):
            hold.close()
        elif hold.is_open:
            post.hold, post.began = hold, now
            post.habit = watching.after_connect(post.habit)

    def _ended(self, post: Post, ending: Ending) -> None:
        now = time.monotonic()
        # An end before the connection was counted as held has lasted no time.
        post.lasted = 0.0 if post.hold is None else now - post.began
        post.hold = post.settled = None
        if not self._fleet.is_current(post.watched):
            return
        if ending is Ending.SPOKE:
            self._learn(post, watching.after_speech(at=now), "it sends bytes that nobody asked for")
            return
        post.ending, post.at_end = ending, post.watched.availability
        post.watched.watch_ended_at = now
        if ending is Ending.SILENT:
            post.watched.vanished = True
            self._restart(post.watched.server.id)
        else:
            self._tell_closed(post.watched)
            self._wake(post.watched.server.id)

    async def stop(self) -> None:
        """Let go of everything, and hold nothing from now on."""
        self._open = False
        for post in self._posts.values():
            post.let_go()
        self._posts.clear()
