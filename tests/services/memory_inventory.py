"""The models of one server, in memory, as the port to the database keeps them."""

import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from monitor.domain import inventory
from monitor.domain.inventory import Difference, KnownModel, ModelId
from monitor.domain.lease import Lease
from monitor.domain.probe import LoadedModel
from monitor.domain.server import Server, ServerId
from tests.services.fakes import MemoryDatabase


class MemoryInventory:
    """Implements `ports.InventoryStore`, for the one server that a test is about."""

    def __init__(self, database: MemoryDatabase, lease: Lease | None = None) -> None:
        """Made for the lease that the database has now, unless told of another one."""
        self._database = database
        self._lease = lease or database.lease
        self.models: list[KnownModel] = []
        self.reads = 0
        self.writes: list[tuple[Difference, bool, dict[str, Any] | None]] = []
        self.residency_writes = 0

    @property
    def active(self) -> set[str]:
        """The names of the models that count as present."""
        return {model.facts.model_name for model in self.models if not model.removed}

    async def known(self, _server_id: ServerId, /) -> list[KnownModel]:
        """Return the models on record."""
        self._database.reach()
        self.reads += 1
        return list(self.models)

    async def write(
        self,
        server: Server,
        difference: Difference,
        /,
        *,
        listed: bool,
        answered_at: datetime | None = None,
        answer: dict[str, Any] | None = None,
    ) -> bool:
        """Apply the difference if the lease still holds, and the server is as it was."""
        if not self._is_wanted(server):
            return False
        self.writes.append((difference, listed, answer if answered_at else None))
        gone = {model.id for model in difference.removed}
        changed = {model.id: inventory.merged(model, sighting) for model, sighting in difference.changed}
        kept = [replace(model, removed=True, loaded=None) if model.id in gone else model for model in self.models]
        self.models = [
            replace(model, facts=changed[model.id][0], source=changed[model.id][1], removed=False)
            if model.id in changed
            else model
            for model in kept
        ]
        names = {model.facts.model_name for model in self.models}
        for new in difference.added:
            if new.facts.model_name in names:
                continue
            self.models.append(KnownModel(id=ModelId(uuid.uuid4()), facts=new.facts, source=new.source))
        return True

    async def write_loaded(self, server: Server, changes: Mapping[ModelId, LoadedModel | None], /) -> bool:
        """Keep what is in memory if the lease still holds, and the server is as it was."""
        if not self._is_wanted(server):
            return False
        self.residency_writes += 1
        self.models = [replace(each, loaded=changes.get(each.id, each.loaded)) for each in self.models]
        return True

    async def forget_loaded(self, server: Server, /) -> bool:
        """Keep that nothing is in memory, as above."""
        if not self._is_wanted(server):
            return False
        self.residency_writes += 1
        self.models = [replace(each, loaded=None) for each in self.models]
        return True

    def _is_wanted(self, server: Server) -> bool:
        self._database.reach()
        return self._database.lease == self._lease and self._database.is_wanted(server.id, server.row_version)
