"""How servers are shown to a person: a row in the list, all fields of one, the verdict of a check."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.cli import text
from api.cli.output import Column

if TYPE_CHECKING:
    from api.views import AuthView, CheckAnswer, DiscoveryAnswer, ServerView

NONE_YET = "There is no server yet. Add one: ollama-fleet servers add NAME URL"
SHORT_ID = 8
NO_AUTH = "none"
COLUMNS = (
    Column(title="NAME", wraps=True),
    Column(title="STATUS", coloured=True),
    Column(title="WHY", wraps=True),
    Column(title="CHECKED"),
    Column(title="LATENCY", right=True),
    Column(title="PRIO", right=True),
    Column(title="URL"),
    Column(title="ID"),
)
# In seconds as they are stored; a person reads a unit.
SECONDS = ("check_interval_seconds", "check_timeout_seconds")


def rows(servers: Sequence["ServerView"]) -> Iterator[list[str]]:
    """Yield the cells of each server; a person's screen gets the beginning of the id, a pipe all of it."""
    now = datetime.now(UTC)
    width = SHORT_ID if sys.stdout.isatty() else None
    for server in servers:
        yield [
            text.printable(server.name),
            server.status,
            _why(server),
            text.age(server.last_checked_at, now=now),
            _milliseconds(server.latency_ms),
            str(server.priority),
            text.printable(server.url),
            str(server.id)[:width],
        ]


def fields(server: "ServerView") -> Iterator[tuple[str, str]]:
    """Yield all fields of a server with their names as everywhere else."""
    now = datetime.now(UTC)
    for name, value in server:
        if name == "notices":
            continue
        if name == "auth":
            yield name, _auth(server.auth)
        elif name in SECONDS:
            yield name.removesuffix("_seconds"), text.NOTHING if value is None else f"{value:g} s"
        elif isinstance(value, datetime):
            yield name, f"{text.local_time(value)} ({text.age(value, now=now)})"
        else:
            yield name, text.word(value)


def verdict(answer: "CheckAnswer") -> str:
    """Return one line: what the server is now, and what the probe said."""
    probe = answer.probe
    latency = "" if probe.latency_ms is None else f" in {_milliseconds(probe.latency_ms)}"
    detail = f": {probe.detail}" if probe.detail else ""
    return text.printable(f"{answer.server.name} is {answer.server.status}; {probe.reason}{latency}{detail}")


def discovery(answer: "DiscoveryAnswer") -> Iterator[str]:
    """Yield a line for each model that came, changed or went, then the sum."""
    for sign, names in (("+", answer.added), ("~", answer.changed), ("-", answer.removed)):
        for name in names:
            yield f"{sign} {text.printable(name)}"
    dropped = f", {answer.dropped} left out as unusable" if answer.dropped else ""
    yield (
        f"{len(answer.added)} added, {len(answer.changed)} changed, {len(answer.removed)} removed, "
        f"{answer.unchanged} unchanged{dropped}."
    )


def _auth(auth: "AuthView") -> str:
    header = getattr(auth, "header", None)
    where = "" if header is None else f" in {text.printable(header)}"
    missing = "" if auth.configured or auth.type == NO_AUTH else ", but none is stored"
    return f"{auth.type}{where}{missing}"


def _why(server: "ServerView") -> str:
    notes = []
    if server.status_reason not in (None, "ok"):
        notes.append(text.printable(str(server.status_reason)))
    if not server.is_active:
        notes.append("inactive")
    if server.stale:
        notes.append("stale")
    if server.is_default:
        notes.append("default")
    return ", ".join(notes) or text.NOTHING


def _milliseconds(value: float | None) -> str:
    return text.NOTHING if value is None else f"{value:.1f} ms"
