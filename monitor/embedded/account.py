"""The system account that PostgreSQL runs as: it refuses root, so root lends it an unprivileged one."""

import os
import pwd
import shlex
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from monitor.domain.errors import EmbeddedPostgresError

_CANDIDATES = ("ollama-fleet", "postgres")
_NEVER = "nobody"
_CREATE = "Create one of its own (`useradd --system ollama-fleet`)"


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


def choose(data_dir: Path) -> Account:
    """An ordinary user: itself. Root: who owns the data, else an account made for this, or for PostgreSQL."""
    if os.geteuid() != 0:
        # The folder around it first: root's own is closed to others.
        for path in (data_dir.parent, data_dir):
            _refuse_foreign(path)
        return Account(uid=os.geteuid(), gid=os.getegid(), lent=False)
    if (owner := owner_of(data_dir)) is not None:
        return owner
    for name in _CANDIDATES:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(uid=entry.pw_uid, gid=entry.pw_gid, lent=True)
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(_CANDIDATES)} exists. "
        f"{_CREATE}, or start as an ordinary user."
    )


def owner_of(folder: Path) -> Account | None:
    """Return who owns a folder where root is not at home; None for all others. Raises for `nobody`.

    As `nobody` run programs of all kinds, and each of them could do with the folder what it wants.
    """
    if os.geteuid() != 0:
        return None
    status = _status(folder)
    if status is None or status.st_uid == 0:
        return None
    try:
        group = pwd.getpwuid(status.st_uid).pw_gid
    except KeyError:
        group = status.st_gid
    owner = Account(uid=status.st_uid, gid=group, lent=True)
    if owner.name == _NEVER:
        raise EmbeddedPostgresError(
            f"{folder} belongs to {_NEVER}, as whom other programs run, too. {_CREATE} and give it the folder with "
            f"`chown -R ollama-fleet: {shlex.quote(str(folder))}`."
        )
    return owner


def is_guarded(folder: Path, *, alone: bool = False) -> bool:
    """Whether nobody else can rename what is ours in the folder, or, with `alone`, put anything there."""
    status = folder.lstat()
    others = stat.S_IWOTH
    if os.geteuid() == 0 and status.st_gid != 0:
        # A user's own group, which many systems give write access, is no danger to that user.
        others |= stat.S_IWGRP
    is_open = status.st_mode & others and (alone or not status.st_mode & stat.S_ISVTX)
    return stat.S_ISDIR(status.st_mode) and status.st_uid in (0, os.geteuid()) and not is_open


def require_guarded(folder: Path, *, outermost: Path) -> None:
    """Raise EmbeddedPostgresError, to root, if others can put anything between two folders, or others in their place.

    What is not there yet will be root's.
    """
    if os.geteuid() != 0:
        return
    for each in (folder, *folder.parents):
        if not each.is_symlink() and (not each.is_dir() or is_guarded(each, alone=each.is_relative_to(outermost))):
            continue
        why = f"{each} is a link" if each.is_symlink() else f"other users can change {each}"
        raise EmbeddedPostgresError(
            f"Root works where nobody else can change anything, but {why}. Give root a folder in its place (`chown "
            f"root:root`, `chmod go-w`), or point OLLAMA_FLEET_STATE_DIR at one of root's own, such as "
            f"/var/lib/ollama-fleet."
        )


def _refuse_foreign(path: Path) -> None:
    status = _status(path)
    if status is not None and status.st_uid != os.geteuid():
        raise EmbeddedPostgresError(
            f"The database in {path} belongs to user {status.st_uid}, not to you. Start as that user or as root, "
            f"or point OLLAMA_FLEET_STATE_DIR at a folder of your own."
        )


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a path, None when nothing is there."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
