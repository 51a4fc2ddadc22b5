"""Statements about models: read them as they are shown, and write what an operator says of one."""

from uuid import UUID

from monitor.postgres.database import Connection, Row
from monitor.postgres.tables import ollama_models

# An unchanged listing writes only the server's row, so a listed model was last seen with its server's listing.
LAST_SEEN = "CASE WHEN removed_at IS NULL THEN greatest(last_seen_at, models_listed_at) ELSE last_seen_at END"
# The same as `fleet_is_loaded` in migrations/sql/models.sql, which would be called for each row.
LOADED = """(model.size_vram IS NOT NULL AND coalesce(model.expires_at > clock_timestamp(), true)
    AND server.status <> 'down')"""
WORDS = {
    "last_seen_at": f"{LAST_SEEN} AS last_seen_at",
    **{
        column: f"CASE WHEN {LOADED} THEN model.{column} END AS {column}"
        for column in ("loaded_size_bytes", "size_vram", "expires_at")
    },
}
SHOWN = ", ".join(WORDS.get(column, f"model.{column}") for column in ollama_models.shown)
VIEW = f"""
SELECT {SHOWN}, server.name AS server_name
FROM ollama_models AS model JOIN ollama_servers AS server ON server.id = server_id
"""
READ_ONE = f"{VIEW} WHERE model.id = $1"
READ_OF_SERVER = f"{VIEW} WHERE server_id = $1 AND ($2 OR removed_at IS NULL) ORDER BY model_name"
READ_ALL = f"{VIEW} WHERE $1 OR removed_at IS NULL ORDER BY model_name, server.name"
NAMES = "SELECT id, model_name FROM ollama_models WHERE server_id = $1 ORDER BY removed_at IS NOT NULL"
# One statement and not a read before it: a discovery may be writing the same row. `is_active` follows
# from the marks (a trigger), also for a model that is removed now and may come back.
UPDATE = """
UPDATE ollama_models SET
    name = CASE WHEN $2 THEN coalesce($3, model_name) ELSE name END,
    disabled_at = CASE WHEN $4 THEN CASE WHEN $5 THEN NULL ELSE coalesce(disabled_at, clock_timestamp()) END
                       ELSE disabled_at END,
    capabilities = CASE WHEN $6 THEN $7::jsonb ELSE capabilities END,
    capabilities_source = CASE WHEN $6 THEN $8 ELSE capabilities_source END
WHERE id = $1 AND (
    ($2 AND name <> coalesce($3, model_name)) OR ($4 AND (disabled_at IS NULL) <> $5)
    OR ($6 AND (capabilities <> $7::jsonb OR capabilities_source <> $8)))
"""


async def names(connection: Connection, server_id: UUID) -> list[Row]:
    """Read id and exact name of all models of a server, those that were removed last."""
    return await connection.fetch(NAMES, server_id)


async def of_server(connection: Connection, server_id: UUID, *, removed_too: bool) -> list[Row]:
    """Read the models of one server, by name."""
    return await connection.fetch(READ_OF_SERVER, server_id, removed_too)


async def everywhere(connection: Connection, *, removed_too: bool) -> list[Row]:
    """Read the models of all servers, by name."""
    return await connection.fetch(READ_ALL, removed_too)


async def edit(
    connection: Connection,
    model_id: UUID,
    *,
    name: str | None,
    is_active: bool | None,
    capabilities: list[str] | None,
    given: frozenset[str],
) -> Row | None:
    """Write what the operator says about the fields `given`, and read the model; None when it is gone.

    None as name or capabilities gives back the word to discovery.
    """
    source = "none" if capabilities is None else "operator"
    await connection.execute(
        UPDATE,
        model_id,
        "name" in given,
        name,
        "is_active" in given,
        is_active is not False,
        "capabilities" in given,
        capabilities or [],
        source,
    )
    return await connection.fetchrow(READ_ONE, model_id)
