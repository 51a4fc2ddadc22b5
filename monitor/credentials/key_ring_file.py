"""The file of the key ring: read only if it is nobody else's, written so that no moment has half of one."""

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from monitor import permission
from monitor.credentials import key_ring
from monitor.credentials.key_ring import Key, KeyRing, KeyRingSyntaxError
from monitor.domain.errors import KeyRingError

MODE = 0o600
UNFINISHED = ".new"
MAX_BYTES = 256 * 1024
# As systemd hands credentials to a service: of root, and readable by an access list that shows as the group's bit.
FROM_ROOT = frozenset({0o400, 0o440})
ATTEMPTS = 10

Signature: TypeAlias = tuple[int, ...]


class KeyRingFile:
    """One file; raises `KeyRingError` with what to do whenever it cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def signature(self) -> Signature | None:
        """Return what changes whenever the file does; None when there is none."""
        try:
            return _signature(os.stat(self.path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def read(self) -> tuple[KeyRing, Signature]:
        """Return the ring, and the signature that the file had."""
        with self._opened() as descriptor:
            return self._parsed(self._text(descriptor)), _signature(os.fstat(descriptor))

    def create(self, key: Key) -> bool:
        """Make the file with one key; False when there is one already, which stays as it is."""
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            with self._beside(key_ring.first_text(key), like=None) as complete:
                # Unlike a rename this fails when somebody else was quicker.
                os.link(complete, self.path)
            _sync_folder(self.path)
        except FileExistsError:
            return False
        except OSError as error:
            raise self._unwritable(error) from error
        return True

    def edit(self, change: Callable[[str], str]) -> KeyRing:
        """Replace the text of the file by another one; whoever edits it at the same time waits for his turn."""
        with self._alone() as descriptor:
            text = self._text(descriptor)
            self._parsed(text)
            changed = change(text)
            ring = self._parsed(changed)
            if changed != text:
                try:
                    self._clear_away()
                    with self._beside(changed, like=os.fstat(descriptor)) as complete:
                        os.rename(complete, self.path.resolve())
                    _sync_folder(self.path.resolve())
                except OSError as error:
                    raise self._unwritable(error) from error
            return ring

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """Hold the lock of the file that has the name now: the one that was opened may have been replaced."""
        for _ in range(ATTEMPTS):
            with self._opened() as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if self.signature() == _signature(os.fstat(descriptor)):
                    yield descriptor
                    return
        raise KeyRingError(f"The key ring {self.path} is being changed all the time; try again.")

    @contextmanager
    def _opened(self) -> Iterator[int]:
        try:
            # Without blocking, lest a pipe under this name hold us up.
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._require_private(os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def _require_private(self, status: os.stat_result) -> None:
        if not stat.S_ISREG(status.st_mode):
            raise KeyRingError(f"The key ring {self.path} is not a file. Let OLLAMA_FLEET_KEYRING_FILE name one.")
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077 and not (status.st_uid == 0 and mode in FROM_ROOT):
            raise KeyRingError(
                f"The key ring {self.path} is open to others (mode {mode:04o}): chmod 600 it, and if somebody may have "
                "read it, give the servers new credentials."
            )

    def _text(self, descriptor: int) -> str:
        try:
            raw = os.pread(descriptor, MAX_BYTES + 1, 0)
        except OSError as error:
            raise self._unusable(error) from error
        if len(raw) > MAX_BYTES:
            raise self._junk("it is far too long")
        try:
            return raw.decode("ascii")
        except UnicodeDecodeError:
            # Without the cause, which repeats what stands there.
            raise self._junk("it is no text") from None

    def _parsed(self, text: str) -> KeyRing:
        try:
            return key_ring.parse(text)
        except KeyRingSyntaxError as error:
            raise self._junk(str(error)) from error

    def _clear_away(self) -> None:
        """Remove what is left of somebody who was killed while writing: there are keys in it."""
        target = self.path.resolve()
        for unfinished in target.parent.glob(f".{target.name}.*{UNFINISHED}"):
            unfinished.unlink(missing_ok=True)

    @contextmanager
    def _beside(self, text: str, *, like: os.stat_result | None) -> Iterator[Path]:
        """Write a complete file beside this one, of the same owner as another; it is gone after the block."""
        target = self.path if like is None else self.path.resolve()
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=UNFINISHED, dir=target.parent)
        complete = Path(name)
        try:
            with open(descriptor, "w", encoding="ascii") as file:
                if like is not None and (like.st_uid, like.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, MODE if like is None else stat.S_IMODE(like.st_mode))
                file.write(text)
                file.flush()
                os.fsync(descriptor)
            yield complete
        finally:
            with contextlib.suppress(FileNotFoundError):
                complete.unlink()

    def _junk(self, why: str) -> KeyRingError:
        return KeyRingError(
            f"The key ring {self.path} cannot be used: {why}. Put it back from your copy; "
            "a new one is made by `ollama-fleet keys create FILE`, but it opens nothing that is stored."
        )

    def _unusable(self, error: OSError) -> KeyRingError:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return KeyRingError(
                f"The key ring {self.path} does not exist: put it there from your copy, or, if no credential was "
                f"stored yet, make one with `ollama-fleet keys create {self.path}`."
            )
        if isinstance(error, PermissionError):
            me = permission.user()
            next_ = f"{permission.way_out(self.path)}, or, if it is to be {me}'s, `sudo chown {me} {self.path}`."
        else:
            next_ = "Mend that, or put it back from your copy."
        return KeyRingError(f"The key ring {self.path} cannot be read: {error.strerror}. {next_}")

    def _unwritable(self, error: OSError) -> KeyRingError:
        return KeyRingError(
            f"The key ring {self.path} cannot be written: {error.strerror}. Run this as somebody who may, with "
            "OLLAMA_FLEET_KEYRING_FILE naming the original where this is a copy of systemd's."
        )


def _signature(status: os.stat_result) -> Signature:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
