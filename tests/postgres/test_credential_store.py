"""Sealed credentials in the database: sealing anew is no edit, takes bounded steps, and never overwrites an edit."""

import asyncio
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import monitor
from api.fleet import key_changes
from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import Sealed
from monitor.credentials.vault import Vault
from monitor.domain.credential import Bearer, ClientKey, Unreadable
from monitor.domain.errors import ConfigurationError, FleetError, KeyRingError
from monitor.domain.server import ServerId, Tls
from monitor.postgres import credential_store, database, schema_version
from monitor.postgres.database import Connection, Database
from monitor.postgres.server_store import PostgresServerStore
from tests import fold
from tests.credentials.conftest import fresh_key

INSERT = "INSERT INTO ollama_servers (id, name, url, auth_type, auth_config, status) VALUES ($1, $2, $3, $4, $5, 'up')"
ADVISORY = [0x6B657973, 0x7365616C, 0x6F6C6C616D61]
UNTOUCHED = "SELECT to_jsonb(server) - 'auth_config' AS row FROM ollama_servers AS server ORDER BY id"


async def add(observer: Connection, vault: Vault, *, count: int = 1) -> list[UUID]:
    """Add servers with bearer tokens named after their numbers."""
    ids = sorted(uuid4() for _ in range(count))
    for number, server_id in enumerate(ids):
        url = f"http://gpu-{server_id}:11434"
        sealed = vault.seal(Bearer(token=f"token-{number}"), server_id=server_id, url=url)
        await observer.execute(INSERT, server_id, str(server_id), url, sealed.auth_type, sealed.auth_config)
    return ids


async def tokens(observer: Connection, vault: Vault) -> list[object]:
    """Open what is stored, in the order of the ids."""
    rows = await observer.fetch(f"SELECT {credential_store.COLUMNS} FROM ollama_servers ORDER BY id")
    opened = [vault.open(credential_store.sealed(row)) for row in rows]
    return [each.token if isinstance(each, Bearer) else each for each in opened]


def unheard(_done: int, _total: int) -> None:
    pass


