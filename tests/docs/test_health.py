"""The page of health: its queries run as written, with the rights of a subscriber."""

import re

import asyncpg

from monitor.domain import latency, timeline
from monitor.domain.timeline import TICKS
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from tests.docs import pages
from tests.examples import subscriber

ADD_DAY = """
WITH server AS (INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna') RETURNING id)
INSERT INTO server_history (server_id, span, start_at, timeline, good, bad, latencies, medians)
SELECT id, 86400, date_trunc('day', now()) - interval '2 days', $1, 10, 0, $2, '' FROM server
"""
ADD_LOADED = """
INSERT INTO ollama_models (server_id, name, model_name, size_vram) SELECT id, 'm', 'm:1b', 7 FROM ollama_servers
"""
ROLE = "reader_of_history"


async def test_the_queries_tell_what_is_in_memory_and_how_much_of_each_day_a_server_was_up(
    dsn: str, connection: Connection, postgres: EmbeddedServer
) -> None:
    # Ten minutes are known, and the server was down in the last one.
    known = timeline.encode([(0, 540 * TICKS, 0), (540 * TICKS, 600 * TICKS, 2)], 0)
    await connection.execute(ADD_DAY, known, latency.encode({latency.bucket(2.0): 10}))
    await connection.execute(ADD_LOADED)
    loaded, query = re.findall(r"```sql\n(.*?)```", pages.text("health.md"), re.DOTALL)
    await subscriber.grant(postgres, dsn, role=ROLE)
    session: Connection = await asyncpg.connect(dsn, user=ROLE)
    try:
        (model,) = await session.fetch(loaded)
        (row,) = await session.fetch(query)
    finally:
        await session.close()
        await connection.execute(f"DROP OWNED BY {ROLE}; DROP ROLE {ROLE}")

    assert model["model_name"] == "m:1b"
    assert (row["name"], row["uptime_percent"]) == ("anna", 90.0)
    assert 1.9 < row["worst_p95_ms"] < 2.1
