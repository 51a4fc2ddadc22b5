"""How servers are shown to a person: a row in the list, all fields of one, what a listing changed."""

import sys
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.cli.screen import text
from api.cli.screen.column import Column

if TYPE_CHECKING:
    from api.fleet.views import AuthView, DiscoveryAnswer, ServerView

NONE_YET = "There is no server yet. Add one: ollama-fleet servers add NAME URL"
SHORT_ID = 8
NO_AUTH = "none"
COLUMNS = (
    Column(title="NAME", wraps=True),
    Column(title="STATUS", coloured=True),
    Column(title="WHY", wraps=True),
    Column(title="CHECKED", spare=2),
    Column(title="LATENCY", right=True, spare=3),
    Column(title="PRIO", right=True, spare=4),
    Column(title="URL", spare=1),
    Column(title="ID", spare=5),
)
# In seconds as they are stored; a person reads a unit.
SECONDS = ("check_interval_seconds", "check_timeout_seconds")
# Without a value of its own a server follows the settings.
OVERRIDES = frozenset({*SECONDS, "rise", "fall"})
AUTH = "auth"


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
            text.milliseconds(server.latency_ms),
            str(server.priority),
            text.printable(server.url),
            str(server.id)[:width],
        ]


def fields(server: "ServerView") -> Iterator[tuple[str, str]]:
    """Yield all fields of a server with their names as everywhere else."""
    now = datetime.now(UTC)
    for name, value in server:
        if isinstance(value, datetime):
            yield name, f"{text.local_time(value)} ({text.age(value, now=now)})"
        else:
            yield name.removesuffix("_seconds"), _value(server, name)


def edit(before: "ServerView", after: "ServerView", given: Container[str]) -> str:
    """Return one line: what the fields that were given are now, and what they were."""
    changes = [
        f"{name.removesuffix('_seconds')}={_value(after, name)} (was {_value(before, name)})"
        for name in type(before).model_fields
        if name in given and _value(after, name) != _value(before, name)
    ]
    if AUTH in given and _value(after, AUTH) == _value(before, AUTH):
        changes.append(f"{AUTH}={_value(after, AUTH)} (given anew)")
    if not changes:
        return f"{text.printable(after.name)} is like that already; nothing was changed."
    return f"Changed {text.printable(before.name)}: {', '.join(changes)}."


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


def _value(server: "ServerView", name: str) -> str:
    value = getattr(server, name)
    if name == AUTH:
        return _auth(server.auth)
    if value is None and name in OVERRIDES:
        return "default"
    return f"{value:g} s" if name in SECONDS else text.word(value)


def _auth(auth: "AuthView") -> str:
    header = getattr(auth, "header", None)
    where = "" if header is None else f" in {text.printable(header)}"
    missing = "" if auth.configured or auth.type == NO_AUTH else ", but none is stored"
    return f"{auth.type}{where}{missing}"


def _why(server: "ServerView") -> str:
    notes = []
    if server.status_reason not in (None, "ok"):
        notes.append(text.printable(str(server.status_reason)))
    if server.suspect_since is not None:
        notes.append(f"suspect: {text.printable(server.suspect_reason or 'unknown')}")
    if not server.is_active:
        notes.append("inactive")
    if server.stale:
        notes.append("stale")
    if server.is_default:
        notes.append("default")
    return ", ".join(notes) or text.NOTHING
