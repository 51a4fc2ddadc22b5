"""The PostgreSQL that the fleet runs itself: one server per state folder, shared by all users.

Everything here is synchronous and quick: it runs before the event loop does. How the server outlives one user
and never its last is told in `supervisor`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import (
    account,
    cluster,
    copies,
    file_lock,
    postmaster,
    start_plan,
    state_folder,
    step_down,
    supervision,
    wire,
)
from monitor.embedded.binaries import Binaries

_LOCK_SECONDS = 60.0
# Recovery after a power loss may take long; a server that cannot start at all ends much earlier.
_READY_SECONDS = 300.0
_POLL_SECONDS = 0.01
_CANNOT_CONNECT_NOW = "57P03"
_NO_SUCH_DATABASE = "3D000"
_TOO_MANY_CONNECTIONS = "53300"
_SOMEBODY_STARTS = "another process has been starting or stopping this database all the time"
_STILL_STOPPING = "the last server of this state folder has not stopped yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedServer:
    """A server that answers."""

    folder: state_folder.StateFolder
    binaries: Binaries

    @property
    def socket_dir(self) -> Path:
        """The folder of its unix socket."""
        return self.folder.socket_dir

    @property
    def data_dir(self) -> Path:
        """Its database cluster."""
        return self.folder.data_dir

    def dsn(self, database: str = state_folder.DATABASE) -> str:
        """A connection string for asyncpg, libpq and psql."""
        return self.folder.dsn(database)


@contextmanager
def running(state_dir: Path, *, fast_and_unsafe: bool = False) -> Iterator[EmbeddedServer]:
    """Start the server of a state folder, or join it, and hold it while the block runs.

    `fast_and_unsafe` gives up durability for speed, which only a throw-away database may do.
    Raises EmbeddedPostgresError, which says what to do.
    """
    folder = state_folder.StateFolder.at(state_dir)
    safe = not fast_and_unsafe
    if (other := account.owner_of(folder.state_dir)) is not None:
        with step_down.running(folder, other, fast_and_unsafe=fast_and_unsafe):
            yield EmbeddedServer(folder=folder, binaries=Binaries.find(major=cluster.major_of(folder.data_dir)))
        return
    with _explained(folder):
        owner = account.choose(folder.data_dir)
        folder.prepare_root(owner)
        users_lock = file_lock.open_file(folder.users_lock)
    try:
        with _explained(folder):
            server = _joined(folder, users_lock=users_lock, owner=owner, safe=safe)
        try:
            yield server
        finally:
            with _explained(folder):
                _leave(server, owner=owner, safe=safe)
    finally:
        os.close(users_lock)


def peek(state_dir: Path) -> EmbeddedServer | None:
    """The server of a state folder if it answers now; nothing is started or held."""
    folder = state_folder.StateFolder.at(state_dir)
    with _explained(folder):
        if not _answers(folder):
            return None
        return EmbeddedServer(folder=folder, binaries=Binaries.find(major=cluster.major_of(folder.data_dir)))


def stop(state_dir: Path) -> bool:
    """Stop the server, whoever uses it; False when none ran."""
    folder = state_folder.StateFolder.at(state_dir)
    if (other := account.owner_of(folder.state_dir)) is not None:
        return step_down.stop(folder, other)
    with _explained(folder):
        if not folder.start_lock.exists():
            return False
        folder.require_guarded()
        with file_lock.exclusive(folder.start_lock, seconds=_LOCK_SECONDS, holder=_SOMEBODY_STARTS):
            supervised = supervision.end(folder)
            held = postmaster.hold(folder.data_dir)
            if held is not None:
                # Its supervisor was killed, and nobody has come since.
                postmaster.adopt(held).stop()
            return supervised or held is not None


def _joined(folder: state_folder.StateFolder, *, users_lock: int, owner: account.Account, safe: bool) -> EmbeddedServer:
    with file_lock.exclusive(folder.start_lock, seconds=_LOCK_SECONDS, holder=_SOMEBODY_STARTS):
        file_lock.wait_for(users_lock, shared=True, seconds=_LOCK_SECONDS, holder=_STILL_STOPPING)
        programs = Binaries.find(major=cluster.major_of(folder.data_dir))
        server = EmbeddedServer(folder=folder, binaries=programs)
        deadline = time.monotonic() + _READY_SECONDS
        began = False
        # Both, on each round: a supervisor may be on its way out, and a server may have lost its supervisor.
        while not (supervision.is_present(folder) and _answers(folder, create_database=True)):
            if not supervision.is_present(folder):
                if began:
                    raise EmbeddedPostgresError(_why_not_started(folder))
                began = _begin(server, owner=owner, safe=safe)
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(_why_not_started(folder))
            time.sleep(_POLL_SECONDS)
    return server


def _begin(server: EmbeddedServer, *, owner: account.Account, safe: bool) -> bool:
    folder = server.folder
    owner.require_way_to(folder.root)
    folder.bound_log()
    folder.prepare_socket_dir(owner)
    with copies.lent(server.binaries, owner=owner) as loan:
        if not folder.data_dir.exists():
            cluster.create(folder, programs=loan.programs, owner=owner, sync=safe)
        plan = start_plan.make(folder, programs=loan.programs, owner=owner, safe=safe)
        return supervision.begin(folder, plan, held=loan.held)


def _leave(server: EmbeddedServer, *, owner: account.Account, safe: bool) -> None:
    """See to it that the server does not outlive its last user, even if its supervisor was killed."""
    folder = server.folder
    if postmaster.find(folder.data_dir) is not None and not supervision.is_present(folder):
        _begin(server, owner=owner, safe=safe)


def _answers(folder: state_folder.StateFolder, *, create_database: bool = False) -> bool:
    try:
        folder.execute()
    except (FileNotFoundError, ConnectionError, BlockingIOError):
        # No socket, nobody behind it, or (the last) more callers than a starting server has room for.
        return False
    except wire.RefusedError as refusal:
        if refusal.sqlstate == _TOO_MANY_CONNECTIONS:
            return True
        if refusal.sqlstate == _NO_SUCH_DATABASE and create_database:
            # Two cannot meet here: the caller holds the start lock.
            folder.execute(f"CREATE DATABASE {state_folder.DATABASE}", database="postgres")
            return True
        if refusal.sqlstate in (_CANNOT_CONNECT_NOW, _NO_SUCH_DATABASE):
            return False
        raise EmbeddedPostgresError(
            f"The database in {folder.root} runs but lets nobody in: {refusal}. See {folder.log}."
        ) from refusal
    return True


def _why_not_started(folder: state_folder.StateFolder) -> str:
    return (
        f"PostgreSQL did not start on {folder.data_dir}. Its last words: {folder.log_tail() or 'none'}. "
        f"Mend that and start again; the whole log is {folder.log}."
    )


@contextmanager
def _explained(folder: state_folder.StateFolder) -> Iterator[None]:
    try:
        yield
    except (OSError, subprocess.SubprocessError, wire.RefusedError) as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {folder.root} cannot be used: {_words(error)}. Mend that, or point "
            f"OLLAMA_FLEET_STATE_DIR at a folder that this user can write to."
        ) from error


def _words(error: Exception) -> str:
    """Return an error without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def main() -> None:
    """Do for root what `step_down` leaves to the owner of a state folder, which is the first argument."""
    state_dir, action = Path(sys.argv[1]), sys.argv[2]
    try:
        if action == step_down.STOP:
            sys.stdout.write(step_down.STOPPED if stop(state_dir) else "")
            return
        with running(state_dir, fast_and_unsafe=action == step_down.RUN_UNSAFELY):
            sys.stdout.write(f"{step_down.READY}\n")
            sys.stdout.flush()
            sys.stdin.read()
    except EmbeddedPostgresError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
