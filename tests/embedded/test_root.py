"""Root and the embedded PostgreSQL: root works where nobody else can change a thing, and lends an account the data."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account, file_lock, postmaster, state_folder
from monitor.embedded import postgres as embedded
from tests.embedded import embedded_user
from tests.embedded.embedded_user import CHECKOUT, UserProcess

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture
def state_dir() -> Iterator[Path]:
    with embedded_user.state_dir() as path:
        yield path
        # What a test gave away, so that root can stop what runs there.
        for given_away in (path.parent, path, path / "postgres"):
            if given_away.exists():
                os.chown(given_away, 0, 0, follow_symlinks=False)


@pytest.fixture
def somebody() -> account.Account:
    """A user of the system that is neither root nor nobody, nor an account that root lends."""
    entry = pwd.getpwnam("daemon")
    return account.Account(uid=entry.pw_uid, gid=entry.pw_gid, lent=True)


def installed_for_all(folder: Path) -> list[Path]:
    """Lay out monitor and PostgreSQL's package where each account can enter; the checkout may be in root's home."""
    shutil.copytree(CHECKOUT / "monitor", folder / "monitor")
    embedded_user.copy_package(folder)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return [folder]


def interpreter_for(owner: account.Account) -> str:
    """A Python that the account can start; the one of the tests may be in root's home."""
    program = "import sys; assert sys.version_info >= (3, 11)"
    for interpreter in (sys.executable, os.path.realpath(sys.executable), "/usr/bin/python3"):
        try:
            subprocess.run(
                [interpreter, "-c", program], check=True, cwd="/", stderr=subprocess.DEVNULL, **owner.identity()
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return interpreter
    pytest.skip(f"{owner.name} can reach no Python 3.11 on this machine")


def given(folder: Path, owner: account.Account) -> None:
    """Make a folder of somebody."""
    folder.mkdir(exist_ok=True)
    os.chown(folder, owner.uid, owner.gid)


def test_root_and_the_owner_of_the_state_folder_share_one_server(state_dir: Path, somebody: account.Account) -> None:
    interpreter = interpreter_for(somebody)
    path = installed_for_all(state_dir.parent / "installed")
    given(state_dir, somebody)
    for first, second in ((account.Identity(), somebody.identity()), (somebody.identity(), account.Identity())):
        users = []
        for identity in (first, second):
            users.append(UserProcess(state_dir, identity=identity, interpreter=[interpreter], path=path))
            users[-1].facts()
        supervisor = state_folder.StateFolder.at(state_dir).supervisor_lock.read_text().split()[0]
        assert Path(f"/proc/{supervisor}").stat().st_uid == somebody.uid
        for user in users:
            user.leave()
        embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))
    # Root has put nothing of its own there.
    assert {path.lstat().st_uid for path in state_dir.rglob("*")} == {somebody.uid}


