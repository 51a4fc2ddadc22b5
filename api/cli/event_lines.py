"""Events as lines: one for a person to read, or one JSON object for a program."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from api.cli import output, text
from monitor.domain.event import Event, EventType

SHORT_ID = 8
# Whoever looks on this machine need not be told who else is there.
LOCAL = "local"
STATUS_EVENTS = {EventType.SERVER_UP, EventType.SERVER_DEGRADED, EventType.SERVER_DOWN}
COLOURS = {
    EventType.SERVER_UP: "green",
    EventType.MONITOR_RECOVERED: "green",
    EventType.SERVER_DEGRADED: "yellow",
    EventType.SERVER_FLAPPING: "yellow",
    EventType.MONITOR_ISOLATED: "yellow",
    EventType.SERVER_DOWN: "red",
}
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
        end = f"  {text.printable(self._server(event)):<16}  {text.printable(what(event))}".rstrip()
        if not output.is_decorated():
            output.say(f"{start}{event.type.value:<17}{end}")
            return
        from rich.text import Text  # noqa: PLC0415  (only a terminal needs it)

        kind = (f"{event.type.value:<17}", COLOURS.get(event.type, ""))
        output.console().print(Text.assemble(start, kind, end), soft_wrap=True)

    def _server(self, event: Event) -> str:
        if event.server_id is None:
            return text.NOTHING
        return self._names.get(event.server_id) or str(event.server_id)[:SHORT_ID]


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


def what(event: Event) -> str:
    """Return what a person wants to know of the event, not yet cleaned for a terminal."""
    body = dict(event.body)
    actor = body.pop("actor", LOCAL)
    return _fact(event, body) + (f"  by {actor}" if actor != LOCAL else "")


def _fact(event: Event, body: dict[str, Any]) -> str:
    if event.type is EventType.SERVER_FLAPPING:
        return "goes up and down too often, so its changes are held back until it keeps still"
    if event.type in STATUS_EVENTS:
        return _verdict(body)
    if event.type in {EventType.SERVER_CREATED, EventType.SERVER_DELETED}:
        return str(body.get("url", ""))
    model = body.pop("model_name", None)
    if event.type is EventType.MODEL_ADDED:
        size = body.get("size_bytes")
        return f"{model}  {text.size(size)}" if isinstance(size, int) else str(model)
    if event.type is EventType.MODEL_REMOVED:
        return str(model)
    body.pop("row_version", None)
    changes = ", ".join(f"{name}={text.word(value)}" for name, value in body.items())
    return f"{model}  {changes}" if model else changes


def _verdict(body: dict[str, Any]) -> str:
    latency = body.get("latency_ms")
    time = f" in {latency:.1f} ms" if isinstance(latency, int | float) else ""
    detail = f": {body['detail']}" if body.get("detail") else ""
    return f"was {body.get('from')}; {body.get('reason') or 'by hand'}{time}{detail}"
