"""The right to check a part of the fleet, and the number that tells a stale holder from the present one."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`epoch` grows each time the lease of a shard changes hands; every write of results names it."""

    shard: int
    owner: UUID
    epoch: int

    @property
    def fence(self) -> tuple[int, UUID, int]:
        """What the database's `fleet_lease_held` is asked with, in its order."""
        return self.shard, self.owner, self.epoch
