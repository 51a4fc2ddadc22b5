"""Events as lines: what happened in words for a person, or one JSON object for a program."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from rich.text import Text

from api.cli.screen import output, terminal, text
from monitor.domain.event import Event, EventType

# Whoever looks on this machine need not be told who else is there.
LOCAL = "local"
SHORT_DIGEST = 12
SIZES = frozenset({"size_bytes", "loaded_size_bytes", "size_vram"})
# Counts edits; a person gains nothing from it.
BOOKKEEPING = frozenset({"row_version", "model_name", "actor"})
# Ollama writes "for good" (keep_alive -1) as a time centuries away.
FOR_GOOD = timedelta(days=3650)
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


def what(event: Event) -> str:
    """Return what a person wants to know of the event, and who did it unless that was somebody on this machine."""
    actor = event.body.get("actor", LOCAL)
    fact = FACTS.get(event.type, _edit)(event)
    return fact + (f"  by {actor}" if actor != LOCAL else "")


def _joined(*parts: object) -> str:
    return "  ".join(str(part) for part in parts if part)


def _model(event: Event) -> str:
    return _joined(event.body.get("model_name"))


def _added(event: Event) -> str:
    return _joined(event.body.get("model_name"), _size(event.body.get("size_bytes")))


def _loaded(event: Event) -> str:
    body = event.body
    return _joined(body.get("model_name"), _memory(body), _until(body.get("expires_at"), at=event.at))


def _edit(event: Event) -> str:
    return _joined(event.body.get("model_name"), _changes(event.body))


def _url(event: Event) -> str:
    return str(event.body.get("url", ""))


def _flapping(_event: Event) -> str:
    return "goes up and down too often, so its changes are held back until it keeps still"


def _suspected(event: Event) -> str:
    return f"{event.body.get('suspect_reason')}: bad answers, and no verdict yet"


def _cleared(event: Event) -> str:
    seconds = event.body.get("lasted_seconds")
    lasted = f", after {seconds:.1f} s" if isinstance(seconds, int | float) else ""
    return f"not suspect any more{lasted}"


def _verdict(event: Event) -> str:
    body = event.body
    latency = body.get("latency_ms")
    time = f" in {latency:.1f} ms" if isinstance(latency, int | float) else ""
    detail = f": {body['detail']}" if body.get("detail") else ""
    return f"was {body.get('from')}; {body.get('reason') or 'by hand'}{time}{detail}"


def _memory(body: Mapping[str, Any]) -> str:
    vram, whole = body.get("size_vram"), body.get("loaded_size_bytes")
    if not isinstance(vram, int):
        return ""
    if not isinstance(whole, int) or vram >= whole:
        return f"{text.size(vram)} in VRAM"
    if not vram:
        return f"{text.size(whole)} on the CPU"
    return f"{text.size(vram)} of {text.size(whole)} in VRAM, the rest on the CPU"


def _until(expires_at: object, *, at: datetime) -> str:
    try:
        until = datetime.fromisoformat(str(expires_at))
    except ValueError:
        return ""
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return "for good" if until - at > FOR_GOOD else f"until {text.local_time(until)}"


def _isolated(event: Event) -> str:
    until = _until(event.body.get("until"), at=event.at) or "for a moment"
    return f"too much fails at once to be true: {_trouble(event)}; verdicts are held {until}"


def _recovered(event: Event) -> str:
    match event.body.get("outage"):
        case True:
            return f"they really were down: {_trouble(event)}"
        case False:
            return f"it was no outage: {_trouble(event)}"
    return f"over: {_trouble(event)}"


def _trouble(event: Event) -> str:
    return f"{event.body.get('servers')} of {event.body.get('of')} servers, {event.body.get('cause')}"


def _changes(body: Mapping[str, Any]) -> str:
    # A status that was forgotten has no reason and no detail any more; that goes without saying.
    told = [(name, value) for name, value in body.items() if value is not None or not name.startswith("status_")]
    return ", ".join(f"{name}={_value(name, value)}" for name, value in told if name not in BOOKKEEPING)


def _value(name: str, value: object) -> str:
    if name == "digest" and isinstance(value, str):
        return value[:SHORT_DIGEST]
    return _size(value) or text.word(value) if name in SIZES else text.word(value)


def _size(value: object) -> str:
    return text.size(value) if isinstance(value, int) else ""


FACTS: dict[EventType, Callable[[Event], str]] = {
    EventType.SERVER_CREATED: _url,
    EventType.SERVER_DELETED: _url,
    EventType.SERVER_UP: _verdict,
    EventType.SERVER_DEGRADED: _verdict,
    EventType.SERVER_DOWN: _verdict,
    EventType.SERVER_FLAPPING: _flapping,
    EventType.SERVER_SUSPECTED: _suspected,
    EventType.SERVER_CLEARED: _cleared,
    EventType.MODEL_ADDED: _added,
    EventType.MODEL_REMOVED: _model,
    EventType.MODEL_LOADED: _loaded,
    EventType.MODEL_UNLOADED: _model,
    EventType.MONITOR_ISOLATED: _isolated,
    EventType.MONITOR_RECOVERED: _recovered,
}


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
        told = text.printable(what(event))
        if not terminal.is_screen():
            output.say(f"{start}{kind}{end}{told}".rstrip())
            return

        columns = Text.assemble(start, (kind, COLOURS.get(event.type, "")), end)
        terminal.console().print(_broken(columns, told, screen=terminal.width()), soft_wrap=True)

    def _server(self, event: Event) -> str:
        if event.server_id is None:
            return text.NOTHING
        return self._names.get(event.server_id) or str(event.server_id)[:SHORT_ID]


def _broken(columns: Text, what: str, *, screen: int) -> Text:
    """Return an event for a screen: what does not fit is indented under WHAT, where that is too narrow under TIME."""
    room = screen - columns.cell_len
    if len(what) <= room:
        return _tidy(columns + what)
    if room >= LEAST_ROOM:
        first, *more = _wrapped(what, room)
        return _tidy(columns + first).append("".join(f"\n{' ' * columns.cell_len}{line}" for line in more))
    lines = _wrapped(what, screen - UNDER_TIME)
    return _tidy(columns).append("".join(f"\n{' ' * UNDER_TIME}{line}" for line in lines))


def _tidy(line: Text) -> Text:
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
