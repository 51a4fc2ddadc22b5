"""The life of the embedded PostgreSQL: who starts it, who shares it, and that nothing survives its last user."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from monitor.embedded import account, postmaster, state_folder
from monitor.embedded import postgres as embedded
from tests.embedded import embedded_user
from tests.embedded.embedded_user import UserProcess, eventually, is_running, sql


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with embedded_user.state_dir() as path:
        yield path


def supervisor_of(state_dir: Path) -> int:
    return int(state_folder.StateFolder.at(state_dir).supervisor_lock.read_text().split()[0])


def server_answers(server: embedded.EmbeddedServer, *, expected: str, statement: str) -> bool:
    try:
        return sql(server, statement) == expected
    except subprocess.CalledProcessError:
        return False


def test_a_second_start_finds_what_the_first_one_wrote(state_dir: Path) -> None:
    with embedded.running(state_dir) as server:
        sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        settings = "fsync", "listen_addresses", "data_checksums", "log_parameter_max_length_on_error"
        shown = [sql(server, f"SHOW {name}") for name in settings]
    with embedded.running(state_dir) as server:
        assert sql(server, "SELECT answer FROM kept") == "42"
    assert shown == ["on", "", "on", "0"]


def test_no_host_is_let_in_even_if_the_server_were_to_listen(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        rules = sql(server, "SELECT DISTINCT type, auth_method FROM pg_hba_file_rules ORDER BY 1, 2")
    assert rules.splitlines() == ["host|reject", "local|trust"]


async def test_asyncpg_understands_the_connection_string(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        connection = await asyncpg.connect(dsn=server.dsn())
        found = await connection.fetchrow("SELECT current_user, current_database()")
        await connection.close()
    assert found is not None
    assert tuple(found) == ("fleet", "ollama_fleet")


def test_two_users_share_one_server_and_the_last_one_out_stops_it(state_dir: Path) -> None:
    first, second = UserProcess(state_dir), UserProcess(state_dir)
    assert first.facts()["postmaster"] == second.facts()["postmaster"]
    first.leave()
    with embedded.running(state_dir) as server:
        assert sql(server, "SELECT 1") == "1"
    second.leave()
    eventually(lambda: not is_running(state_dir))


def test_four_starts_at_once_on_an_empty_folder_make_one_server(state_dir: Path) -> None:
    users = [UserProcess(state_dir) for _ in range(4)]
    assert len({user.facts()["postmaster"] for user in users}) == 1
    for user in users:
        user.leave()
    eventually(lambda: not is_running(state_dir))


def test_a_start_while_the_last_server_is_going_down_gets_a_working_one(state_dir: Path) -> None:
    for _ in range(6):
        with embedded.running(state_dir, fast_and_unsafe=True) as server:
            assert sql(server, "SELECT 1") == "1"


def test_a_user_that_is_killed_leaves_nothing_running(state_dir: Path) -> None:
    user = UserProcess(state_dir)
    user.facts()
    user.kill()
    eventually(lambda: not is_running(state_dir))


def test_ctrl_c_on_the_terminal_ends_the_user_and_then_the_server(state_dir: Path) -> None:
    user = UserProcess(state_dir)
    user.facts()
    os.killpg(user.process.pid, signal.SIGINT)
    user.process.communicate(timeout=embedded_user.PATIENCE_SECONDS)
    eventually(lambda: not is_running(state_dir))
    assert "database system is shut down" in state_folder.StateFolder.at(state_dir).log.read_text()


def test_a_killed_server_comes_back_with_what_was_committed(state_dir: Path) -> None:
    with embedded.running(state_dir) as server:
        sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
        killed = postmaster.find(server.data_dir)
        assert killed is not None
        busy = "SELECT count(*) FROM generate_series(1, 1000000000000)"
        with subprocess.Popen([server.binaries.psql, "-Xqc", busy, server.dsn()], stderr=subprocess.DEVNULL):
            active = (
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%generate_series%' AND pid <> pg_backend_pid()"
            )
            eventually(lambda: sql(server, active) == "1")
            os.kill(killed, signal.SIGKILL)
            eventually(lambda: server_answers(server, expected="42", statement="SELECT answer FROM kept"))
        assert postmaster.find(server.data_dir) != killed


def test_a_server_whose_supervisor_was_killed_works_on_and_is_adopted_by_the_next_user(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        orphaned = postmaster.find(server.data_dir)
        os.kill(supervisor_of(state_dir), signal.SIGKILL)
        assert sql(server, "SELECT 1") == "1"
        newcomer = UserProcess(state_dir)
        assert newcomer.facts()["postmaster"] == orphaned
    assert is_running(state_dir)
    newcomer.leave()
    eventually(lambda: not is_running(state_dir))


def test_the_last_user_stops_the_server_though_its_supervisor_was_killed(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True):
        os.kill(supervisor_of(state_dir), signal.SIGKILL)
        eventually(lambda: not embedded_user.is_supervised(state_dir))
    eventually(lambda: not is_running(state_dir))


def test_stop_ends_a_server_in_use_and_says_whether_there_was_one(state_dir: Path) -> None:
    assert embedded.stop(state_dir) is False
    assert embedded.peek(state_dir) is None
    user = UserProcess(state_dir)
    dsn = user.facts()["dsn"]
    seen = embedded.peek(state_dir)
    assert seen is not None
    assert seen.dsn() == dsn
    assert embedded.stop(state_dir) is True
    assert not is_running(state_dir)
    assert embedded.peek(state_dir) is None
    user.leave()
    assert embedded.stop(state_dir) is False


def test_stop_ends_a_server_whose_user_and_supervisor_were_killed(state_dir: Path) -> None:
    user = UserProcess(state_dir)
    user.facts()
    os.kill(supervisor_of(state_dir), signal.SIGKILL)
    user.kill()
    assert embedded.stop(state_dir) is True
    assert not is_running(state_dir)


def test_a_stale_pid_file_whose_number_lives_again_does_not_keep_it_from_starting(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        sql(server, "CREATE TABLE kept AS SELECT 42 AS answer")
    eventually(lambda: not is_running(state_dir))
    folder = state_folder.StateFolder.at(state_dir)
    owner = account.choose(folder.data_dir)
    # A stranger of the same account: the one kind of process that PostgreSQL itself takes for a server.
    with contextlib.ExitStack() as stack:
        stranger = stack.enter_context(subprocess.Popen(["sleep", "60"], **owner.identity()))
        stack.callback(stranger.kill)
        note = f"{stranger.pid}\n{folder.data_dir}\n1700000000\n5432\n{folder.socket_dir}\n\n"
        for path in (folder.data_dir / "postmaster.pid", folder.socket_dir / ".s.PGSQL.5432.lock"):
            path.write_text(note)
            owner.own(path)
        with embedded.running(state_dir, fast_and_unsafe=True) as server:
            assert sql(server, "SELECT answer FROM kept") == "42"
        assert stranger.poll() is None


def test_a_start_that_was_killed_while_it_made_the_cluster_is_made_up_for_by_the_next(state_dir: Path) -> None:
    user = UserProcess(state_dir)
    eventually(lambda: any(state_dir.glob("postgres/data.new-*/base/1")))
    user.kill()
    assert not (state_dir / "postgres" / "data").exists()
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        assert sql(server, "SELECT current_database()") == "ollama_fleet"
    assert not list(state_dir.glob("postgres/data.new-*"))


def test_a_start_that_was_killed_before_it_made_the_database_is_made_up_for_by_the_next(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        server.folder.execute("DROP DATABASE ollama_fleet", database="postgres")
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        assert sql(server, "SELECT current_database()") == "ollama_fleet"


def test_a_failed_statement_leaves_none_of_its_text_or_parameters_in_the_log(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        with pytest.raises(subprocess.CalledProcessError):
            sql(server, "SELECT 1 / length('hunter2') - 'x'::int, 'hunter2'")
        log = server.folder.log.read_text()
    assert "invalid input syntax" in log
    assert "hunter2" not in log
