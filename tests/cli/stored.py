"""What the database holds of the servers' credentials, opened with the key ring of the commands."""

import json
from typing import Any

import asyncpg

from monitor.credentials import sealing
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import Sealed
from monitor.postgres.database import Connection

ROWS = "SELECT id, url, auth_type, auth_config::text AS auth_config FROM ollama_servers ORDER BY name"


async def stored(connection: Connection, ring: KeyRingFile) -> list[Any]:
    """Open what the database holds, by the names of the servers."""
    return [
        sealing.unseal(
            Sealed(
                server_id=row["id"],
                url=row["url"],
                auth_type=row["auth_type"],
                auth_config=json.loads(row["auth_config"]),
            ),
            find_key=ring.read()[0].get,
        )
        for row in await connection.fetch(ROWS)
    ]


async def stored_at(dsn: str, ring: KeyRingFile) -> list[Any]:
    """The same, on a session of its own."""
    connection: Connection = await asyncpg.connect(dsn)
    try:
        return await stored(connection, ring)
    finally:
        await connection.close()
