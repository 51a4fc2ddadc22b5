"""`ollama-fleet status`: one screen that says what is wrong now, since when, why, and what to do."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from api.cli import listing, sessions
from api.cli.arguments import json_option
from api.cli.fleet import Fleet
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output, repetition, text
from api.cli.servers import view as server_view
from api.fleet.views import ReadinessReport, ServerView
from monitor.domain.availability import Status
from monitor.domain.probe import Reason

WELL = frozenset({Status.UP})
MOST = 20
EXIT_TROUBLE = 1


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


@click.command(cls=Manual, epilog="Example: ollama-fleet status || mail -s 'fleet' ops@example.org")
@repetition.option
@json_option
@sessions.coroutine
async def status(invocation: Invocation, *, watch: float | None, as_json: bool) -> int:
    """Show what is wrong now, since when, why, and what to do.

    Ends with 0 when nothing is wrong and with 1 when something is, so that scripts can ask, too. A suspect server
    (bad answers, no verdict yet) counts as wrong: a script that wants only verdicts reads them from --json. With
    --watch it shows it again and again, until Ctrl-C.
    """

    def show(overview: Overview) -> None:
        if as_json:
            output.say(text.to_json(document(overview), indent=2 if watch is None else None))
            return
        for line in lines(overview, now=datetime.now(UTC)):
            output.say(line)

    async with sessions.fleet(invocation) as fleet:
        if watch is not None:
            await repetition.repeat(partial(_read, fleet), show, every=watch)
            return 0
        overview = await _read(fleet)
    show(overview)
    return EXIT_TROUBLE if overview.troubles else 0


async def _read(fleet: Fleet) -> Overview:
    return examine(await listing.all_servers(fleet.registry), await fleet.registry.readiness())


def examine(servers: Sequence[ServerView], readiness: ReadinessReport) -> Overview:
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
    if server.flapping_since is not None and server.status_reason != Reason.FLAPPING:
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


def lines(overview: Overview, *, now: datetime) -> Iterator[str]:
    """Yield the lines for a person; more troubles than a screen holds are counted."""
    yield _summary(overview)
    for trouble in overview.troubles[:MOST]:
        yield ""
        yield from output.paragraph("", _headline(trouble, now=now))
        yield from output.paragraph("    ", trouble.why)
        if trouble.next:
            yield from output.paragraph("    Next: ", trouble.next)
    if len(overview.troubles) > MOST:
        yield ""
        yield f"… and {len(overview.troubles) - MOST} more: `ollama-fleet servers list --unavailable`."


def document(overview: Overview) -> dict[str, Any]:
    """Return the same for a program."""
    return {
        "ok": not overview.troubles,
        "servers": overview.counts | {"inactive": overview.inactive},
        "troubles": [
            {
                "server_id": trouble.server and trouble.server.id,
                "server": trouble.server and trouble.server.name,
                "what": trouble.what,
                "since": trouble.since,
                "why": trouble.why,
                "next": trouble.next,
            }
            for trouble in overview.troubles
        ],
    }


def _summary(overview: Overview) -> str:
    counts = overview.counts | {"inactive": overview.inactive}
    if not any(counts.values()):
        return server_view.NONE_YET
    present = [f"{number} {status}" for status, number in counts.items() if number]
    number = sum(counts.values())
    verdict = "nothing is wrong" if not overview.troubles else f"{len(overview.troubles)} to look at"
    return f"{number} server{'s' * (number != 1)}: {', '.join(present)}; {verdict}."


def _headline(trouble: Trouble, *, now: datetime) -> str:
    name = "The fleet" if trouble.server is None else trouble.server.name
    what = "" if trouble.server is None else f" is {trouble.what}"
    if trouble.since is None:
        return f"{name}{what}"
    return f"{name}{what} since {text.local_time(trouble.since)} ({text.span((now - trouble.since).total_seconds())})"
