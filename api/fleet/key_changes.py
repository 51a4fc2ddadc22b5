"""Changes of the key ring, so made that whatever is killed at any moment leaves every credential readable.

A key is in the file before any row uses it, and leaves the file only when no row uses it any more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring import KeyRing
from monitor.credentials.vault import Vault
from monitor.postgres import credential_store
from monitor.postgres.database import Database

Tell = Callable[[int, int], None]


@dataclass(slots=True, kw_only=True)
class Rotation:
    """What a rotation did; `key_id` seals now, and `unopened` are the servers whose credentials no key opens."""

    key_id: str
    is_new: bool
    resealed: int = 0
    unopened: list[UUID] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyUse:
    """One key: whether it is in the ring, and how many credentials it has sealed."""

    key_id: str
    made_at: datetime | None
    seals: bool
    is_missing: bool
    credentials: int


async def rotate(opened: Database, vault: Vault, *, tell: Tell, only_add: bool = False) -> Rotation:
    """Add a new first key and seal every credential anew with it; `tell` hears how many are done, and of how many.

    Where a rotation was interrupted, or somebody put a key first by hand, this one finishes that and adds no
    key. With `only_add` nothing is sealed anew. Raises `KeyRingError`, or `FleetError` when another one runs.
    """
    async with credential_store.changing_keys(opened.dsn) as connection:
        await credential_store.require_key_ring(connection, vault)
        ring, _ = vault.file.read()
        if not only_add:
            finished = await _reseal_all(opened, ring, tell)
            if finished.resealed:
                return finished
        key = key_ring.new_key(at=datetime.now(UTC))
        ring = vault.file.edit(partial(key_ring.with_first, key=key))
        if only_add:
            return Rotation(key_id=key.id, is_new=True)
        rotation = await _reseal_all(opened, ring, tell)
        rotation.is_new = True
        return rotation


async def prune(opened: Database, vault: Vault) -> Sequence[str]:
    """Take the keys out of the ring that no credential uses, but never the first; return their ids."""
    async with (
        credential_store.changing_keys(opened.dsn) as connection,
        credential_store.nobody_sealing(opened) as used,
    ):
        await credential_store.require_key_ring(connection, vault)
        ring, _ = vault.file.read()
        unused = {key.id for key in ring.keys[1:]} - used.keys()
        vault.file.edit(partial(key_ring.without, key_ids=unused))
        return sorted(unused)


async def survey(opened: Database, vault: Vault) -> Sequence[KeyUse]:
    """Return the keys of the ring in its order, and after them those that credentials name but the ring lacks."""
    async with opened.session() as connection:
        used = await credential_store.keys_in_use(connection)
    ring, _ = vault.file.read()
    known = [
        KeyUse(
            key_id=key.id,
            made_at=key.made_at,
            seals=key is ring.first,
            is_missing=False,
            credentials=used.pop(key.id, 0),
        )
        for key in ring.keys
    ]
    missing = [
        KeyUse(key_id=key_id, made_at=None, seals=False, is_missing=True, credentials=number)
        for key_id, number in sorted(used.items())
    ]
    return known + missing


async def _reseal_all(opened: Database, ring: KeyRing, tell: Tell) -> Rotation:
    async with opened.session() as connection:
        used = await credential_store.keys_in_use(connection)
    total = sum(number for key_id, number in used.items() if key_id != ring.first.id)
    rotation = Rotation(key_id=ring.first.id, is_new=False)
    after: UUID | None = None
    while True:
        step = await credential_store.reseal_some(
            opened, key_id=ring.first.id, after=after, reseal=partial(sealing.reseal, ring=ring)
        )
        if step is None:
            return rotation
        after = step.last
        rotation.resealed += step.resealed
        rotation.unopened += step.unopened
        tell(rotation.resealed, total)
