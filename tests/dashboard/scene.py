"""A fleet of any size, painted into the tables: servers in every state, and their models."""

import random
from uuid import UUID

from monitor.postgres.database import Connection

GB = 1_000_000_000
MODELS = {
    "llama3.2:3b": 2.0,
    "qwen3:8b": 5.2,
    "gemma3:12b": 8.1,
    "gpt-oss:20b": 13.8,
    "nomic-embed-text:latest": 0.3,
    "hf.co/acme/tiny-GGUF:Q4_K_M": 0.7,
}
FALLEN = {
    3: ("down", "refused", "Nothing listens on the port."),
    7: ("down", "connect_timeout", "No connection was made in 5 s."),
    5: ("degraded", "busy", "It answered 429."),
}
ADD_SERVER = """
INSERT INTO ollama_servers (name, url, is_default, max_concurrent) VALUES ($1, $2, $3, $4) RETURNING id
"""
CHECKED = """
UPDATE ollama_servers SET status = 'up', status_reason = 'ok', is_available = true, server_version = '0.12.6',
    latency_ms = $2, last_checked_at = now(), next_check_at = now() + interval '15 s', models_listed_at = now()
WHERE id = $1
"""
FELL = """
UPDATE ollama_servers SET status = $2, status_reason = $3, status_detail = $4, is_available = $2 = 'degraded',
    latency_ms = NULL
WHERE id = $1
"""
SOME_TIME_AGO = """
UPDATE ollama_servers SET status_changed_at = now() - $2 * interval '1 min' WHERE id = $1
"""
ADD_MODEL = """
INSERT INTO ollama_models (server_id, name, model_name, size_bytes, loaded_size_bytes, size_vram)
VALUES ($1, $2, $2, $3, $4, $5)
"""


async def paint(psql: Connection, count: int) -> list[UUID]:
    """Write the servers and their models; the same ones each time."""
    chance = random.Random(count)
    ids = []
    async with psql.transaction():
        for number in range(count):
            address = f"http://10.0.{number // 250}.{number % 250 + 1}:11434"
            slots = chance.choice([1, 2, 4])
            server_id = await psql.fetchval(ADD_SERVER, f"gpu-{number + 1}", address, number == 0, slots)
            await psql.execute(CHECKED, server_id, round(chance.uniform(0.4, 9), 1))
            for name in chance.sample(sorted(MODELS), 3):
                await psql.execute(ADD_MODEL, server_id, name, *_sizes(chance, MODELS[name]))
            if number in FALLEN:
                await psql.execute(FELL, server_id, *FALLEN[number])
            await psql.execute(
                SOME_TIME_AGO, server_id, 4 + 6 * number if number in FALLEN else chance.randint(200, 9000)
            )
            ids.append(server_id)
    return ids


def _sizes(chance: random.Random, gigabytes: float) -> tuple[int, int | None, int | None]:
    """On disk, and for one model in three in memory and of that in the memory of the GPU."""
    size = int(gigabytes * GB)
    if chance.random() > 0.35:
        return size, None, None
    needed = int(size * 1.2)
    return size, needed, int(needed * chance.choice([1, 1, 0.62]))
