"""`ollama-fleet servers history`: what a server was like, in figures, a strip, and its latest changes."""

from collections.abc import Iterator, Sequence

import click

from api.cli import listing, sessions
from api.cli.arguments import json_option, reference_argument
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output, terminal, text
from api.cli.screen.output import Column
from api.fleet.history import HistoryView, SlotView, WindowView
from monitor.domain.uptime import Window

WINDOWS = ("1h", "24h", "7d", "30d")


COLUMNS = (
    Column(title="WINDOW"),
    Column(title="UPTIME", right=True),
    Column(title="KNOWN", right=True),
    Column(title="CHECKS", right=True, spare=3),
    Column(title="P50", right=True, spare=2),
    Column(title="P95", right=True, spare=1),
    Column(title="P99", right=True, spare=4),
)
CHANGES = (
    Column(title="WHEN"),
    Column(title="FROM", coloured=True),
    Column(title="TO", coloured=True),
    Column(title="WHY"),
    Column(title="DETAIL", wraps=True),
)
MOST_CHANGES = 10
# The worst of a mark, worst first; they differ without colour, too.
MARKS = (("down", "x"), ("degraded", "+"), ("up", "="))
NONE_KNOWN = "."
# So that 99.99 % is not rounded to a server that was never down.
ALL_BUT = 99.995
ALL, NEARLY_ALL = "all", 0.999
# Below this share of a window the uptime is no figure of the window.
LITTLE = 0.5


@click.command(cls=Manual, epilog="Example: ollama-fleet servers history gpu-1 --window 7d")
@reference_argument
@click.option("--window", type=click.Choice(WINDOWS), default="24h", show_default=True, help="What the strip shows.")
@json_option
@sessions.coroutine
async def history(invocation: Invocation, /, *, reference: str, window: str, as_json: bool) -> None:
    """Show a server's uptime, latency and changes.

    Uptime is the share of the time that is known, and KNOWN says how much that is: what no monitor saw counts
    neither way.
    """
    async with sessions.fleet(invocation) as fleet:
        server = await listing.one_server(fleet.registry, reference)
        found = await fleet.registry.history(server.id, window=Window(window))
    if as_json:
        output.as_json(found.model_dump(mode="json", by_alias=True))
        return
    output.table(COLUMNS, rows(found), empty="")
    for line in caution(found):
        output.say(line)
    output.say()
    for line in strip(found):
        output.say(line)
    if found.transitions:
        output.say()
        output.table(CHANGES, changes(found), empty="")


def rows(history: HistoryView) -> Iterator[list[str]]:
    """Yield a row for each window."""
    for name, window in history.windows.items():
        latency = window.latency_ms
        times = (None, None, None) if latency is None else (latency.p50, latency.p95, latency.p99)
        yield [
            name,
            _percent(window.uptime),
            _known(name, window),
            str(window.checks),
            *(text.NOTHING if each is None else f"{each:.1f} ms" for each in times),
        ]


def caution(history: HistoryView) -> Iterator[str]:
    """Yield a word of warning where the uptime of the window that is looked at says little yet."""
    window = history.windows[history.window]
    known = _known_seconds(history.window, window)
    if window.uptime is not None and known < Window(history.window).seconds * LITTLE:
        words = f"Only {text.span(known)} of {history.window} are known; the uptime is that of the known time alone."
        yield from output.paragraph("", words)


def strip(history: HistoryView) -> Iterator[str]:
    """Yield the slots, oldest first, and what their marks mean; on a narrow screen a mark stands for several."""
    slots = history.slots
    step = -(-len(slots) // terminal.width()) if terminal.is_screen() else 1
    yield "".join(_mark(slots[start : start + step]) for start in range(0, len(slots), step))
    each = text.span(slots[0].seconds * step)
    yield from output.paragraph("", f"{history.window} up to now, {each} a mark: = up, + degraded, x down, . unknown")


def changes(history: HistoryView) -> Iterator[list[str]]:
    """Yield the cells of the latest changes of status."""
    for change in history.transitions[:MOST_CHANGES]:
        words = (change.from_, change.to, change.reason, change.detail)
        yield [text.local_time(change.at), *(text.word(each) for each in words)]


def _known(name: str, window: WindowView) -> str:
    known, whole = _known_seconds(name, window), Window(name).seconds
    # Of a second or two that a monitor was late nobody needs to be told.
    return ALL if known >= whole * NEARLY_ALL else f"{text.span(known)} of {name}"


def _known_seconds(name: str, window: WindowView) -> float:
    return max(Window(name).seconds - window.unknown_seconds, 0)


def _percent(share: float | None) -> str:
    if share is None:
        return text.NOTHING
    percent = share * 100
    return f"{percent:.2f} %" if percent < ALL_BUT or share == 1 else "99.99 %"


def _mark(slots: Sequence[SlotView]) -> str:
    return next((mark for status, mark in MARKS if any(getattr(slot, status) > 0 for slot in slots)), NONE_KNOWN)
