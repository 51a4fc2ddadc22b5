"""How servers are shown to a person: a row in the list, all fields of one, what a check or a listing found."""

import shlex
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from api.cli.screen import output, text
from api.cli.screen.output import Column
from api.fleet.views import AuthView, CheckAnswer, DiscoveryAnswer, ServerView
from monitor.credentials import certificates
from monitor.domain import reasons
from monitor.domain.availability import Status
from monitor.domain.errors import InvalidPemError
from monitor.domain.probe import Reason

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
AUTH, CLIENT_CERT = "auth", "client_cert"
CERTIFICATES = ("ca_pem", CLIENT_CERT)
# With them a secret comes that is not shown.
WITH_SECRET = (AUTH, CLIENT_CERT)
# With what an operator says of the API, both can change: what it is, and who says so.
PINNED = "api_pinned"


def rows(servers: Sequence[ServerView]) -> Iterator[list[str]]:
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


def fields(server: ServerView) -> Iterator[tuple[str, str]]:
    """Yield all fields of a server with their names as everywhere else."""
    now = datetime.now(UTC)
    for name, value in server:
        if isinstance(value, datetime):
            yield name, f"{text.local_time(value)} ({text.age(value, now=now)})"
        else:
            yield name.removesuffix("_seconds"), _value(server, name)


def edit(before: ServerView, after: ServerView, given: Collection[str]) -> str:
    """Return one line: what the fields that were given are now, and what they were."""
    given = [*given, PINNED] if "api" in given else given
    changes = [
        f"{name.removesuffix('_seconds')}={_value(after, name)} (was {_value(before, name)})"
        for name in type(before).model_fields
        if name in given and _value(after, name) != _value(before, name)
    ]
    changes += [
        f"{name}={_value(after, name)} (given anew)"
        for name in WITH_SECRET
        if name in given and _value(after, name) == _value(before, name) != text.NOTHING
    ]
    if not changes:
        return f"{text.printable(after.name)} is like that already; nothing was changed."
    return f"Changed {text.printable(before.name)}: {', '.join(changes)}."


def discovery(answer: DiscoveryAnswer) -> Iterator[str]:
    """Yield a line for each model that came, changed or went, then the sum."""
    for sign, names in (("+", answer.added), ("~", answer.changed), ("-", answer.removed)):
        for name in names:
            yield f"{sign} {text.printable(name)}"
    dropped = f", {answer.dropped} left out as unusable" if answer.dropped else ""
    yield (
        f"{len(answer.added)} added, {len(answer.changed)} changed, {len(answer.removed)} removed, "
        f"{answer.unchanged} unchanged{dropped}."
    )


def _value(server: ServerView, name: str) -> str:
    value = getattr(server, name)
    if name == AUTH:
        return _auth(server.auth)
    if name in CERTIFICATES and value is not None:
        return _certificates(value)
    if value is None and name in OVERRIDES:
        return "default"
    return f"{value:g} s" if name in SECONDS else text.word(value)


def _certificates(pem: str) -> str:
    try:
        found = certificates.read(pem)
    except InvalidPemError as error:
        return f"unusable: it {error}"
    return "; ".join(f"{text.printable(each.subject)} until {each.expires_at:%Y-%m-%d}" for each in found)


def _auth(auth: AuthView) -> str:
    header = getattr(auth, "header", None)
    where = "" if header is None else f" in {text.printable(header)}"
    missing = "" if auth.configured or auth.type == NO_AUTH else ", but none is stored"
    return f"{auth.type}{where}{missing}"


def _why(server: ServerView) -> str:
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


STAYS_DOWN = (
    "It goes up and down too often, so it stays down until it keeps still; "
    "`ollama-fleet events --type server.down` shows when it fell."
)
COMES_BACK = (
    "It answers well again, and comes back after some good checks in a row (--rise), which follow at once; look again "
    "in a moment."
)


def is_well(answer: CheckAnswer) -> bool:
    """Return whether the server is up, and has answered well just now."""
    return answer.server.status == Status.UP and answer.probe.reason == Reason.OK


def check_lines(answer: CheckAnswer) -> Iterator[str]:
    """Yield what the server is now and what the probe said, and what to do next."""
    probe = answer.probe
    latency = "" if probe.latency_ms is None else f" in {text.milliseconds(probe.latency_ms)}"
    detail = f": {probe.detail}" if probe.detail else ""
    yield from output.paragraph("", f"{answer.server.name} is {answer.server.status}; {probe.reason}{latency}{detail}")
    if not is_well(answer) and (sentence := next_step(answer)):
        yield from output.paragraph("Next: ", sentence)


def check_document(answer: CheckAnswer) -> dict[str, Any]:
    """Return the same for a program."""
    return {**answer.model_dump(mode="json"), "advice": next_step(answer)}


def next_step(answer: CheckAnswer) -> str:
    """Return what to do, nothing about a reason that only a later version knows."""
    server, probe = answer.server, answer.probe
    if probe.reason == Reason.OK and server.status == Status.DOWN:
        return COMES_BACK if server.flapping_since is None else STAYS_DOWN
    is_probe = probe.reason != Reason.OK
    reason = reasons.known(probe.reason if is_probe else server.status_reason)
    if reason is None:
        return ""
    detail = probe.detail if is_probe else server.status_detail
    return reasons.advice(reason, server.url, name=shlex.quote(server.name), detail=detail)
