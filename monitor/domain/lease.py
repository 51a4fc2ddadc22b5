"""The right to check the fleet, and the number that tells a stale holder from the present one."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`epoch` grows each time the lease changes hands; every write of results names it."""

    owner: UUID
    epoch: int