def test_root_does_nothing_by_itself_in_the_folder_of_somebody_else(
    state_dir: Path, somebody: account.Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(state_dir, somebody)
    (state_dir.parent / "python").write_text("of root alone")
    monkeypatch.setattr(sys, "executable", str(state_dir.parent / "python"))
    for use in (lambda: embedded.running(state_dir).__enter__(), lambda: embedded.stop(state_dir)):
        with pytest.raises(EmbeddedPostgresError, match=r"belongs to daemon, .* \(`runuser -u daemon -- …`\)"):
            use()
    assert list(state_dir.iterdir()) == []
    monkeypatch.undo()


@pytest.mark.parametrize("place", ["state", "above", "postgres", "link"])
def test_root_refuses_to_work_where_others_can_change_something(
    state_dir: Path, somebody: account.Account, place: str
) -> None:
    state_dir = state_dir / "fleet"
    folder = {"state": state_dir, "above": state_dir.parent}.get(place, state_dir / "postgres")
    (state_dir / "elsewhere").mkdir(parents=True)
    if place == "link":
        folder.symlink_to(state_dir / "elsewhere")
    else:
        folder.mkdir(exist_ok=True)
    if place == "state":
        # Each can put a folder `postgres` there first.
        folder.chmod(0o1777)
    elif place != "link":
        os.chown(folder, somebody.uid, somebody.gid)
    said = f"but {folder} is a link" if place == "link" else f"but other users can change {folder}"
    with pytest.raises(EmbeddedPostgresError, match=said), embedded.running(state_dir):
        pass
    assert list((state_dir / "elsewhere").iterdir()) == []


def test_the_account_that_root_lends_owns_the_data_and_the_socket_and_nothing_else(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        root = state_dir / "postgres"
        owners = {path.name: path.lstat().st_uid for path in (state_dir, root, *root.iterdir())}
        lent = {name for name, uid in owners.items() if uid != 0}
        assert lent == {"data", "run"}
        assert owners["data"] == owners["run"] == account.choose(server.data_dir).uid
        identity = account.choose(server.data_dir).identity()
        for attack in (f"mv {root}/data {root}/gone", f"touch {root}/new", f"echo 1 > {root}/supervisor.lock"):
            assert (
                subprocess.run(["sh", "-c", attack], stderr=subprocess.DEVNULL, check=False, **identity).returncode != 0
            )


def test_a_link_in_what_the_account_owns_leads_root_nowhere(state_dir: Path) -> None:
    precious = state_dir.parent / "precious"
    precious.mkdir()
    for name in ("PG_VERSION", "postmaster.pid", ".s.PGSQL.5432.lock"):
        (precious / name).write_text("of root\n")
    leftover = state_dir / "postgres" / "data.new-1"
    leftover.mkdir(parents=True)
    (leftover / "base").symlink_to(precious)
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        pass
    embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))
    assert not leftover.exists()
    (server.socket_dir / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    server.socket_dir.rmdir()
    server.socket_dir.symlink_to(precious)
    for name in ("PG_VERSION", "postmaster.pid"):
        (server.data_dir / name).unlink(missing_ok=True)
        (server.data_dir / name).symlink_to(precious / name)
    with pytest.raises(EmbeddedPostgresError), embedded.running(state_dir, fast_and_unsafe=True):
        pass
    with pytest.raises(OSError, match=r"Not a directory|Too many levels"):
        file_lock.remove(server.socket_dir, ".s.PGSQL.5432.lock")
    assert {path.name for path in precious.iterdir()} == {"PG_VERSION", "postmaster.pid", ".s.PGSQL.5432.lock"}


def test_root_lends_an_account_of_its_own_else_that_of_postgresql_and_never_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"ollama-fleet": 901, "postgres": 902, "nobody": 65534}

    def look_up(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=known[name], pw_gid=known[name])

    monkeypatch.setattr(pwd, "getpwnam", look_up)
    for name in ("ollama-fleet", "postgres"):
        assert account.choose(tmp_path / "data").uid == known.pop(name)
    with pytest.raises(EmbeddedPostgresError, match="`useradd --system ollama-fleet`"):
        account.choose(tmp_path / "data")
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 65534, 65534)
    with pytest.raises(EmbeddedPostgresError, match=r"belongs to nobody, .*chown -R ollama-fleet"):
        account.choose(tmp_path / "data")


def test_as_root_it_runs_as_an_account_without_privileges(state_dir: Path) -> None:
    with embedded.running(state_dir, fast_and_unsafe=True) as server:
        pid = postmaster.find(server.data_dir)
        status = Path(f"/proc/{pid}/status").read_text()
        uids = next(line for line in status.splitlines() if line.startswith("Uid:")).split()[1:]
        groups = next(line for line in status.splitlines() if line.startswith("Groups:")).split()[1:]
        assert set(uids) == {str(server.data_dir.stat().st_uid)}
        assert "0" not in uids
        assert "0" not in groups
