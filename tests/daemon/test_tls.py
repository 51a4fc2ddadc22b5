"""Servers with a private authority and a wish for a client certificate, watched by a real daemon."""

import ssl
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.domain.errors import ConfigurationError
from monitor.postgres import database
from monitor.postgres.database import Connection
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes.ollama import FakeOllama
from tests.fakes.tls import chain_of, key_of, pem_of, serving, telling

NAME = "ollama.internal"
ENDS = datetime.now(UTC).replace(microsecond=0) + timedelta(days=30)
INSERT = """
INSERT INTO ollama_servers (id, name, url, ca_pem, client_cert, client_key, tls_server_name)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
DOWN = "SELECT status = 'down' AND status_reason = $2 AND status_detail LIKE $3 FROM ollama_servers WHERE id = $1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority of the servers."""
    return trustme.CA()


@pytest.fixture(scope="module")
def of_clients() -> trustme.CA:
    """The authority of the clients."""
    return trustme.CA()


@pytest.fixture
def ring(tmp_path: Path) -> KeyRingFile:
    """The daemon's key ring."""
    file = KeyRingFile(tmp_path / "keyring")
    file.create(key_ring.new_key(at=datetime.now(UTC)))
    return file


@pytest.fixture
async def psql(dsn: str) -> AsyncIterator[Connection]:
    """A session that takes jsonb as Python values."""
    session = await database.connect(dsn, name="psql")
    yield session
    await session.close()


@pytest.fixture
def wanting(authority: trustme.CA, of_clients: trustme.CA) -> ssl.SSLContext:
    """What a server goes by that has another name in its certificate and wants one of its clients."""
    return serving(authority.issue_cert(NAME, not_after=ENDS), clients=of_clients)


class Registrar:
    """Adds servers as the API would."""

    def __init__(self, psql: Connection, ring: KeyRingFile, authority: trustme.CA) -> None:
        self._psql = psql
        self._ring = ring
        self._authority = authority

    async def add(self, url: str, certificate: trustme.LeafCert | None, **changes: Any) -> uuid.UUID:
        """Add a server that is shown a certificate, if one is given."""
        server_id = uuid.uuid4()
        values: dict[str, Any] = {"ca_pem": pem_of(self._authority), "cert": None, "key": None, "name": NAME}
        if certificate is not None:
            key = self._ring.read()[0].first
            sealed = sealing.seal(key_of(certificate), server_id=server_id, url=url, key=key)
            values |= {"cert": chain_of(certificate), "key": sealed.auth_config}
        await self._psql.execute(INSERT, server_id, str(server_id), url, *(values | changes).values())
        return server_id


@pytest.fixture
def registrar(psql: Connection, ring: KeyRingFile, authority: trustme.CA) -> Registrar:
    """Adds servers."""
    return Registrar(psql, ring, authority)


async def test_all_of_it_together_is_up_watched_and_its_certificate_is_recorded(
    observer: Observer,
    daemon: Daemon,
    ring: KeyRingFile,
    registrar: Registrar,
    of_clients: trustme.CA,
    wanting: ssl.SSLContext,
) -> None:
    async with FakeOllama(tls=wanting) as fake, daemon(keyring_file=ring.path):
        server_id = await registrar.add(fake.url, of_clients.issue_cert("monitor.example"))
        await observer.until_status(server_id, "up")
        await observer.until("SELECT watch_state = 'watched' FROM ollama_servers WHERE id = $1", server_id)
        await observer.until("SELECT count(*) > 0 FROM ollama_models WHERE server_id = $1", server_id)
        await observer.until("SELECT tls_expires_at = $2 FROM ollama_servers WHERE id = $1", server_id, ENDS)
        # An edit holds for the very next check: the name of the URL is not in the certificate.
        await observer.connection.execute("UPDATE ollama_servers SET tls_server_name = NULL")
        await observer.until(DOWN, server_id, "tls", "The certificate is for another name:%")
    await observer.check_history()


async def test_a_server_that_takes_no_certificate_of_ours_is_down_and_says_so(
    observer: Observer,
    daemon: Daemon,
    ring: KeyRingFile,
    registrar: Registrar,
    of_clients: trustme.CA,
    wanting: ssl.SSLContext,
) -> None:
    async with telling(wanting) as one, telling(wanting) as other, daemon(keyring_file=ring.path):
        without = await registrar.add(f"https://127.0.0.1:{one}", None)
        foreign = await registrar.add(f"https://127.0.0.1:{other}", trustme.CA().issue_cert("monitor.example"))
        await observer.until(DOWN, without, "tls", "%wants a client certificate, and none is set%")
        await observer.until(DOWN, foreign, "tls", "%refuses the client certificate (TLS alert: unknown ca).")
        unknown = await registrar.add(f"https://127.0.0.1:{one}/other", None, ca_pem=pem_of(of_clients))
        await observer.until(DOWN, unknown, "tls", "No authority that is trusted here has signed%")
    await observer.check_history()


async def test_the_settings_hold_where_a_server_says_nothing(
    observer: Observer,
    daemon: Daemon,
    tmp_path: Path,
    authority: trustme.CA,
    of_clients: trustme.CA,
    wanting: ssl.SSLContext,
) -> None:
    certificate = of_clients.issue_cert("monitor.example")
    texts = {"ca_file": pem_of(authority), "client_cert": chain_of(certificate), "client_key": key_of(certificate).pem}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    files = {name: tmp_path / name for name in texts}
    async with FakeOllama(tls=wanting) as fake, daemon(tls_server_name=NAME, **files):
        server_id = await observer.add(fake.url)
        await observer.until_status(server_id, "up")
    (tmp_path / "ca_file").write_text("half a fi")
    with pytest.raises(ConfigurationError, match="OLLAMA_FLEET_CA_FILE cannot be used"):
        async with daemon(**files):
            pass
