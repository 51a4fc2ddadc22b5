"""Files that others may have changed, opened as what they are, and locks on them that end with their holder."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError

_POLL_SECONDS = 0.01
_SHORT = 4096


def open_file(path: Path) -> int:
    """A descriptor to lock; never follows a link, never reaches the programs that this process starts."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def read_short(path: Path) -> str:
    """Return the beginning of a small file of text; OSError for a link, and never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _SHORT).decode(errors="replace")
    finally:
        os.close(descriptor)


def remove(folder: Path, name: str) -> None:
    """Remove a file from a folder if both are there; OSError for a link in place of the folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=descriptor)
    finally:
        os.close(descriptor)


def take(descriptor: int, *, shared: bool = False) -> bool:
    """Take the lock if that is possible at once; says whether it was."""
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def wait_for(descriptor: int, *, shared: bool = False, seconds: float, holder: str) -> None:
    """Take the lock; EmbeddedPostgresError when `holder` keeps it for longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not take(descriptor, shared=shared):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"Gave up after {seconds:.0f} s: {holder}. Try again; if that does not help, "
                f"`ollama-fleet db stop` does."
            )
        time.sleep(_POLL_SECONDS)


def block_until_exclusive(descriptor: int) -> None:
    """Sleep in the kernel until nobody else holds the lock."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


@contextmanager
def exclusive(path: Path, *, seconds: float, holder: str) -> Iterator[None]:
    """Hold the lock of a file while the block runs."""
    descriptor = open_file(path)
    try:
        wait_for(descriptor, seconds=seconds, holder=holder)
        yield
    finally:
        os.close(descriptor)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock of the file exclusively now."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not take(descriptor, shared=True)
    finally:
        os.close(descriptor)
