"""A stand-in for the monitor: holds the lease, and answers requests as the monitor would, by SQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from monitor.postgres.database import Connection

HOLD_LEASE = "UPDATE monitor_leases SET owner = gen_random_uuid(), expires_at = clock_timestamp() + interval '1 minute'"
SAY = """
SELECT fleet_monitor_event($1, $2::text::jsonb, $3::float8 * interval '1 s', shard, owner, epoch)
FROM monitor_leases
"""
SILENCE = {"cause": "timeout", "servers": 3, "of": 4, "hold_seconds": 30}
ANSWER_CHECKS = """
UPDATE ollama_servers SET check_answered_at = check_requested_at, check_result = $1, status = 'up',
    status_reason = 'ok', last_checked_at = clock_timestamp()
WHERE check_requested_at > coalesce(check_answered_at, '-infinity')
"""
ANSWER_DISCOVERIES = """
UPDATE ollama_servers SET discovery_answered_at = discovery_requested_at, discovery_result = $1
WHERE discovery_requested_at > coalesce(discovery_answered_at, '-infinity')
"""


@asynccontextmanager
async def at_work(
    connection: Connection, *, check: dict[str, Any] | None = None, discovery: dict[str, Any] | None = None
) -> AsyncIterator[None]:
    """Hold the lease; answer requests of a kind that has an answer, and leave the others standing."""
    await connection.execute(HOLD_LEASE)

    async def answer() -> None:
        while True:
            if check is not None:
                await connection.execute(ANSWER_CHECKS, check)
            if discovery is not None:
                await connection.execute(ANSWER_DISCOVERIES, discovery)
            await asyncio.sleep(0.02)

    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def say(
    connection: Connection, kind: str, body: dict[str, Any] = SILENCE, *, since_seconds: float = 1, **more: Any
) -> None:
    """Have the monitor that holds the lease tell of itself what has been so for some seconds."""
    assert await connection.fetchval(SAY, kind, json.dumps({**body, **more}), since_seconds)
