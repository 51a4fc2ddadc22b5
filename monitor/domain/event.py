"""Events: facts in the past tense, numbered without gaps in commit order by the database."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

SERVER_CHANNEL = "ollama_servers"
MODEL_CHANNEL = "ollama_models"
# Not for subscribers: wakes monitors for requests and for a lease that has become free.
REQUEST_CHANNEL = "ollama_fleet_requests"
# Not for subscribers: wakes those who choose servers when one has become suspect, or is not any more.
SUSPICION_CHANNEL = "ollama_fleet_suspicions"


class EventType(StrEnum):
    """Every type that `fleet_events.type` can hold (contract section 2)."""

    SERVER_CREATED = "server.created"
    SERVER_UPDATED = "server.updated"
    SERVER_DELETED = "server.deleted"
    SERVER_UP = "server.up"
    SERVER_DEGRADED = "server.degraded"
    SERVER_DOWN = "server.down"
    SERVER_FLAPPING = "server.flapping"
    SERVER_SUSPECTED = "server.suspected"
    SERVER_CLEARED = "server.cleared"
    MODEL_ADDED = "model.added"
    MODEL_CHANGED = "model.changed"
    MODEL_REMOVED = "model.removed"
    MODEL_LOADED = "model.loaded"
    MODEL_UNLOADED = "model.unloaded"
    MONITOR_ISOLATED = "monitor.isolated"
    MONITOR_RECOVERED = "monitor.recovered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcement:
    """An event about the monitor itself, not written yet; `since` is monotonic seconds of this process."""

    type: EventType
    since: float
    body: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of `fleet_events`; `seq` is contiguous and in commit order."""

    seq: int
    type: EventType
    server_id: UUID | None
    model_id: UUID | None
    at: datetime
    body: dict[str, Any]
