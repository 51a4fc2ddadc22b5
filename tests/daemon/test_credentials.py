"""Servers that want a credential, watched by a real daemon: right, wrong, moved, without its key, rotated."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from api.fleet import key_changes
from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring import Key
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.vault import Vault
from monitor.domain.credential import ApiKey, Basic, Bearer, Credential
from monitor.domain.errors import KeyRingError
from monitor.postgres import database
from monitor.postgres.database import Connection, Database
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

INSERT = "INSERT INTO ollama_servers (id, name, url, auth_type, auth_config) VALUES ($1, $2, $3, $4, $5)"
SWAP = """
UPDATE ollama_servers AS server SET auth_config = other.auth_config FROM ollama_servers AS other
WHERE server.id <> other.id AND server.auth_type <> 'none' AND other.auth_type <> 'none'
"""
REASON = "SELECT status = 'down' AND status_reason = $2 FROM ollama_servers WHERE id = $1"
STATE = "SELECT to_jsonb(server) - ARRAY['auth_config'] FROM ollama_servers AS server WHERE id = $1"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRingFile:
    """The daemon's key ring."""
    file = KeyRingFile(tmp_path / "keyring")
    file.create(new_key())
    return file


def new_key() -> Key:
    return key_ring.new_key(at=datetime.now(UTC))


@pytest.fixture
async def psql(dsn: str) -> AsyncIterator[Connection]:
    """A session that takes jsonb as Python values."""
    session = await database.connect(dsn, name="psql")
    yield session
    await session.close()


class Registrar:
    """Adds servers with credentials, as the API would."""

    def __init__(self, psql: Connection, ring: KeyRingFile) -> None:
        self._psql = psql
        self.ring = ring

    async def add(
        self, fake: FakeOllama, name: str, credential: Credential | None, *, key: Key | None = None
    ) -> uuid.UUID:
        """Add one, sealed with the first key of the ring unless another one is given."""
        server_id = uuid.uuid4()
        if credential is None:
            await self._psql.execute(INSERT, server_id, name, fake.url, "none", {})
        else:
            key = key or self.ring.read()[0].first
            sealed = sealing.seal(credential, server_id=server_id, url=fake.url, key=key)
            await self._psql.execute(INSERT, server_id, name, fake.url, sealed.auth_type, sealed.auth_config)
        return server_id


@pytest.fixture
def registrar(psql: Connection, ring: KeyRingFile) -> Registrar:
    """Adds servers with credentials."""
    return Registrar(psql, ring)


def guard(fake: FakeOllama, header: str = "authorization", value: str = "Bearer right") -> None:
    fake.behave(behaviours.behind_proxy(fake.answer_well, header=header, value=value))


async def test_each_kind_opens_the_door_and_a_wrong_or_missing_one_is_auth(
    observer: Observer, daemon: Daemon, registrar: Registrar
) -> None:
    rights: list[tuple[Credential, str, str]] = [
        (Bearer(token="right"), "authorization", "Bearer right"),
        (Basic(username="a", password="b"), "authorization", "Basic YTpi"),
        (ApiKey(key="right", header="X-Gate"), "x-gate", "right"),
    ]
    fakes = [FakeOllama(host=f"127.0.0.{number + 2}") for number in range(5)]
    for fake in fakes:
        await fake.start()
    async with daemon(keyring_file=registrar.ring.path):
        ids = []
        for fake, (credential, header, value) in zip(fakes[:3], rights, strict=True):
            guard(fake, header, value)
            ids.append(await registrar.add(fake, value, credential))
        wrongs = []
        for fake, wrong in zip(fakes[3:], (Bearer(token="wrong"), None), strict=True):
            guard(fake)
            wrongs.append(await registrar.add(fake, fake.host, wrong))
        for server_id in ids:
            await observer.until_status(server_id, "up")
            await observer.until("SELECT count(*) > 0 FROM ollama_models WHERE server_id = $1", server_id)
        for server_id in wrongs:
            await observer.until(REASON, server_id, "auth")
    for fake in fakes:
        await fake.stop()
    await observer.check_history()


