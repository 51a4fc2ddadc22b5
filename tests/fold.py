"""The fleet rebuilt from its events alone, and the invariants that every recorded history must keep.

After quiet `fold(events) == await table_state(connection)` holds for a log read from number 1 on. Left out on
both sides is what makes no event: times of checks and requests, latencies, a model's `expires_at`, tombstones.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from monitor.domain.event import Event, EventType
from monitor.postgres import tables
from monitor.postgres.database import Connection

Row = dict[str, Any]

STATUS_TYPES = frozenset({EventType.SERVER_UP, EventType.SERVER_DEGRADED, EventType.SERVER_DOWN})
# Not each suspicion is told, but whether one is told now.
_SILENT_OF_SERVERS = [column for column in tables.ollama_servers.silent if column != "suspicion_told"]
_SILENT_OF_MODELS = list(tables.ollama_models.silent)
# In events alone: whether there is a credential, who made the change; and a time that an event tells only at loading.
_SILENT_OF_EVENTS = frozenset({"expires_at", "auth_configured", "ca_configured", "client_cert_configured", "actor"})
_TIMES = ("created_at", "flapping_since", "restarted_at", "first_seen_at", "disabled_at", "removed_at")
_SERVERS = "SELECT (to_jsonb(server) - $1::text[])::text FROM ollama_servers AS server"
_MODELS = "SELECT (to_jsonb(model) - $1::text[])::text FROM ollama_models AS model WHERE removed_at IS NULL"
_EVENTS = "SELECT seq, type, server_id, model_id, at, body::text FROM fleet_events WHERE seq > $1 ORDER BY seq"


@dataclass(slots=True)
class State:
    """Servers and models by their ids, each as the fields that an event can tell of."""

    servers: dict[UUID, Row] = field(default_factory=dict)
    models: dict[UUID, Row] = field(default_factory=dict)


def fold(events: Iterable[Event]) -> State:
    """Rebuild servers and models from their events, from the first one on."""
    state = State()
    for event in events:
        if event.model_id is not None:
            _apply_to_models(state.models, event.model_id, event)
        elif event.server_id is not None:
            _apply_to_servers(state, event.server_id, event)
    return state


def _apply_to_servers(state: State, server_id: UUID, event: Event) -> None:
    match event.type:
        case EventType.SERVER_CREATED:
            state.servers[server_id] = {**_comparable(event.body), "suspicion_told": False}
        case EventType.SERVER_SUSPECTED | EventType.SERVER_CLEARED:
            state.servers[server_id]["suspicion_told"] = event.type is EventType.SERVER_SUSPECTED
        case EventType.SERVER_DELETED:
            del state.servers[server_id]
        case EventType.SERVER_UPDATED | EventType.SERVER_FLAPPING:
            state.servers[server_id] |= _comparable(event.body)
        case _:
            state.servers[server_id] |= {
                "status": event.body["to"],
                "status_reason": event.body["reason"],
                "status_detail": event.body["detail"],
                "is_available": event.body["to"] in {"up", "degraded"},
            }
            if event.type is EventType.SERVER_DOWN:
                state.servers[server_id]["suspicion_told"] = False


def _apply_to_models(models: dict[UUID, Row], model_id: UUID, event: Event) -> None:
    match event.type:
        case EventType.MODEL_ADDED:
            models[model_id] = _comparable(event.body)
        case EventType.MODEL_REMOVED:
            del models[model_id]
        case _:
            models[model_id] |= _comparable(event.body)


def _comparable(body: Row) -> Row:
    """A body or row without what only one of the two sides has, and with times that no time zone tells apart."""
    kept = {key: value for key, value in body.items() if key not in _SILENT_OF_EVENTS}
    for key in _TIMES:
        if kept.get(key) is not None:
            kept[key] = datetime.fromisoformat(kept[key])
    return kept


async def table_state(connection: Connection) -> State:
    """Read from the tables what `fold` makes of the events."""
    servers = [_row(text) for (text,) in await connection.fetch(_SERVERS, _SILENT_OF_SERVERS)]
    models = [_row(text) for (text,) in await connection.fetch(_MODELS, _SILENT_OF_MODELS)]
    return State(
        servers={UUID(row["id"]): row for row in servers},
        models={UUID(row["id"]): row for row in models},
    )


def _row(text: str) -> Row:
    return _comparable(json.loads(text))


async def read_events(connection: Connection, after: int = 0) -> list[Event]:
    """Read all events after a number, over any session, whatever it makes of jsonb."""
    rows = await connection.fetch(_EVENTS, after)
    return [
        Event(
            seq=row["seq"],
            type=EventType(row["type"]),
            server_id=row["server_id"],
            model_id=row["model_id"],
            at=row["at"],
            body=json.loads(row["body"]),
        )
        for row in rows
    ]


def check_invariants(events: Iterable[Event]) -> None:
    """Fail unless the numbers are contiguous and each status event begins where the server's last one ended.

    The history may begin anywhere; of a server whose beginning it lacks the first status is believed. A deleted
    server has no further event of its own, and a model is added before and not after anything else of it.
    """
    statuses: dict[UUID, str | None] = {}
    models: dict[UUID, bool] = {}
    last: int | None = None
    for event in events:
        assert last is None or event.seq == last + 1, f"{event.seq} follows {last}"
        last = event.seq
        if event.model_id is not None:
            _check_model(models, event.model_id, event)
        elif event.server_id is not None:
            _check_server(statuses, event.server_id, event)


def _check_server(statuses: dict[UUID, str | None], server_id: UUID, event: Event) -> None:
    """`statuses` holds the last status told of each server, and None for a deleted one."""
    if event.type is EventType.SERVER_CREATED:
        assert statuses.get(server_id) is None, f"{event} is about a server that was there"
        statuses[server_id] = event.body["status"]
        return
    assert statuses.get(server_id, "") is not None, f"{event} is about a server that was deleted"
    if event.type is EventType.SERVER_DELETED:
        statuses[server_id] = None
    elif event.type is EventType.SERVER_UPDATED and "status" in event.body:
        statuses[server_id] = event.body["status"]
    elif event.type in STATUS_TYPES:
        before, after = event.body["from"], event.body["to"]
        assert before == statuses.get(server_id, before), f"{event} does not follow from {statuses[server_id]}"
        assert before != after, f"{event} changes nothing"
        assert event.type == f"server.{after}", f"{event} is not of the type of its status"
        statuses[server_id] = after


def _check_model(models: dict[UUID, bool], model_id: UUID, event: Event) -> None:
    """`models` says of each model that the history told of whether it is there."""
    if event.type is EventType.MODEL_ADDED:
        assert not models.get(model_id, False), f"{event} is about a model that was there"
    else:
        assert models.get(model_id, True), f"{event} is about a model that was not there"
    models[model_id] = event.type is not EventType.MODEL_REMOVED
