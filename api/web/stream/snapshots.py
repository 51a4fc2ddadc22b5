"""The fleet as of one event number, as messages of a stream; what several ask for at once is read once.

Its messages are `snapshot`, each with some servers or models, and at last `snapshot.end` with the id. So
neither a line nor a client's buffer must hold a big fleet, and a client that is cut off in between begins anew.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel

from api.fleet import views
from api.fleet.queries import whole_fleet
from api.fleet.views import ModelView, ServerView
from api.web.stream import frames
from api.web.stream.frames import Shared
from monitor.domain.server import Policy
from monitor.postgres.database import Database

# So old a snapshot is still given to the next who asks; the changes after it follow anyway.
SHARED_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Messages that tell of the whole fleet, and the event after which the changes follow."""

    seq: int
    generation: int
    pieces: tuple[Shared, ...]


class Piece(BaseModel):
    """A part of the fleet, as REST shows it."""

    seq: int
    servers: list[ServerView]
    models: list[ModelView]


class End(BaseModel):
    """How many of each there were in all pieces together."""

    seq: int
    servers: int
    models: int


class Snapshots:
    """Reads the fleet; one at a time, however many ask."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._turn = asyncio.Lock()
        self._newest: Snapshot | None = None

    async def take(self, server_id: UUID | None, *, generation: int) -> Snapshot:
        """Return the fleet, or one server of it, as it is now."""
        async with self._turn:
            if server_id is not None:
                return await self._read(server_id, generation)
            if self._newest is None or self._newest.generation != generation:
                self._newest = await self._read(None, generation)
                # A big fleet's is many megabytes.
                asyncio.get_running_loop().call_later(SHARED_SECONDS, self._forget)
            return self._newest

    def _forget(self) -> None:
        self._newest = None

    async def _read(self, server_id: UUID | None, generation: int) -> Snapshot:
        pieces: list[bytes] = []
        counts = {"servers": 0, "models": 0}
        async with whole_fleet.shown(self._database, self._policy, server_id=server_id) as fleet:
            async for rows in fleet.servers():
                counts["servers"] += len(rows)
                pieces.append(_piece(fleet.seq, servers=[views.server(row) for row in rows]))
            async for rows in fleet.models():
                counts["models"] += len(rows)
                pieces.append(_piece(fleet.seq, models=[views.model(row) for row in rows]))
        end = End(seq=fleet.seq, **counts).model_dump_json()
        # Also an empty fleet is told of.
        pieces = pieces or [_piece(fleet.seq)]
        pieces.append(frames.message("snapshot.end", end, seq=fleet.seq))
        return Snapshot(seq=fleet.seq, generation=generation, pieces=tuple(map(Shared, pieces)))


def _piece(seq: int, *, servers: list[ServerView] | None = None, models: list[ModelView] | None = None) -> bytes:
    return frames.message("snapshot", Piece(seq=seq, servers=servers or [], models=models or []).model_dump_json())
