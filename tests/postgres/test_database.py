"""Sessions with PostgreSQL: the driver's errors end here, and a lost session is followed by a good one."""

from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from monitor.domain.errors import DatabaseFaultError, DatabaseUnavailableError
from monitor.postgres import database
from monitor.postgres.database import Connection, Database
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

KILL_ME = "SELECT pg_terminate_backend(pg_backend_pid())"


async def test_a_session_lost_in_use_is_followed_by_a_good_one(dsn: str) -> None:
    pool = Database(dsn, name="test", size=1)
    await pool.open()
    with pytest.raises(DatabaseUnavailableError) as caught:
        async with pool.session() as session:
            await session.fetchval(KILL_ME)
    assert isinstance(caught.value.__cause__, asyncpg.PostgresError)

    async with pool.session() as session:
        assert await session.fetchval("SELECT 1") == 1
    await pool.close()


async def test_a_session_lost_while_idle_is_not_lent_again(dsn: str, connection: Connection) -> None:
    pool = Database(dsn, name="idle-one", size=1)
    await pool.open()
    async with pool.session() as session:
        pid = session.get_server_pid()
    await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)

    for _ in range(2):
        try:
            async with pool.session() as session:
                # The loop may not have heard yet that the session is gone; whoever uses it hears it.
                assert await session.fetchval("SELECT pg_backend_pid()") != pid
                break
        except DatabaseUnavailableError:
            continue
    else:
        pytest.fail("a lost session is lent again and again")
    await pool.close()


async def test_a_transaction_lost_in_use_leaves_nothing(dsn: str, connection: Connection) -> None:
    pool = Database(dsn, name="test")
    await pool.open()
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012  (the session is lost by these statements)
        async with pool.transaction() as session:
            await session.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://a')")
            await session.fetchval(KILL_ME)

    async with pool.transaction() as session:
        await session.execute("INSERT INTO ollama_servers (name, url) VALUES ('b', 'http://b')")
    assert await connection.fetchval("SELECT string_agg(name, ',') FROM ollama_servers") == "b"
    assert await connection.fetchval("SELECT seq FROM fleet_event_head") == 1
    await pool.close()


async def test_a_pool_opens_while_postgresql_is_away_and_works_when_it_comes(dsn: str, proxy: TcpProxy) -> None:
    await proxy.refuse()
    pool = Database(through(proxy, dsn), name="test")
    await pool.open()
    with pytest.raises(DatabaseUnavailableError):
        async with pool.session():
            pass

    await proxy.accept()
    async with pool.session() as session:
        assert await session.fetchval("SELECT 1") == 1
    proxy.cut()
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012  (the session is lost by these statements)
        async with pool.session() as session:
            await session.fetchval("SELECT 1")
            proxy.cut()
            await session.fetchval("SELECT 1")
    await pool.close()


async def test_a_primary_that_became_read_only_is_left(dsn: str, connection: Connection) -> None:
    pool = Database(dsn, name="test", size=1)
    await pool.open()
    name = await connection.fetchval("SELECT quote_ident(current_database())")
    await connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    async with pool.session() as session:
        pid = session.get_server_pid()
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await session.execute("DELETE FROM ollama_servers")
    await connection.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    with pytest.raises(DatabaseUnavailableError, match="read-only"):  # noqa: PT012  (the session is lost by these statements)
        async with pool.session() as session:
            assert session.get_server_pid() == pid
            await session.execute("DELETE FROM ollama_servers")

    async with pool.session() as session:
        assert session.get_server_pid() != pid
        await session.execute("DELETE FROM ollama_servers")
    await pool.close()


async def test_a_statement_that_is_wrong_in_itself_stays_what_it_is(fleet_database: Database) -> None:
    with pytest.raises(asyncpg.UndefinedTableError):
        async with fleet_database.session() as session:
            await session.execute("SELECT * FROM nothing")
    for argument in (2**40, "no number", "\ud800"):
        with pytest.raises(asyncpg.DataError):
            async with fleet_database.session() as session:
                await session.fetchval("SELECT $1::int", argument)
    with pytest.raises(ValueError, match="of the caller"):
        async with fleet_database.session():
            raise ValueError("of the caller")


async def test_trouble_that_passes_is_a_database_that_is_away(fleet_database: Database) -> None:
    for sqlstate in (
        *("08006", "25006", "25P02", "40001", "40P01", "53100", "53200", "53300"),
        *("54000", "55000", "55006", "55P03", "57014", "57P01", "58000", "58030"),
    ):
        with pytest.raises(DatabaseUnavailableError):
            async with fleet_database.session() as session:
                await session.execute(f"DO $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{sqlstate}'; END $$")


async def test_a_fault_of_postgresql_itself_is_told_apart(fleet_database: Database) -> None:
    for sqlstate in ("XX000", "XX001", "XX002"):
        with pytest.raises(DatabaseFaultError, match=r"reports a fault of its own: trouble\. Its log says more"):
            async with fleet_database.session() as session:
                await session.execute(f"DO $$ BEGIN RAISE EXCEPTION 'trouble' USING ERRCODE = '{sqlstate}'; END $$")


async def test_a_session_and_a_lock_are_waited_for_for_so_long_only(dsn: str, connection: Connection) -> None:
    pool = Database(dsn, name="test", size=1, patience=0.05, lock_timeout=0.05)
    await pool.open()
    async with pool.session():
        with pytest.raises(DatabaseUnavailableError, match=r"All 1 sessions with PostgreSQL at .* are in use"):
            async with pool.session():
                pass
    async with connection.transaction():
        await connection.execute("LOCK TABLE ollama_servers")
        with pytest.raises(DatabaseUnavailableError, match="Another session holds the lock"):
            async with pool.session() as session:
                await session.fetchval("SELECT count(*) FROM ollama_servers")
    async with pool.session() as session:
        assert await session.fetchval("SELECT count(*) FROM ollama_servers") == 0
    await pool.close()


async def test_before_it_is_open_a_pool_says_so_and_closes_quietly() -> None:
    pool = Database(f"postgresql:///x?host={quote(str(Path('/nowhere')), safe='')}", name="test")
    with pytest.raises(DatabaseUnavailableError, match="not open yet"):
        async with pool.session():
            pass
    await pool.close()


async def test_close_does_not_wait_for_a_session_that_is_stuck(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CLOSE_TIMEOUT", 0.1)
    pool = Database(dsn, name="test")
    await pool.open()
    with pytest.raises(DatabaseUnavailableError):  # noqa: PT012  (the session is lost by these statements)
        async with pool.session() as session:
            await pool.close()
            await session.execute("SELECT 1")


async def test_jsonb_is_python_values_on_every_session(fleet_database: Database, observer: Connection) -> None:
    value = {"a": [1, None, "é"]}
    async with fleet_database.session() as session:
        assert await session.fetchval("SELECT $1::jsonb", value) == value
    assert await observer.fetchval("SELECT $1::jsonb", value) == value


async def test_behind_a_pooler_no_prepared_statement_is_kept(dsn: str) -> None:
    pool = Database(dsn, name="test", behind_pooler=True)
    await pool.open()
    async with pool.session() as session:
        await session.fetchval("SELECT $1::int", 1)
        assert await session.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name <> ''") == 0
    await pool.close()
