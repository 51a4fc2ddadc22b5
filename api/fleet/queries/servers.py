"""Statements about servers: read them as they are shown, and write what an operator edits."""

from typing import Literal
from uuid import UUID

from monitor.domain import staleness
from monitor.domain.server import Policy
from monitor.postgres.database import Connection, Row, Values
from monitor.postgres.tables import ollama_servers

# When a server is stale, made of `monitor/domain/staleness.py`: by the clock of the database, which also wrote the
# times, so that a dead monitor cannot hide behind its last verdict. $1 and $2 are the interval and the time-out, in
# seconds, of servers that override neither.
FRESH_FROM = "coalesce(last_checked_at, greatest(created_at, updated_at))"
FRESH_FOR = f"""make_interval(
    secs => {staleness.INTERVALS} * coalesce(check_interval_seconds, $1) + coalesce(check_timeout_seconds, $2))"""
STALE = f"(is_active AND {FRESH_FROM} < clock_timestamp() - {FRESH_FOR})"
# In the order of the parameters of INSERT and UPDATE.
EDITABLE = ollama_servers.edited
# Of a credential that there is one, and where it goes, which is no secret.
CREDENTIAL = "auth_type <> 'none' AND auth_config <> '{}' AS auth_configured, auth_config->>'header' AS auth_header"
# What REST shows in other words than the table has.
WORDS = {
    "api": "api <> 'auto' AS api_pinned",
    "api_seen": "api_seen AS api",
    "watch_state": "CASE WHEN is_active AND is_available THEN watch_state END AS watch_state",
}
SHOWN = ", ".join(WORDS.get(column, column) for column in ollama_servers.shown)
VIEW = f"SELECT {SHOWN}, {CREDENTIAL}, {STALE} AS stale FROM ollama_servers"
READ_BY = {column: f"{VIEW} WHERE {column} = $3" for column in ("id", "name", "url")}
READ_PAGE = f"""{VIEW}
WHERE ($3::bool IS NULL OR is_active = $3) AND ($4::bool IS NULL OR is_available = $4)
    AND ($5::text[] IS NULL OR status = ANY ($5)) AND capabilities @> $6::jsonb AND labels @> ALL ($7::jsonb[])
    AND ($8::text IS NULL OR (name, id) > ($8, $9::uuid))
    AND ($11::uuid IS NULL OR id = $11) AND ($12::text IS NULL OR name = $12) AND ($13::text IS NULL OR url = $13)
ORDER BY name, id LIMIT $10
"""
FIND_TAKER = "SELECT id, name, url FROM ollama_servers WHERE CASE $1 WHEN 'name' THEN name ELSE url END = $2"
INSERT = f"""
INSERT INTO ollama_servers (id, {", ".join(EDITABLE)})
VALUES ($1, {", ".join(f"${number}" for number in range(2, len(EDITABLE) + 2))})
"""
UPDATE = f"""
UPDATE ollama_servers SET {", ".join(f"{column} = ${number}" for number, column in enumerate(EDITABLE, 2))}
WHERE id = $1
"""
# In the order of ids, so that two edits that both move the default mark cannot wait for each other.
LOCK = f"""
SELECT id, row_version, {", ".join(EDITABLE)} FROM ollama_servers
WHERE id = $1 OR (is_default AND $2) ORDER BY id FOR NO KEY UPDATE
"""
CLEAR_DEFAULT = "UPDATE ollama_servers SET is_default = false WHERE is_default AND id <> $1"
DELETE = "DELETE FROM ollama_servers WHERE id = $1"


class Servers:
    """Servers as one session sees them; `policy` holds for what a server does not override."""

    def __init__(self, connection: Connection, policy: Policy) -> None:
        self._connection = connection
        self._defaults = (policy.interval.total_seconds(), policy.timeout.total_seconds())

    async def get(self, value: UUID | str, *, by: Literal["id", "name", "url"] = "id") -> Row | None:
        """Read one server by its id, its exact name, or its normalised URL."""
        return await self._connection.fetchrow(READ_BY[by], *self._defaults, value)

    async def page(
        self,
        *,
        is_active: bool | None,
        is_available: bool | None,
        statuses: list[str],
        capabilities: list[str],
        labels: list[dict[str, str]],
        after: tuple[str, UUID] | None,
        limit: int,
        server_id: UUID | None = None,
        server_name: str | None = None,
        url: str | None = None,
    ) -> list[Row]:
        """Read at most `limit` servers that all filters let through, by name, after a name and id."""
        name, after_id = after or (None, None)
        return await self._connection.fetch(
            READ_PAGE,
            *self._defaults,
            is_active,
            is_available,
            statuses or None,
            capabilities,
            labels,
            name,
            after_id,
            limit,
            server_id,
            server_name,
            url,
        )

    async def find_taker(self, field: str, value: str) -> Row | None:
        """Return id, name and URL of the server whose `name` or `url` this is."""
        return await self._connection.fetchrow(FIND_TAKER, field, value)

    async def insert(self, server_id: UUID, values: Values) -> None:
        """Add a server; a new default takes the mark from the previous one."""
        if values["is_default"]:
            await self._connection.fetch(LOCK, server_id, True)
            await self._connection.execute(CLEAR_DEFAULT, server_id)
        await self._connection.execute(INSERT, server_id, *(values[column] for column in EDITABLE))

    async def lock(self, server_id: UUID, *, may_become_default: bool = False) -> Row | None:
        """Return the values and `row_version` of a server that nobody else changes until the end of the transaction.

        One that may become the default locks the one that is, too.
        """
        locked = await self._connection.fetch(LOCK, server_id, may_become_default)
        return next((row for row in locked if row["id"] == server_id), None)

    async def update(self, current: Row, values: Values) -> None:
        """Write the new values of a locked server, unless it has them all."""
        if all(values[column] == current[column] for column in EDITABLE):
            return
        if values["is_default"]:
            await self._connection.execute(CLEAR_DEFAULT, current["id"])
        await self._connection.execute(UPDATE, current["id"], *(values[column] for column in EDITABLE))

    async def delete(self, server_id: UUID) -> None:
        """Delete a server with its models."""
        await self._connection.execute(DELETE, server_id)
