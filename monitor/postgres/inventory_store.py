"""Models on record, and the differences that discovery writes."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import asyncpg

from monitor.domain import inventory
from monitor.domain.inventory import CapabilitySource, Difference, KnownModel, ModelId, Sighting
from monitor.domain.lease import Lease
from monitor.domain.probe import ListedModel, LoadedModel
from monitor.domain.server import Server, ServerId
from monitor.postgres.database import Connection, Database

READ = """
SELECT id, model_name, size_bytes, digest, capabilities, capabilities_source, family, parameter_size,
       quantization, context_length, remote_host, removed_at, loaded_size_bytes, size_vram, expires_at
FROM ollama_models WHERE server_id = $1
"""
# Locks the server against deletion and against a second writer, and checks lease and row version.
CLAIM = """
WITH lease AS MATERIALIZED (SELECT WHERE fleet_lease_held($1, $2, $3))
UPDATE ollama_servers AS server SET
    models_listed_at = CASE WHEN $6 THEN clock_timestamp() ELSE models_listed_at END,
    discovery_answered_at = coalesce($7, discovery_answered_at),
    discovery_result = coalesce($8::jsonb, discovery_result)
FROM lease WHERE server.id = $4 AND server.row_version = $5 AND server.is_active
RETURNING server.id
"""
# Tells the triggers that this is not the operator's word.
SIGN = "SELECT set_config('ollama_fleet.writer', 'monitor', true)"
ADD = """
INSERT INTO ollama_models (id, server_id, name, model_name, size_bytes, digest, family, parameter_size,
                           quantization, context_length, remote_host, capabilities, capabilities_source)
VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (server_id, model_name) DO NOTHING
"""
CHANGE = """
UPDATE ollama_models SET size_bytes = $2, digest = $3, family = $4, parameter_size = $5, quantization = $6,
    context_length = $7, remote_host = $8,
    capabilities = CASE WHEN capabilities_source = 'operator' THEN capabilities ELSE $9 END,
    capabilities_source = CASE WHEN capabilities_source = 'operator' THEN 'operator' ELSE $10 END,
    removed_at = NULL, last_seen_at = clock_timestamp()
WHERE id = $1
"""
REMOVE = """
UPDATE ollama_models SET removed_at = clock_timestamp(), loaded_size_bytes = NULL, size_vram = NULL, expires_at = NULL
WHERE id = ANY ($1) AND removed_at IS NULL
"""
FORGET_LOADED = """
UPDATE ollama_models SET loaded_size_bytes = NULL, size_vram = NULL, expires_at = NULL
WHERE server_id = $1 AND size_vram IS NOT NULL
"""
# Of names that a server never gives twice there would be no end. What an operator said of a model is kept.
FORGET_GONE = """
DELETE FROM ollama_models WHERE id IN (
    SELECT id FROM ollama_models WHERE server_id = $1 AND removed_at IS NOT NULL AND disabled_at IS NULL
        AND capabilities_source <> 'operator' AND name = model_name
    ORDER BY removed_at DESC, id OFFSET $2)
"""
MOST_TOMBSTONES = 10_000
SET_LOADED = "UPDATE ollama_models SET loaded_size_bytes = $2, size_vram = $3, expires_at = $4 WHERE id = $1"


class PostgresInventoryStore:
    """Implements `ports.InventoryStore`."""

    def __init__(self, database: Database, lease: Lease) -> None:
        """Nothing is written once the lease is somebody else's."""
        self._database = database
        self._lease = lease

    async def known(self, server_id: ServerId) -> list[KnownModel]:
        """Read all models on record of one server, tombstones too."""
        async with self._database.session() as connection:
            rows = await connection.fetch(READ, server_id)
        return [_known(row) for row in rows]

    async def write(
        self,
        server: Server,
        difference: Difference,
        *,
        listed: bool,
        answered_at: datetime | None = None,
        answer: dict[str, Any] | None = None,
    ) -> bool:
        """Write what a listing changed, and the answer to the request it was for, in one transaction.

        Returns False when nothing was written: the server was edited or deleted meanwhile, or the
        lease is not ours any more.
        """
        async with self._claiming(server, listed, answered_at, answer) as connection:
            if connection is None:
                return False
            if difference.added:
                await connection.executemany(ADD, [_added(server.id, new) for new in difference.added])
            if difference.changed:
                await connection.executemany(CHANGE, [_changed(*change) for change in difference.changed])
            if difference.removed:
                await connection.execute(REMOVE, [record.id for record in difference.removed])
                await connection.execute(FORGET_GONE, server.id, MOST_TOMBSTONES)
        return True

    async def write_loaded(self, server: Server, changes: Mapping[ModelId, LoadedModel | None]) -> bool:
        """Write which models came into memory or left it; returns as `write` does."""
        rows = [
            (model_id, state and state.size_bytes, state and state.size_vram, state and state.expires_at)
            for model_id, state in changes.items()
        ]
        async with self._claiming(server) as connection:
            if connection is not None:
                await connection.executemany(SET_LOADED, rows)
        return connection is not None

    async def forget_loaded(self, server: Server) -> bool:
        """Write that the server has no model in memory; returns as `write` does."""
        async with self._claiming(server) as connection:
            if connection is not None:
                await connection.execute(FORGET_LOADED, server.id)
        return connection is not None

    @asynccontextmanager
    async def _claiming(
        self,
        server: Server,
        listed: bool = False,
        answered_at: datetime | None = None,
        answer: dict[str, Any] | None = None,
    ) -> AsyncIterator[Connection | None]:
        """Lend a session in a transaction that has claimed the server; None where nothing may be written of it."""
        async with self._database.transaction() as connection:
            await connection.execute(SIGN)
            claimed = await connection.fetchval(
                CLAIM, *self._lease.fence, server.id, server.row_version, listed, answered_at, answer
            )
            yield None if claimed is None else connection


def _known(row: asyncpg.Record) -> KnownModel:
    source = CapabilitySource(row["capabilities_source"])
    facts = ListedModel(
        model_name=row["model_name"],
        digest=row["digest"],
        size_bytes=row["size_bytes"],
        family=row["family"],
        parameter_size=row["parameter_size"],
        quantization=row["quantization"],
        context_length=row["context_length"],
        capabilities=None if source is CapabilitySource.NONE else tuple(row["capabilities"]),
        remote_host=row["remote_host"],
    )
    loaded = None
    if row["size_vram"] is not None:
        loaded = LoadedModel(
            model_name=row["model_name"],
            size_bytes=row["loaded_size_bytes"],
            size_vram=row["size_vram"],
            expires_at=row["expires_at"],
        )
    removed = row["removed_at"] is not None
    return KnownModel(id=ModelId(row["id"]), facts=facts, source=source, removed=removed, loaded=loaded)


def _facts(facts: ListedModel, source: CapabilitySource) -> tuple[Any, ...]:
    return (
        facts.size_bytes,
        facts.digest,
        facts.family,
        facts.parameter_size,
        facts.quantization,
        facts.context_length,
        facts.remote_host,
        list(facts.capabilities or ()),
        source.value,
    )


def _added(server_id: ServerId, sighting: Sighting) -> tuple[Any, ...]:
    return (uuid.uuid4(), server_id, sighting.facts.model_name, *_facts(sighting.facts, sighting.source))


def _changed(record: KnownModel, sighting: Sighting) -> tuple[Any, ...]:
    facts, source = inventory.merged(record, sighting)
    return (record.id, *_facts(facts, source))
