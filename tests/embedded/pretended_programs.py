"""Pretended programs of PostgreSQL, to be copied in no time, and where the copies go."""

import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from monitor.embedded import account, binaries, copies

US = account.Account(uid=os.geteuid(), gid=os.getegid(), lent=False)
MAJOR = 18


@contextmanager
def open_folder() -> Iterator[Path]:
    """Lend a folder that each account can reach, unlike pytest's own ones."""
    with tempfile.TemporaryDirectory(prefix="fleet-", dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def nobody() -> account.Account:
    """Return a user who is not to change what root runs."""
    entry = pwd.getpwnam("nobody")
    return account.Account(uid=entry.pw_uid, gid=entry.pw_gid, lent=True)


def installed(site: Path, *, release: int = 0, name: str = binaries.PACKAGE) -> binaries.Binaries:
    """Make programs that know their version and nothing else, and a library beside them."""
    folder = site / name / "pginstall" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for program in ("postgres", "initdb", "psql"):
        (folder / program).write_text(f"#!/bin/sh\necho '{program} (PostgreSQL) {MAJOR}.{release}'\n")
        (folder / program).chmod(0o755)
    libraries = site / f"{name}.libs"
    libraries.mkdir(exist_ok=True)
    (libraries / "libpq.so").write_text("a library")
    return binaries.Binaries(folder=folder, major=MAJOR)


def lent_from(programs: binaries.Binaries, place: Path, *, owner: account.Account = US) -> Path:
    """Borrow the programs for a moment, and return the folder where they were."""
    with copies.lent(programs, owner=owner, place=place) as loan:
        return loan.programs.folder


def copies_in(place: Path) -> set[str]:
    """Return the names of the copies, and of what is left of one."""
    return {path.name for path in place.iterdir() if path.is_dir()}
