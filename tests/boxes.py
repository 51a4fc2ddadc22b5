"""Small fleets for tests of resolution, written down once and made in memory or in the tables."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from monitor.domain import folding
from monitor.domain.directory import Directory
from monitor.postgres.database import Connection

NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)
UP = {"status": "up", "is_available": True}
DOWN = {"status": "down", "status_reason": "refused", "is_available": False}
OFF = {"is_active": False}
SUSPECT = {"suspect_since": NOW, "suspect_reason": "timeout"}
LOADED = {"size_vram": 1000, "loaded_size_bytes": 1000}
CLOUD = {"remote_host": "https://ollama.com:443"}
Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Has:
    """A model of a server in the table."""

    name: str
    fields: Fields = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Box:
    """A server in the table; its URL is http://NAME:11434 unless it says another one."""

    name: str
    fields: Fields = field(default_factory=dict)
    has: tuple[Has, ...] = ()

    @property
    def url(self) -> str:
        """Its URL as it is stored."""
        return str(self.fields.get("url", f"http://{self.name}:11434"))


_SERVER = {
    "api_version": "v1",
    "auth_type": "none",
    "is_active": True,
    "is_default": False,
    "is_available": False,
    "status": "unknown",
    "status_reason": None,
    "status_detail": None,
    "flapping_since": None,
    "priority": 0,
    "max_concurrent": 4,
    "capabilities": [],
    "labels": {},
    "site": None,
    "api_seen": None,
    "check_interval_seconds": None,
    "check_timeout_seconds": None,
}
_MODEL = {
    "is_active": True,
    "capabilities": [],
    "size_bytes": None,
    "digest": None,
    "remote_host": None,
    "loaded_size_bytes": None,
    "size_vram": None,
}
_WRITE_SERVER = """
INSERT INTO ollama_servers SELECT (jsonb_populate_record(NULL::ollama_servers, to_jsonb(blank) || $1::text::jsonb)).*
FROM (SELECT gen_random_uuid() AS id, now() AS created_at, now() AS updated_at, 1 AS row_version,
             '{}'::jsonb AS auth_config, 'auto' AS api, true AS connection_watch, false AS suspicion_told,
             $2::bool AS vram_seen) AS blank
RETURNING id
"""
_WRITE_MODEL = """
INSERT INTO ollama_models SELECT (jsonb_populate_record(NULL::ollama_models, to_jsonb(blank) || $1::text::jsonb)).*
FROM (SELECT gen_random_uuid() AS id, now() AS first_seen_at, now() AS last_seen_at, 'none' AS capabilities_source)
    AS blank
"""


def server_columns(box: Box) -> dict[str, Any]:
    """Return all columns of a server that the resolver looks at."""
    return {**_SERVER, "name": box.name, "url": box.url, **box.fields}


def model_columns(model: Has) -> dict[str, Any]:
    """Return all columns of a model that the resolver looks at."""
    return {**_MODEL, "model_name": model.name, **model.fields}


def vram_seen(box: Box) -> bool:
    """Return whether the server would be known to have VRAM."""
    return any(model.fields.get("size_vram", 0) > 0 for model in box.has)


def directory(boxes: tuple[Box, ...]) -> Directory:
    """Return the fleet in memory."""
    fleet = Directory()
    for box in boxes:
        server_id = uuid.uuid5(uuid.NAMESPACE_DNS, box.name)
        others = {"suspect_reason": box.fields.get("suspect_reason"), "vram_seen": vram_seen(box)}
        folding.add_server(fleet, server_id, server_columns(box), fresh_from=NOW.timestamp(), **others)
        for model in box.has:
            model_id = uuid.uuid5(server_id, model.name)
            folding.add_model(fleet, server_id, model_id, model_columns(model))
    return fleet


async def write(connection: Connection, boxes: tuple[Box, ...]) -> int:
    """Write the fleet into empty tables; return the number of the last event."""
    await connection.execute("DELETE FROM ollama_servers")
    for box in boxes:
        columns = server_columns(box)
        server_id = await connection.fetchval(_WRITE_SERVER, _json(columns), vram_seen(box))
        for model in box.has:
            columns = {"server_id": str(server_id), "name": model.name, **model_columns(model)}
            await connection.execute(_WRITE_MODEL, _json(columns))
    seq: int = await connection.fetchval("SELECT seq FROM fleet_event_head")
    return seq


def _json(columns: Fields) -> str:
    return json.dumps(columns, default=str)
