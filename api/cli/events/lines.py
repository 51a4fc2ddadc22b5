"""Events as lines: one for a person to read, or one JSON object for a program."""

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from api.cli.events import facts
from api.cli.screen import output, terminal, text
from monitor.domain.event import Event, EventType

if TYPE_CHECKING:
    from rich.text import Text

SHORT_ID = 8
COLOURS = {
    EventType.SERVER_UP: "green",
    EventType.SERVER_CLEARED: "green",
    EventType.MONITOR_RECOVERED: "green",
    EventType.SERVER_DEGRADED: "yellow",
    EventType.SERVER_FLAPPING: "yellow",
    EventType.SERVER_SUSPECTED: "yellow",
    EventType.MONITOR_ISOLATED: "yellow",
    EventType.SERVER_DOWN: "red",
}
UNDER_TIME = 10
LEAST_ROOM = 30
HEADING = f"{'SEQ':>8}  {'TIME':<19}  {'TYPE':<17}  {'SERVER':<16}  WHAT"


class EventPrinter:
    """Prints events as they come; learns the names of servers from them."""

    def __init__(self, *, as_json: bool, names: dict[UUID, str]) -> None:
        self._as_json = as_json
        self._names = names
        self.printed = 0

    def show(self, events: Iterable[Event]) -> None:
        """Print each event, on a line of its own."""
        for event in events:
            if self._as_json:
                output.say(text.to_json(document(event), indent=None))
            else:
                if not self.printed:
                    output.say(HEADING)
                self._learn(event)
                self._print_line(event)
            self.printed += 1

    def _learn(self, event: Event) -> None:
        name = event.body.get("name")
        if event.server_id is not None and event.type.value.startswith("server.") and isinstance(name, str):
            self._names[event.server_id] = name

    def _print_line(self, event: Event) -> None:
        start = f"{event.seq:>8}  {text.local_time(event.at)}  "
        kind = f"{event.type.value:<17}"
        end = f"  {text.printable(self._server(event)):<16}  "
        what = text.printable(facts.what(event))
        if not terminal.is_screen():
            output.say(f"{start}{kind}{end}{what}".rstrip())
            return
        from rich.text import Text  # noqa: PLC0415  (only a terminal needs it)

        columns = Text.assemble(start, (kind, COLOURS.get(event.type, "")), end)
        terminal.console().print(_broken(columns, what, screen=terminal.width()), soft_wrap=True)

    def _server(self, event: Event) -> str:
        if event.server_id is None:
            return text.NOTHING
        return self._names.get(event.server_id) or str(event.server_id)[:SHORT_ID]


def _broken(columns: "Text", what: str, *, screen: int) -> "Text":
    """Return an event for a screen: what does not fit is indented under WHAT, where that is too narrow under TIME."""
    room = screen - columns.cell_len
    if len(what) <= room:
        return _tidy(columns + what)
    if room >= LEAST_ROOM:
        first, *more = _wrapped(what, room)
        return _tidy(columns + first).append("".join(f"\n{' ' * columns.cell_len}{line}" for line in more))
    lines = _wrapped(what, screen - UNDER_TIME)
    return _tidy(columns).append("".join(f"\n{' ' * UNDER_TIME}{line}" for line in lines))


def _tidy(line: "Text") -> "Text":
    line.rstrip()
    return line


def _wrapped(what: str, width: int) -> list[str]:
    # A long word, such as a URL, stays whole, so that it can be copied.
    return textwrap.wrap(what, width=max(width, 1), break_long_words=False, break_on_hyphens=False)


def document(event: Event) -> dict[str, Any]:
    """Return an event as the API shows it."""
    return {
        "seq": event.seq,
        "type": event.type.value,
        "server_id": event.server_id,
        "model_id": event.model_id,
        "at": event.at,
        "body": event.body,
    }