async def test_a_rotation_seals_all_anew_and_is_no_edit(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    await add(observer, vault, count=250)
    old = vault.file.read()[0].first.id
    before = await observer.fetch(UNTOUCHED)
    head = await observer.fetchval("SELECT seq FROM fleet_event_head")
    told: list[tuple[int, int]] = []

    rotation = await key_changes.rotate(fleet_database, vault, tell=lambda done, total: told.append((done, total)))

    assert (rotation.is_new, rotation.resealed, rotation.unopened) == (True, 250, [])
    assert told == [(100, 250), (200, 250), (250, 250)]
    assert await credential_store.keys_in_use(observer) == {rotation.key_id: 250}
    assert [key.id for key in vault.file.read()[0].keys] == [rotation.key_id, old]
    assert await observer.fetch(UNTOUCHED) == before
    assert await observer.fetchval("SELECT seq FROM fleet_event_head") == head
    assert await tokens(observer, vault) == [f"token-{number}" for number in range(250)]


async def test_a_rotation_that_was_interrupted_is_finished_and_not_begun_anew(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    await add(observer, vault, count=150)
    ring = vault.file.edit(partial(key_ring.with_first, key=fresh_key()))
    await credential_store.reseal_some(
        fleet_database, key_id=ring.first.id, after=None, reseal=partial(sealing.reseal, ring=ring)
    )

    finished = await key_changes.rotate(fleet_database, vault, tell=unheard)
    assert (finished.is_new, finished.resealed, finished.key_id) == (False, 50, ring.first.id)
    fresh = await key_changes.rotate(fleet_database, vault, tell=unheard)
    assert (fresh.is_new, fresh.resealed) == (True, 150)


async def test_only_adding_a_key_seals_nothing_anew(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    await add(observer, vault)
    before = await credential_store.keys_in_use(observer)
    added = await key_changes.rotate(fleet_database, vault, tell=unheard, only_add=True)
    assert vault.file.read()[0].first.id == added.key_id
    assert await credential_store.keys_in_use(observer) == before
    assert (await key_changes.rotate(fleet_database, vault, tell=unheard)).resealed == 1


async def add_client_key(observer: Connection, vault: Vault, server_id: UUID, *, pem: str = "pem") -> None:
    """Give a server a client certificate, as far as the database is concerned."""
    url = await observer.fetchval("SELECT url FROM ollama_servers WHERE id = $1", server_id)
    sealed = vault.seal(ClientKey(pem=pem), server_id=server_id, url=url)
    await observer.execute(
        "UPDATE ollama_servers SET client_cert = 'cert', client_key = $2 WHERE id = $1", server_id, sealed.auth_config
    )


async def client_keys(observer: Connection, vault: Vault) -> list[object]:
    """Open the client keys that are stored, in the order of the ids."""
    rows = await observer.fetch(f"SELECT {credential_store.COLUMNS} FROM ollama_servers ORDER BY id")
    return [vault.open_client_key(credential_store.sealed_client_key(row)) for row in rows]


async def test_client_keys_are_sealed_anew_with_the_credentials(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    both, alone, neither = await add(observer, vault, count=3)
    await observer.execute("UPDATE ollama_servers SET auth_type = 'none', auth_config = '{}' WHERE id = $1", alone)
    await add_client_key(observer, vault, both, pem="one")
    await add_client_key(observer, vault, alone, pem="two")
    old = vault.file.read()[0].first.id
    assert await credential_store.keys_in_use(observer) == {old: 4}
    untouched = "SELECT to_jsonb(server) - ARRAY['auth_config', 'client_key'] FROM ollama_servers AS server ORDER BY id"
    before, head = await observer.fetch(untouched), await observer.fetchval("SELECT seq FROM fleet_event_head")

    rotation = await key_changes.rotate(fleet_database, vault, tell=unheard)

    assert (rotation.resealed, rotation.unopened) == (4, [])
    assert await credential_store.keys_in_use(observer) == {rotation.key_id: 4}
    assert await observer.fetch(untouched) == before
    assert await observer.fetchval("SELECT seq FROM fleet_event_head") == head
    assert await key_changes.prune(fleet_database, vault) == [old]
    assert await client_keys(observer, vault) == [ClientKey(pem="one"), ClientKey(pem="two"), None]
    assert await tokens(observer, vault) == ["token-0", None, "token-2"], neither


async def test_a_client_key_of_another_server_or_kind_does_not_open(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    one, other = await add(observer, vault, count=2)
    await add_client_key(observer, vault, one)
    await add_client_key(observer, vault, other)
    await observer.execute(
        "UPDATE ollama_servers SET client_key = (SELECT client_key FROM ollama_servers WHERE id = $1) WHERE id = $2",
        one,
        other,
    )
    opened = await client_keys(observer, vault)
    assert [isinstance(each, Unreadable) for each in opened] == [False, True]
    await observer.execute("UPDATE ollama_servers SET client_key = auth_config")
    assert all(isinstance(each, Unreadable) for each in await client_keys(observer, vault))
    rotation = await key_changes.rotate(fleet_database, vault, tell=unheard)
    assert (rotation.resealed, rotation.unopened) == (2, [one, other]), "the tokens are"


async def test_what_no_key_opens_stays_as_it_is_and_is_told(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    broken, moved, good = await add(observer, vault, count=3)
    await observer.execute(
        "UPDATE ollama_servers SET auth_config = auth_config || $2 WHERE id = $1", broken, {"sealed": "AAAA"}
    )
    await observer.execute("UPDATE ollama_servers SET url = 'http://elsewhere' WHERE id = $1", moved)
    before = await observer.fetchval("SELECT auth_config FROM ollama_servers WHERE id = $1", broken)

    rotation = await key_changes.rotate(fleet_database, vault, tell=unheard)

    assert (rotation.is_new, rotation.resealed, rotation.unopened) == (True, 1, [broken, moved])
    assert await observer.fetchval("SELECT auth_config FROM ollama_servers WHERE id = $1", broken) == before
    opened = await tokens(observer, vault)
    assert [isinstance(each, Unreadable) for each in opened] == [True, True, False], good


async def test_two_rotations_at_once_are_one(fleet_database: Database, observer: Connection, vault: Vault) -> None:
    await add(observer, vault, count=20)
    ends = await asyncio.gather(
        *(key_changes.rotate(fleet_database, vault, tell=unheard) for _ in range(4)), return_exceptions=True
    )
    refused = [end for end in ends if isinstance(end, FleetError)]
    assert all("Another process" in str(error) for error in refused)
    assert len(refused) < len(ends)
    assert len(vault.file.read()[0].keys) == 1 + len(ends) - len(refused)
    assert await tokens(observer, vault) == [f"token-{number}" for number in range(20)]


async def test_an_edit_during_a_rotation_waits_and_is_not_overwritten(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    (server_id,) = await add(observer, vault)
    ring = vault.file.edit(partial(key_ring.with_first, key=fresh_key()))
    row = await credential_store.read(observer, server_id)
    assert row is not None
    wanted = vault.seal(Bearer(token="edited"), server_id=server_id, url=row.url)
    editing: list[asyncio.Task[str]] = []

    def reseal(sealed: Sealed) -> Sealed | None:
        # The row is locked now; what an operator writes comes after.
        editing.append(asyncio.ensure_future(edit()))
        return sealing.reseal(sealed, ring)

    async def edit() -> str:
        return await observer.execute(
            "UPDATE ollama_servers SET auth_config = $2 WHERE id = $1", server_id, wanted.auth_config
        )

    await credential_store.reseal_some(fleet_database, key_id=ring.first.id, after=None, reseal=reseal)
    await asyncio.gather(*editing)
    assert await tokens(observer, vault) == ["edited"]


async def test_only_a_change_of_key_and_ciphertext_counts_as_a_rotation(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    (server_id,) = await add(observer, vault)
    for change in ({"header": "X-Gate"}, {"version": 2}):
        async with fleet_database.transaction() as session:
            await session.execute(credential_store.NO_EDIT)
            await session.execute(
                "UPDATE ollama_servers SET auth_config = auth_config || $2 WHERE id = $1", server_id, change
            )
    assert await observer.fetchval("SELECT row_version FROM ollama_servers WHERE id = $1", server_id) == 3
    events = await fold.read_events(observer)
    assert [event.type for event in events] == ["server.created", "server.updated", "server.updated"]


async def test_a_name_that_is_changed_by_whoever_rotates_is_an_edit_all_the_same(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    (server_id,) = await add(observer, vault)
    async with fleet_database.transaction() as session:
        await session.execute(credential_store.NO_EDIT)
        await session.execute("UPDATE ollama_servers SET name = 'b' WHERE id = $1", server_id)
    assert [event.type for event in await fold.read_events(observer)] == ["server.created", "server.updated"]


async def test_only_keys_that_no_credential_uses_are_pruned(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    assert not vault.file.path.exists()
    await add(observer, vault)
    used = vault.file.read()[0].first.id
    unused = fresh_key()
    vault.file.edit(lambda text: text + key_ring.first_text(unused))
    await key_changes.rotate(fleet_database, vault, tell=unheard, only_add=True)
    assert await key_changes.prune(fleet_database, vault) == [unused.id]
    await key_changes.rotate(fleet_database, vault, tell=unheard)
    assert await key_changes.prune(fleet_database, vault) == [used]
    assert await tokens(observer, vault) == ["token-0"]


async def test_pruning_waits_for_who_is_storing_a_credential(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    await add(observer, vault)
    await key_changes.rotate(fleet_database, vault, tell=unheard, only_add=True)
    async with fleet_database.transaction() as session:
        await credential_store.prepare_sealing(session, vault)
        pruning = asyncio.create_task(key_changes.prune(fleet_database, vault))
        done, _ = await asyncio.wait([pruning], timeout=0.3)
        assert not done
    assert await pruning == []


async def test_who_can_only_connect_keeps_nobody_from_storing_rotating_and_migrating(
    fleet_database: Database, empty_dsn: str, observer: Connection, vault: Vault
) -> None:
    """Advisory locks are for everybody, even the numbers of the ones there once were."""
    await observer.execute("SELECT pg_advisory_lock(key) FROM unnest($1::bigint[]) AS key", ADVISORY)
    elsewhere = await database.connect(empty_dsn, name="psql")
    await elsewhere.execute("SELECT pg_advisory_lock(key) FROM unnest($1::bigint[]) AS key", ADVISORY)
    await add(observer, vault)
    async with asyncio.timeout(60):
        async with fleet_database.transaction() as session:
            await credential_store.prepare_sealing(session, vault)
        assert (await key_changes.rotate(fleet_database, vault, tell=unheard)).resealed == 1
        assert len(await key_changes.prune(fleet_database, vault)) == 1
        assert await schema_version.upgrade(empty_dsn)
    await elsewhere.close()


def test_no_program_takes_an_advisory_lock() -> None:
    checkout = Path(monitor.__file__).parent.parent
    written = [
        file
        for part in ("api", "monitor", "migrations", "deploy")
        for file in (checkout / part).rglob("*")
        if file.suffix in {".py", ".sql"} and "advisory_" in file.read_text()
    ]
    assert written == []


async def test_only_one_process_changes_the_keys(fleet_database: Database, observer: Connection, vault: Vault) -> None:
    await add(observer, vault)
    async with credential_store.changing_keys(fleet_database.dsn):
        with pytest.raises(FleetError, match="Another process is changing the key ring"):
            await key_changes.rotate(fleet_database, vault, tell=unheard)


async def test_a_lock_that_is_gone_is_told_with_the_statement_that_brings_it_back(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    await add(observer, vault)
    await observer.execute("DELETE FROM fleet_locks")
    with pytest.raises(ConfigurationError, match=r"run `INSERT INTO fleet_locks") as caught:
        await key_changes.prune(fleet_database, vault)
    await observer.execute(str(caught.value).split("`")[1])
    assert await key_changes.prune(fleet_database, vault) == []


async def test_nothing_is_changed_with_the_wrong_ring_or_without_one(
    fleet_database: Database, observer: Connection, vault: Vault
) -> None:
    with pytest.raises(KeyRingError, match="does not exist"):
        await key_changes.rotate(fleet_database, vault, tell=unheard)
    await add(observer, vault)
    other = Vault(KeyRingFile(vault.file.path.with_name("other")), makes_ring=True, must_exist=False)
    other.file.create(fresh_key())
    before = other.file.path.read_text()
    for change in (key_changes.rotate(fleet_database, other, tell=unheard), key_changes.prune(fleet_database, other)):
        with pytest.raises(KeyRingError, match="not the one of this database"):
            await change
    assert other.file.path.read_text() == before


async def test_the_monitor_reads_a_server_again_when_a_key_that_was_missing_is_there(
    store: PostgresServerStore, observer: Connection, vault: Vault
) -> None:
    missing = fresh_key()
    vault.file.create(fresh_key())
    server_id, url = uuid4(), "http://gpu-1:11434"
    sealed = sealing.seal(Bearer(token="abc"), server_id=server_id, url=url, key=missing)
    await observer.execute(INSERT, server_id, "gpu-1", url, sealed.auth_type, sealed.auth_config)

    (watched,), seq = await store.snapshot()
    assert isinstance(watched.server.credential, Unreadable)
    assert await store.changes_after(seq, limit=10) == ([], [])
    vault.file.edit(lambda text: text + key_ring.first_text(missing))
    assert await store.changes_after(seq, limit=10) == ([], [server_id])
    (watched,) = await store.read([ServerId(server_id)])
    assert watched.server.credential == Bearer(token="abc")
    assert await store.changes_after(seq, limit=10) == ([], [])


async def test_a_server_as_the_monitor_has_it_shows_no_secret(
    store: PostgresServerStore, observer: Connection, vault: Vault
) -> None:
    (server_id,) = await add(observer, vault)
    await add_client_key(observer, vault, server_id, pem="secret-pem")
    await observer.execute("UPDATE ollama_servers SET ca_pem = 'authorities', tls_server_name = 'a.example'")
    (watched,), _ = await store.snapshot()
    assert watched.server.credential == Bearer(token="token-0")
    assert watched.server.tls == Tls(
        ca_pem="authorities", client_cert="cert", client_key=ClientKey(pem="secret-pem"), server_name="a.example"
    )
    assert "token-0" not in f"{watched} {watched!r}"
    assert "secret-pem" not in f"{watched} {watched!r}"


async def test_a_server_whose_client_key_had_no_key_is_read_again_when_that_is_there(
    store: PostgresServerStore, observer: Connection, vault: Vault
) -> None:
    (server_id,) = await add(observer, vault)
    missing = fresh_key()
    sealed = sealing.seal(ClientKey(pem="pem"), server_id=server_id, url="http://gpu-1", key=missing)
    await observer.execute(
        "UPDATE ollama_servers SET client_cert = 'cert', client_key = $2 WHERE id = $1", server_id, sealed.auth_config
    )
    (watched,), seq = await store.snapshot()
    assert isinstance(watched.server.unreadable, Unreadable)
    vault.file.edit(lambda text: text + key_ring.first_text(missing))
    assert await store.changes_after(seq, limit=10) == ([], [server_id])
    (watched,) = await store.read([ServerId(server_id)])
    assert (watched.server.unreadable, watched.server.tls.client_key) == (None, ClientKey(pem="pem"))
