"""What is wrong in the fleet now, as data: decided here, shown by `status`; handed the servers and how the rest is."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.fleet.views import ReadinessReport, ServerView
from monitor.domain.availability import Status

WELL = frozenset({Status.UP})


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that somebody has to look at: which server, None for the fleet's own; `since` when it is known."""

    server: ServerView | None
    what: str
    since: datetime | None
    why: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """How many servers there are of each status (active ones only), how many are inactive, and all that is wrong."""

    counts: dict[str, int]
    inactive: int
    troubles: tuple[Trouble, ...]


def overview(servers: Sequence[ServerView], readiness: ReadinessReport) -> Overview:
    """Return what there is to say; the worst comes first."""
    active = [server for server in servers if server.is_active]
    counted = Counter(server.status for server in active)
    troubles = [*_of_the_fleet(servers, readiness), *(one for server in active for one in _of_server(server))]
    return Overview(
        counts={status.value: counted[status] for status in Status},
        inactive=len(servers) - len(active),
        troubles=tuple(sorted(troubles, key=_badness)),
    )


def _of_the_fleet(servers: Sequence[ServerView], readiness: ReadinessReport) -> Iterator[Trouble]:
    for reason in readiness.reasons:
        what, _, remedy = reason.partition(": ")
        yield Trouble(server=None, what="fleet", since=None, why=what, next=remedy)
    default = next((server for server in servers if server.is_default), None)
    if default is not None and not default.is_active:
        yield Trouble(
            server=default,
            what="inactive",
            since=default.updated_at,
            why="It is the default server, and nobody is sent to an inactive one.",
            next=f"`ollama-fleet servers set {shlex.quote(default.name)} --active`, or make another one the default.",
        )


def _of_server(server: ServerView) -> Iterator[Trouble]:
    if server.stale:
        yield Trouble(
            server=server,
            what="stale",
            since=server.last_checked_at,
            why=f"It was {server.status} then, and has not been checked since.",
            next="See that a monitor runs: `ollama-fleet doctor`.",
        )
    elif server.status not in WELL | {Status.UNKNOWN}:
        yield Trouble(
            server=server,
            what=server.status,
            since=server.status_changed_at,
            why=": ".join(part for part in (server.status_reason, server.status_detail) if part),
            next=server.advice or "",
        )
    if server.suspect_since is not None and not server.stale:
        yield _suspicion(server, since=server.suspect_since)
    if server.flapping_since is not None:
        yield Trouble(
            server=server,
            what="flapping",
            since=server.flapping_since,
            why="It goes up and down too often, so its changes are held back.",
            next="`ollama-fleet events --type server.down` shows when, "
            f"`ollama-fleet servers history {shlex.quote(server.name)}` how often.",
        )


def _suspicion(server: ServerView, *, since: datetime) -> Trouble:
    """Return what is said of a server with bad answers and no verdict yet; stale, it waits for none."""
    return Trouble(
        server=server,
        what="suspect",
        since=since,
        why=f"{server.suspect_reason or 'unknown'}: bad answers have been seen, and there is no verdict yet.",
        next="A verdict comes within seconds, or the suspicion clears by itself; "
        f"`ollama-fleet servers check {shlex.quote(server.name)} --explain` looks now.",
    )


def _badness(trouble: Trouble) -> tuple[int, str]:
    order = ("fleet", Status.DOWN, "stale", "inactive", Status.DEGRADED, "suspect", "flapping")
    return order.index(trouble.what), "" if trouble.server is None else trouble.server.name
