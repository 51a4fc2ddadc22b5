"""The database's address: what cannot be read, what is refused, what is away, and what is never repeated."""

import socket
from collections.abc import Awaitable, Callable

import pytest

from monitor.domain.errors import ConfigurationError, DatabaseRefusesError, DatabaseUnavailableError, FleetError
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres import database
from monitor.postgres.database import Database
from tests.fakes import database_proxy
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

Reach = Callable[[str], Awaitable[None]]


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def use(dsn: str) -> None:
    """One statement over a pool."""
    pool = Database(dsn, name="test")
    await pool.open()
    try:
        async with pool.session() as session:
            await session.execute("SELECT 1")
    finally:
        await pool.close()


async def connect(dsn: str) -> None:
    """One session outside any pool."""
    session = await database.connect(dsn, name="test")
    await session.close()


@pytest.mark.parametrize("reach", [use, connect])
@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (("/shared", "/missing"), DatabaseRefusesError, "database .* does not exist"),
        (("fleet@", "nobody_at_all@"), DatabaseRefusesError, 'role "nobody_at_all" does not exist'),
        (("run", "walk"), DatabaseUnavailableError, "cannot be used right now"),
    ],
)
async def test_what_the_server_refuses_is_told_from_a_server_that_is_away(
    shared_dsn: str, reach: Reach, change: tuple[str, str], error: type[FleetError], said: str
) -> None:
    with pytest.raises(error, match=said):
        await reach(shared_dsn.replace(*change))


@pytest.mark.parametrize("reach", [use, connect])
async def test_a_closed_port_is_a_server_that_is_away(reach: Reach) -> None:
    port = free_port()
    with pytest.raises(DatabaseUnavailableError, match=f"127.0.0.1:{port}/db cannot be used right now") as caught:
        await reach(f"postgresql://someone:planted@127.0.0.1:{port}/db")
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("reach", [use, connect])
@pytest.mark.parametrize(
    "dsn",
    [
        "host=127.0.0.1 password=planted",
        "mysql://user:planted@host/db",
        "postgresql://user:pla/nted@host/db",
        "postgresql://user:planted@[::1/db",
        "postgresql://user:planted@host:port/db",
        "postgresql://user:planted@host/db?sslmode=perhaps",
        "",
    ],
)
async def test_an_address_that_cannot_be_read_is_a_wrong_setting(reach: Reach, dsn: str) -> None:
    with pytest.raises((ConfigurationError, DatabaseRefusesError), match="OLLAMA_FLEET_DATABASE_URL") as caught:
        await reach(dsn)
    assert "pla" not in str(caught.value)


@pytest.mark.parametrize(
    ("dsn", "described"),
    [
        ("postgresql://user:secret@host:5433/fleet", "host:5433/fleet"),
        ("postgres://user:se%40cret@one:1,two:2/fleet?target_session_attrs=read-write", "one:1,two:2/fleet"),
        ("postgresql://user:sec@ret@[::1]:5432/fleet", "[::1]:5432/fleet"),
        ("postgresql://user@/fleet?host=%2Frun&password=secret", "the local socket/fleet"),
        ("postgresql:///fleet?user=secret", "the local socket/fleet"),
    ],
)
def test_a_description_hides_user_and_password(dsn: str, described: str) -> None:
    assert database.describe(dsn) == described


async def test_a_silent_server_is_given_up_at_the_limit(
    shared_dsn: str, proxy: TcpProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 0.2)
    proxy.freeze()
    with pytest.raises(DatabaseUnavailableError):
        await use(through(proxy, shared_dsn))
    with pytest.raises(DatabaseUnavailableError):
        await connect(through(proxy, shared_dsn))


async def test_a_silent_first_host_does_not_eat_the_time_of_the_next(
    shared_dsn: str, proxy: TcpProxy, postgres: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CONNECT_TIMEOUT", 2.0)
    async with database_proxy.between(postgres) as frozen:
        frozen.freeze()
        both = through(proxy, shared_dsn).replace("127.0.0.1:", f"127.0.0.1:{frozen.port},127.0.0.1:")
        await connect(both)
        await use(f"{both}?target_session_attrs=read-write")
        assert frozen.accepted == 2
