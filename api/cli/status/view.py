"""How the state of the fleet is shown on one screen: a sentence that counts, then each trouble with what to do."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from api.cli.screen import output, text
from api.cli.servers import view as server_view
from api.cli.status.troubles import Overview, Trouble

MOST = 20


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
