"""Where the embedded PostgreSQL of one state folder keeps its things: every path and address of it."""

import contextlib
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account, file_lock, wire

ROLE = "fleet"
DATABASE = "ollama_fleet"
# The smallest limit among the systems we run on (macOS: 104 with the final NUL; Linux: 108).
_LONGEST_SOCKET_PATH = 103
_SOCKET_NAME = ".s.PGSQL.5432"
_LONGEST_LOG = 10 * 1024 * 1024
_KEPT_OF_LOG = 1024 * 1024
_TAIL_LINES = 4


@dataclass(frozen=True, slots=True)
class StateFolder:
    """One state folder, already resolved: two spellings of it must be one server."""

    state_dir: Path

    @classmethod
    def at(cls, state_dir: Path) -> "StateFolder":
        """The folder behind any spelling of its path."""
        return cls(state_dir.expanduser().resolve())

    @property
    def root(self) -> Path:
        """All that belongs to the server."""
        return self.state_dir / "postgres"

    @property
    def data_dir(self) -> Path:
        """The database cluster; it exists only when it is complete."""
        return self.root / "data"

    @property
    def users_lock(self) -> Path:
        """Held shared by each user of the server; who gets it exclusively knows that there is none."""
        return self.root / "users.lock"

    @property
    def start_lock(self) -> Path:
        """Held by the one process that starts, joins or stops the server."""
        return self.root / "start.lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor as long as it lives; its content is the supervisor's process id."""
        return self.root / "supervisor.lock"

    @property
    def log(self) -> Path:
        """What PostgreSQL says."""
        return self.root / "server.log"

    @property
    def socket_dir(self) -> Path:
        """Inside the state folder, or a private folder in /tmp where that path suits no socket or no DSN."""
        inside = self.root / "run"
        # A comma separates hosts in a connection string, however it is written.
        if len(os.fsencode(inside / _SOCKET_NAME)) <= _LONGEST_SOCKET_PATH and "," not in str(inside):
            return inside
        digest = hashlib.sha256(os.fsencode(self.state_dir)).hexdigest()[:16]
        # Not the folder of TMPDIR: that differs from shell to shell, and this one must not.
        return Path("/tmp") / f"ollama-fleet-{digest}"

    @property
    def socket_path(self) -> Path:
        """The unix socket of the server."""
        return self.socket_dir / _SOCKET_NAME

    def dsn(self, database: str = DATABASE) -> str:
        """A connection string that libpq and asyncpg both read."""
        host = quote(os.fsencode(self.socket_dir), safe="")
        return f"postgresql://{ROLE}@/{quote(database, safe='')}?host={host}"

    def execute(self, statement: str | None = None, *, database: str = DATABASE) -> None:
        """One statement, or only a login; raises as `wire.execute` does."""
        wire.execute(self.socket_path, user=ROLE, database=database, statement=statement)

    def prepare_root(self, owner: account.Account) -> None:
        """Make the folder that holds all else, which an account that root lends can pass through and not change."""
        self.require_guarded()
        self.state_dir.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        self.require_guarded()
        self.root.chmod(0o711 if owner.lent else 0o700)
        for path in (self.users_lock, self.start_lock, self.supervisor_lock, self.log):
            os.close(file_lock.open_file(path))

    def require_guarded(self) -> None:
        """Raise EmbeddedPostgresError where root would work in what others can change."""
        account.require_guarded(self.root, outermost=self.state_dir)

    def prepare_socket_dir(self, owner: account.Account) -> None:
        """Make the socket's folder private: who may enter it is the database's superuser."""
        path = self.socket_dir
        try:
            path.mkdir(mode=0o700)
            owner.own(path)
        except FileExistsError:
            status = path.lstat()
            private = stat.S_ISDIR(status.st_mode) and not stat.S_IMODE(status.st_mode) & 0o077
            if not private or status.st_uid != owner.uid:
                raise EmbeddedPostgresError(
                    f"{path} is not a private folder of {owner.name}, so the database's socket is not put "
                    f"there. Remove it, or point OLLAMA_FLEET_STATE_DIR at a shorter path."
                ) from None

    def remove_socket_dir(self) -> None:
        """Leave nothing of ours in /tmp."""
        if self.socket_dir.parent != self.root:
            with contextlib.suppress(OSError):
                self.socket_dir.rmdir()

    def open_log(self) -> BinaryIO:
        """To append to it."""
        return open(self.log, "ab", opener=_open_no_link)

    def bound_log(self) -> None:
        """Cut a log that has grown too long down to its end; a server that has it open only appends."""
        try:
            with open(self.log, "r+b", opener=_open_no_link) as log:
                if log.seek(0, os.SEEK_END) > _LONGEST_LOG:
                    log.seek(-_KEPT_OF_LOG, os.SEEK_END)
                    end = log.read()
                    log.seek(0)
                    log.truncate()
                    log.write(end)
        except FileNotFoundError:
            pass

    def log_tail(self) -> str:
        """The last lines of the log, in one."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return " | ".join(lines[-_TAIL_LINES:])


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)
