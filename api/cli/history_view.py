"""How history is shown to a person: a row a window, the slots as a strip, the latest changes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from api.cli import text
from api.cli.output import Column

if TYPE_CHECKING:
    from api.history_views import HistoryView, SlotView

COLUMNS = (
    Column(title="WINDOW"),
    Column(title="UPTIME", right=True),
    Column(title="UNKNOWN", right=True),
    Column(title="CHECKS", right=True),
    Column(title="P50", right=True),
    Column(title="P95", right=True),
    Column(title="P99", right=True),
)
CHANGES = (
    Column(title="WHEN"),
    Column(title="FROM", coloured=True),
    Column(title="TO", coloured=True),
    Column(title="WHY"),
    Column(title="DETAIL", wraps=True),
)
MOST_CHANGES = 10
# The worst of a slot, worst first; they differ without colour, too.
MARKS = (("down", "x"), ("degraded", "+"), ("up", "="))
NONE_KNOWN = "."
# So that 99.99 % is not rounded to a server that was never down.
ALL_BUT = 99.995


def rows(history: "HistoryView") -> Iterator[list[str]]:
    """Yield a row for each window."""
    for name, window in history.windows.items():
        latency = window.latency_ms
        times = (None, None, None) if latency is None else (latency.p50, latency.p95, latency.p99)
        yield [
            name,
            _percent(window.uptime),
            text.span(window.unknown_seconds),
            str(window.checks),
            *(text.NOTHING if each is None else f"{each:.1f} ms" for each in times),
        ]


def strip(history: "HistoryView") -> Iterator[str]:
    """Yield the slots, oldest first, and what their marks mean."""
    yield "".join(_mark(slot) for slot in history.slots)
    each = text.span(history.slots[0].seconds)
    yield f"{history.window} up to now, {each} a mark: = up, + degraded, x down, . unknown"


def changes(history: "HistoryView") -> Iterator[list[str]]:
    """Yield the cells of the latest changes of status."""
    for change in history.transitions[:MOST_CHANGES]:
        words = (change.from_, change.to, change.reason, change.detail)
        yield [text.local_time(change.at), *(text.word(each) for each in words)]


def _percent(share: float | None) -> str:
    if share is None:
        return text.NOTHING
    percent = share * 100
    return f"{percent:.2f} %" if percent < ALL_BUT or share == 1 else "99.99 %"


def _mark(slot: "SlotView") -> str:
    return next((mark for status, mark in MARKS if getattr(slot, status) > 0), NONE_KNOWN)
