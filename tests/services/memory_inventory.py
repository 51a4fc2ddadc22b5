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
    """Implements `ports.InventoryStore` for one server."""

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
        _server: Server,
        difference: Difference,
        /,
        *,
        listed: bool,
        answered_at: datetime | None = None,
        answer: dict[str, Any] | None = None,
    ) -> bool:
        """Apply the difference if the lease still holds."""
        self._database.reach()
        if self._database.lease != self._lease:
            return False
        self.writes.append((difference, listed, answer if answered_at else None))
        gone = {model.id for model in difference.removed}
        changed = {model.id: inventory.merged(model, sighting) for model, sighting in difference.changed}
        kept = [replace(model, removed=model.removed or model.id in gone) for model in self.models]
        self.models = [
            replace(model, facts=changed[model.id][0], source=changed[model.id][1], removed=False)
            if model.id in changed
            else model
            for model in kept
        ]
        for new in difference.added:
            self.models.append(KnownModel(id=ModelId(uuid.uuid4()), facts=new.facts, source=new.source))
        return True

    async def write_loaded(self, _server: Server, changes: Mapping[ModelId, LoadedModel | None], /) -> bool:
        """Keep what is in memory if the lease still holds."""
        self._database.reach()
        if self._database.lease != self._lease:
            return False
        self.residency_writes += 1
        self.models = [replace(each, loaded=changes.get(each.id, each.loaded)) for each in self.models]
        return True
