"""What a test asks the tables while a daemon works."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from monitor.postgres.database import Connection
from tests import fold

Eventually = Callable[..., Awaitable[None]]
ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, $2) RETURNING id"


class Observer:
    """Adds servers by plain SQL and waits for what the tables come to say."""

    def __init__(self, connection: Connection, eventually: Eventually) -> None:
        self.connection = connection
        self._eventually = eventually

    async def add(self, url: str, name: str = "gpu-1") -> uuid.UUID:
        """Register a server as an operator with `psql` would; return its id."""
        server_id: uuid.UUID = await self.connection.fetchval(ADD, name, url)
        return server_id

    async def value(self, statement: str, *arguments: Any) -> Any:
        """Return the one value that a statement yields."""
        return await self.connection.fetchval(statement, *arguments)

    async def until(self, statement: str, *arguments: Any, within: float = 15.0) -> None:
        """Wait until a statement yields true."""

        async def holds() -> object:
            return await self.connection.fetchval(statement, *arguments)

        await self._eventually(holds, within=within, what=f"{statement} {arguments}")

    async def until_true(self, condition: Callable[[], Awaitable[object]], *, within: float = 15.0) -> None:
        """Wait until something outside the tables holds."""
        await self._eventually(condition, within=within)

    async def until_status(self, server_id: uuid.UUID, status: str, *, within: float = 15.0) -> None:
        """Wait until a server has a status."""
        await self.until("SELECT status = $2 FROM ollama_servers WHERE id = $1", server_id, status, within=within)

    async def types(self, server_id: uuid.UUID) -> list[str]:
        """Return the types of a server's own events, in order."""
        rows = await self.connection.fetch(
            "SELECT type FROM fleet_events WHERE server_id = $1 AND model_id IS NULL ORDER BY seq", server_id
        )
        return [row["type"] for row in rows]

    async def check_history(self) -> None:
        """Fail unless the events are in order, without a gap, and tell what the tables say."""
        events = await fold.read_events(self.connection)
        fold.check_invariants(events)
        assert fold.fold(events) == await fold.table_state(self.connection)
