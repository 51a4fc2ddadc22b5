"""The system account that PostgreSQL runs as: it refuses root, so root lends it an unprivileged one."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from monitor.domain.errors import EmbeddedPostgresError

_CANDIDATES = ("ollama-fleet", "postgres", "nobody")


class Identity(TypedDict, total=False):
    """Arguments of `subprocess` that make a program run as the account; empty when we are it already."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who owns the data; `lent` is true when root steps down to it."""

    uid: int
    gid: int
    lent: bool

    @property
    def name(self) -> str:
        """The login name, or the number where there is none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)

    def identity(self) -> Identity:
        """What to hand to `subprocess` so that a program runs as this account."""
        return Identity(user=self.uid, group=self.gid, extra_groups=[]) if self.lent else Identity()

    def own(self, path: Path) -> None:
        """Give a file that root made to the account; never through a link."""
        if self.lent:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def require_way_to(self, folder: Path) -> None:
        """EmbeddedPostgresError when the account cannot reach the folder, whatever the reason."""
        if not self.lent:
            return
        # The kernel knows best (modes, ACLs, security modules), so a process of the account tries it.
        reached = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$0"', folder], capture_output=True, check=False, **self.identity()
        )
        if reached.returncode != 0:
            raise EmbeddedPostgresError(
                f"PostgreSQL does not run as root, so it runs as {self.name}, and that account cannot enter "
                f"{folder}. Point OLLAMA_FLEET_STATE_DIR at a folder outside of private homes, "
                f"such as /var/lib/ollama-fleet."
            )


def choose(state_dir: Path, *, data_dir: Path) -> Account:
    """An ordinary user: itself. Root: who owns the data, else the state folder, else a known name."""
    if os.geteuid() != 0:
        _refuse_foreign(data_dir)
        return Account(uid=os.geteuid(), gid=os.getegid(), lent=False)
    for path in (data_dir, state_dir):
        if path.exists() and (status := path.stat()).st_uid != 0:
            return Account(uid=status.st_uid, gid=status.st_gid, lent=True)
    for name in _CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid, lent=True)
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_CANDIDATES)} exists. "
        f"Create one (`useradd --system ollama-fleet`) or start as an ordinary user."
    )


def _refuse_foreign(data_dir: Path) -> None:
    try:
        owner = data_dir.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return
    if owner != os.geteuid():
        raise EmbeddedPostgresError(
            f"The database in {data_dir} belongs to user {owner}, not to you. Start as that user or as root, "
            f"or point OLLAMA_FLEET_STATE_DIR at a folder of your own."
        )
