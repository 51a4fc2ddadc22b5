"""The log of `up` at a terminal: servers that go up or down in a short line, warnings, and nothing else.

A person who started the fleet by hand wants to read the greeting and what happens to the servers. Whoever sets
LOG_LEVEL or LOG_FORMAT gets the log that these ask for, and so do a pipe, a file and the journal.
"""

from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any

import structlog

from api.cli.screen import text
from monitor import logs
from monitor.settings import LogFormat, LogLevel, Settings

EventDict = MutableMapping[str, Any]

ABOUT = "  Log        warnings, and servers that go up or down; OLLAMA_FLEET_LOG_LEVEL=info shows all of it\n"
QUIET = frozenset({"debug", "info"})
ASKED_FOR = frozenset({"log_level", "log_format"})


def _status(line: EventDict) -> str:
    said = ": ".join(str(part) for part in (line["reason"], line["detail"]) if part)
    return f"{line['server']} is {line['status']}, was {line['before']}; {said}"


def _flapping(line: EventDict) -> str:
    if line["flapping"]:
        return f"{line['server']} goes up and down too often, so its changes are held back until it keeps still"
    return f"{line['server']} keeps still again"


# What is told although it is no warning.
TOLD: dict[str, Callable[[EventDict], str]] = {
    "server_status": _status,
    "server_flapping": _flapping,
    "api_stopping": lambda _: "stopping",
}


def is_wanted(settings: Settings) -> bool:
    """Whether a person looks on who asked for no other log."""
    return logs.is_watched() and ASKED_FOR.isdisjoint(settings.model_fields_set)


def configure() -> None:
    """Set the log of this process up so."""
    logs.configure(LogFormat.TEXT, LogLevel.INFO)
    *processors, renderer = structlog.get_config()["processors"]
    structlog.configure(processors=[_leave_out, *processors, _Renderer(renderer)])


def _leave_out(_logger: Any, method: str, line: EventDict) -> EventDict:
    if method in QUIET and line["event"] not in TOLD:
        raise structlog.DropEvent
    return line


class _Renderer:
    def __init__(self, otherwise: structlog.typing.Processor) -> None:
        self._otherwise = otherwise

    def __call__(self, logger: Any, method: str, line: EventDict) -> Any:
        tell = TOLD.get(line["event"])
        if tell is None:
            return self._otherwise(logger, method, line)
        return f"{text.local_time(datetime.now(UTC))}  {text.printable(tell(line))}"
