"""What a scrape reads: servers, sums of the fleet, and what the monitor at work has counted, at one moment."""

from dataclasses import dataclass
from typing import Any

from api.fleet.queries.models import LOADED
from api.fleet.queries.servers import STALE
from monitor.domain.availability import Status
from monitor.domain.server import Policy
from monitor.postgres.database import Database, Row

SERVERS = f"""
SELECT id, name, status, is_available, suspect_since IS NOT NULL AS suspect, latency_ms,
    extract(epoch FROM tls_expires_at)::float8 AS tls_expires,
    coalesce(models, 0) AS models, {STALE} AS stale
FROM ollama_servers LEFT JOIN (
    SELECT server_id, count(*) AS models FROM ollama_models WHERE is_active GROUP BY server_id) AS model
    ON server_id = id
WHERE is_active ORDER BY name
"""
# What a monitor that is gone has counted is told no more.
SUMS = f"""
SELECT (SELECT count(*) FROM ollama_servers WHERE NOT is_active) AS inactive, model.*,
    (SELECT seq FROM fleet_event_head) AS events,
    (SELECT count(*) FROM monitor_leases WHERE expires_at > clock_timestamp()) AS leases_held,
    (SELECT coalesce(max(epoch), 0) FROM monitor_leases) AS epoch,
    stats.body AS stats, extract(epoch FROM clock_timestamp() - stats.at)::float8 AS stats_age
FROM (
    SELECT count(*) AS models, coalesce(sum(loaded), 0)::bigint AS models_loaded
    FROM (SELECT count(*) FILTER (WHERE {LOADED}) AS loaded
          FROM ollama_models AS model JOIN ollama_servers AS server ON server.id = server_id
          WHERE model.is_active AND server.is_active GROUP BY model_name) AS named) AS model
LEFT JOIN monitor_stats AS stats
    ON EXISTS (SELECT 1 FROM monitor_leases WHERE shard = stats.shard AND expires_at > clock_timestamp())
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetFacts:
    """One look at the fleet. `servers` are the active ones; `stats` is None while no monitor is at work."""

    servers: list[Row]
    by_status: dict[str, int]
    models: int
    models_loaded: int
    events: int
    leases_held: int
    epoch: int
    stats: dict[str, Any] | None
    stats_age: float


async def facts(database: Database, policy: Policy) -> FleetFacts:
    """Read all of it; `policy` holds for what a server does not override."""
    defaults = policy.interval.total_seconds(), policy.timeout.total_seconds()
    async with database.session() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
        servers = await connection.fetch(SERVERS, *defaults)
        sums = dict(await connection.fetchrow(SUMS) or {})
    by_status = {status.value: 0 for status in Status}
    for row in servers:
        by_status[row["status"]] += 1
    by_status["inactive"] = sums.pop("inactive")
    return FleetFacts(servers=servers, by_status=by_status, **sums)
