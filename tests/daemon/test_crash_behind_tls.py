"""A server behind TLS dies, or ends idle connections: the daemon knows and learns the same as without."""

import asyncio
import ssl
import sys
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from tests.daemon import processes
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.daemon.watching import RARELY, SOON, WATCH_STATE, downs, until_left_alone, until_watched
from tests.fakes.ollama import FakeOllama


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that the daemon trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    return authority


async def test_the_end_of_a_servers_process_is_known_at_once(
    dsn: str, observer: Observer, authority: trustme.CA, tmp_path: Path
) -> None:
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.fakes.ollama", "--certificate", certificate, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        port = int((await server.stdout.readline()).split()[1])
        # A process of its own has the event loop of production, which is not that of the tests.
        async with (
            processes.running(dsn, OLLAMA_FLEET_CHECK_INTERVAL="10m", OLLAMA_FLEET_DISCOVERY_INTERVAL="10m") as daemon,
            downs(dsn) as heard,
        ):
            server_id = await observer.add(f"https://127.0.0.1:{port}")
            await observer.until(WATCH_STATE, "watched", within=30)
            server.kill()
            assert uuid.UUID(await asyncio.wait_for(heard.get(), SOON)) == server_id
            assert await daemon.terminate() == 0
    finally:
        with suppress(ProcessLookupError):
            server.kill()
        await server.communicate()
    await observer.check_history()


async def test_a_proxy_that_ends_idle_connections_is_learnt_and_left_alone_while_it_stays_up(
    observer: Observer, daemon: Daemon, authority: trustme.CA
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with FakeOllama(tls=context) as fake, daemon(check_interval=RARELY, discovery_interval=RARELY):
        server_id = await observer.add(fake.url)
        for _ in range(3):
            await until_watched(observer, [fake])
            for connection in fake.silent_connections:
                # `close` would wait for a farewell, which a bare connection never sends.
                assert connection.transport is not None
                connection.transport.abort()
            await until_left_alone(observer, fake)
        await observer.until(WATCH_STATE, "not_held")
        assert await observer.value("SELECT status FROM ollama_servers") == "up"
        # An edit makes it be tried again.
        await observer.connection.execute("UPDATE ollama_servers SET priority = 7")
        await until_watched(observer, [fake])
    assert "server.down" not in await observer.types(server_id)
    await observer.check_history()