async def test_credentials_that_were_swapped_open_neither_and_leave_the_others_alone(
    observer: Observer, daemon: Daemon, registrar: Registrar
) -> None:
    async with (
        FakeOllama() as one,
        FakeOllama(host="127.0.0.2") as two,
        FakeOllama(host="127.0.0.3") as bystander,
        daemon(keyring_file=registrar.ring.path),
    ):
        ids = [await registrar.add(fake, fake.host, Bearer(token="right")) for fake in (one, two)]
        other = await registrar.add(bystander, "bystander", None)
        for server_id in (*ids, other):
            await observer.until_status(server_id, "up")
        await observer.connection.execute(SWAP)
        for server_id in ids:
            await observer.until(REASON, server_id, "credential")
            assert (await observer.types(server_id))[-1] == "server.down"
        asked = one.requests.total() + two.requests.total()
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until("SELECT last_checked_at > $2 FROM ollama_servers WHERE id = $1", ids[0], mark)
        assert one.requests.total() + two.requests.total() == asked, "nothing is asked without the credential"
        assert await observer.value("SELECT status FROM ollama_servers WHERE id = $1", other) == "up"
        await observer.connection.execute(SWAP)
        for server_id in ids:
            await observer.until_status(server_id, "up")
    await observer.check_history()


async def test_a_url_that_was_edited_by_hand_makes_it_credential_unless_the_origin_stays(
    observer: Observer, daemon: Daemon, registrar: Registrar
) -> None:
    async with FakeOllama() as fake, FakeOllama(host="127.0.0.2") as thief, daemon(keyring_file=registrar.ring.path):
        guard(fake)
        server_id = await registrar.add(fake, "gpu-1", Bearer(token="right"))
        await observer.until_status(server_id, "up")
        await observer.connection.execute("UPDATE ollama_servers SET url = url || '/'")
        await observer.until("SELECT status = 'up' AND row_version = 2 FROM ollama_servers")
        await observer.connection.execute("UPDATE ollama_servers SET url = $1", thief.url)
        await observer.until(REASON, server_id, "credential")
        assert not thief.received
    await observer.check_history()


async def test_a_key_that_is_put_back_brings_its_servers_back_without_a_restart(
    observer: Observer, daemon: Daemon, registrar: Registrar
) -> None:
    lost = new_key()
    async with FakeOllama() as fake, FakeOllama(host="127.0.0.2") as other:
        guard(fake)
        kept = await registrar.add(other, "kept", Bearer(token="any"))
        server_id = await registrar.add(fake, "gpu-1", Bearer(token="right"), key=lost)
        async with daemon(keyring_file=registrar.ring.path):
            await observer.until(REASON, server_id, "credential")
            await observer.until_status(kept, "up")
            registrar.ring.edit(lambda text: text + key_ring.first_text(lost))
            await observer.until_status(server_id, "up")
    await observer.check_history()


async def test_a_rotation_does_not_disturb_a_server(
    observer: Observer, daemon: Daemon, registrar: Registrar, dsn: str
) -> None:
    opened = Database(dsn, name="rotating")
    await opened.open()
    async with FakeOllama() as fake, daemon(keyring_file=registrar.ring.path):
        guard(fake)
        server_id = await registrar.add(fake, "gpu-1", Bearer(token="right"))
        await observer.until_status(server_id, "up")
        types, version = await observer.types(server_id), await observer.value("SELECT row_version FROM ollama_servers")
        vault = Vault(registrar.ring, makes_ring=False, must_exist=True)
        rotation = await key_changes.rotate(opened, vault, tell=lambda _done, _total: None)
        assert rotation.resealed == 1
        # An edit makes the daemon open it again, with a key that it has not heard of.
        await key_changes.prune(opened, vault)
        assert await observer.types(server_id) == types
        assert await observer.value("SELECT row_version FROM ollama_servers") == version
        await observer.connection.execute("UPDATE ollama_servers SET priority = 5")
        mark = await observer.value("SELECT clock_timestamp()")
        await observer.until("SELECT last_checked_at > $1 FROM ollama_servers", mark)
        assert await observer.value("SELECT status FROM ollama_servers") == "up"
    assert all(request.headers["authorization"] == "Bearer right" for request in fake.received)
    await opened.close()
    await observer.check_history()


async def test_the_daemon_refuses_to_watch_with_the_ring_of_another_database(
    daemon: Daemon, registrar: Registrar, tmp_path: Path
) -> None:
    async with FakeOllama() as fake:
        await registrar.add(fake, "gpu-1", Bearer(token="right"))
    other = KeyRingFile(tmp_path / "other")
    other.create(new_key())
    with pytest.raises(KeyRingError, match="not the one of this database"):
        async with daemon(keyring_file=other.path):
            await asyncio.sleep(0)
