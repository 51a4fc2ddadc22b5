"""Events and rows made into the directory's servers and models: the same columns, whichever way they come.

An event that does not fit what is known raises `UnfoldableError`; then the fleet has to be read anew.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from monitor.domain import entry
from monitor.domain.directory import Directory
from monitor.domain.entry import Copy, Entry
from monitor.domain.errors import FleetError
from monitor.domain.event import Event, EventType

Columns = Mapping[str, Any]
_Reading = tuple[str, Callable[[Any], Any]]


class UnfoldableError(FleetError):
    """An event tells of something that is not known here."""


def _as_it_is(value: Any) -> Any:
    return value


def _interned(value: str | None) -> str | None:
    return None if value is None else sys.intern(value)


def _tuple(texts: list[str]) -> tuple[str, ...]:
    return entry.shared(tuple(map(sys.intern, texts)))


_KEPT = (
    "name",
    "url",
    "is_active",
    "is_default",
    "is_available",
    "status_detail",
    "priority",
    "max_concurrent",
    "labels",
)
_SERVER: dict[str, _Reading] = {
    **{name: (name, _as_it_is) for name in _KEPT},
    **{name: (name, _interned) for name in ("api_version", "auth_type", "status", "status_reason", "site")},
    "api_seen": ("api", _interned),
    "flapping_since": ("is_flapping", lambda since: since is not None),
    "capabilities": ("capabilities", _tuple),
    "check_interval_seconds": ("interval", _as_it_is),
    "check_timeout_seconds": ("timeout", _as_it_is),
}
_MODEL: dict[str, _Reading] = {
    **{name: (name, _as_it_is) for name in ("is_active", "size_bytes", "loaded_size_bytes", "size_vram")},
    **{name: (name, _interned) for name in ("model_name", "digest", "remote_host")},
    "capabilities": ("capabilities", _tuple),
}
SERVER_COLUMNS, MODEL_COLUMNS = tuple(_SERVER), tuple(_MODEL)
# An edit of these lets no verdict stand, and so no time of a check.
FORGETTING = frozenset(
    {
        "url",
        "api_version",
        "auth_type",
        "auth_configured",
        "is_active",
        "ca_configured",
        "client_cert_configured",
        "tls_server_name",
    }
)
# What is read from the table, since not each change of it is told.
_READ_ONLY = frozenset({EventType.SERVER_SUSPECTED, EventType.SERVER_CLEARED})
_VERDICTS = frozenset({EventType.SERVER_UP, EventType.SERVER_DEGRADED, EventType.SERVER_DOWN})


def add_server(fleet: Directory, server_id: UUID, columns: Columns, *, fresh_from: float, **others: Any) -> None:
    """Take in a server with all its columns that events tell of; `others` are fields that they do not."""
    fleet.put(Entry(id=server_id, fresh_from=fresh_from, **_read(_SERVER, columns), **others))


def add_model(fleet: Directory, server_id: UUID, model_id: UUID, columns: Columns) -> None:
    """Take in a model with all its columns."""
    fleet.put_copy(Copy(id=model_id, server=_server(fleet, server_id), **_read(_MODEL, columns)))


def apply(fleet: Directory, event: Event) -> None:
    """Make the directory what the fleet was after an event; raises `UnfoldableError` and leaves it as it may be."""
    try:
        if event.server_id is None:
            return
        if event.model_id is None:
            _apply_to_server(fleet, event.server_id, event)
        else:
            _apply_to_model(fleet, event.server_id, event.model_id, event)
    except (KeyError, TypeError, ValueError) as error:
        raise UnfoldableError(f"Event {event.seq}, {event.type}, does not fit what is known of the fleet.") from error


def _apply_to_server(fleet: Directory, server_id: UUID, event: Event) -> None:
    if event.type is EventType.SERVER_CREATED:
        add_server(fleet, server_id, event.body, fresh_from=event.at.timestamp())
    elif event.type is EventType.SERVER_DELETED:
        fleet.remove(server_id)
    elif event.type in _VERDICTS:
        verdict = {
            "status": sys.intern(event.body["to"]),
            "status_reason": _interned(event.body["reason"]),
            "status_detail": event.body["detail"],
            "is_available": event.type is not EventType.SERVER_DOWN,
            "fresh_from": event.at.timestamp(),
        }
        fleet.change(_server(fleet, server_id), verdict)
    elif event.type not in _READ_ONLY:
        changes = _read(_SERVER, event.body)
        if not FORGETTING.isdisjoint(event.body):
            changes["fresh_from"] = event.at.timestamp()
        fleet.change(_server(fleet, server_id), changes)


def _apply_to_model(fleet: Directory, server_id: UUID, model_id: UUID, event: Event) -> None:
    if (event.body.get("size_vram") or 0) > 0:
        fleet.change(_server(fleet, server_id), {"vram_seen": True})
    if event.type is EventType.MODEL_ADDED:
        add_model(fleet, server_id, model_id, event.body)
    elif event.type is EventType.MODEL_REMOVED:
        # Its server may be gone before it.
        server = fleet.servers.get(server_id)
        if server is not None:
            fleet.remove_copy(server, model_id)
    else:
        changes = _read(_MODEL, event.body)
        if "size_vram" in changes:
            # Somebody has looked.
            changes["has_expired"] = False
        fleet.change_copy(_server(fleet, server_id).copies[model_id], changes)


def _server(fleet: Directory, server_id: UUID) -> Entry:
    server = fleet.servers.get(server_id)
    if server is None:
        raise UnfoldableError(f"Server {server_id} is not known.")
    return server


def _read(readings: Mapping[str, _Reading], columns: Columns) -> dict[str, Any]:
    return {name: read(columns[column]) for column, (name, read) in readings.items() if column in columns}
