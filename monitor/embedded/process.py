"""Another process, held fast: a signal reaches the one that was looked at, and no stranger who got its number since."""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

_POLL_SECONDS = 0.1
_PROCESSES = Path("/proc")
# Where the start time is in /proc/PID/stat, counted after the name in parentheses, which may hold anything.
_START_TIME = 19


class Process:
    """What the kernel says of a process, true of this one as long as `is_alive` says so afterwards."""

    def __init__(self, pid: int, descriptor: int | None) -> None:
        self.pid = pid
        self.born = born(pid)
        self._descriptor = descriptor
        self._closing = threading.Lock()

    @classmethod
    def hold(cls, pid: int) -> Self | None:
        """Hold the process that has this number now; None when there is none. Whoever holds it closes it."""
        if pid <= 1:
            return None
        descriptor = None
        if hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                return None
            except OSError:
                pass  # An old kernel, or a sandbox that forbids it: the start time has to do instead.
        process = cls(pid, descriptor)
        if process.is_alive():
            return process
        process.close()
        return None

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        if self._descriptor is not None:
            return not _is_readable(self._descriptor, milliseconds=0)
        if self.born != born(self.pid):
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended or is not ours to end."""
        with self._closing, contextlib.suppress(ProcessLookupError, PermissionError):
            if self._descriptor is not None:
                signal.pidfd_send_signal(self._descriptor, number)
                return True
            if self.is_alive():
                os.kill(self.pid, number)
                return True
        return False

    def wait(self) -> None:
        """Sleep until it has ended."""
        if self._descriptor is not None:
            _is_readable(self._descriptor, milliseconds=None)
            return
        while self.is_alive():
            time.sleep(_POLL_SECONDS)

    def close(self) -> None:
        """Hold it no more; after this no signal is sent."""
        with self._closing:
            # What it was born as no process is: that one is never alive.
            self.born = "closed"
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is not None:
                os.close(descriptor)

    def belongs_to(self, uid: int) -> bool:
        """Whether it runs as this user and nothing else, by its real, effective and saved ids."""
        if not _has_proc():
            return _listed(self.pid, "uid=").strip() == str(uid)
        lines = _text(self.pid, "status").splitlines()
        ids = next((line.split()[1:4] for line in lines if line.startswith("Uid:")), [])
        return set(ids) == {str(uid)}

    def title(self) -> str:
        """What it was started with, or calls itself now."""
        return _text(self.pid, "cmdline") if _has_proc() else _listed(self.pid, "command=")

    def works_in(self, folder: Path) -> bool:
        """Whether this is its working folder, by whatever name either of us knows it."""
        if not _has_proc():
            return str(folder) in self.title()
        try:
            return os.path.samefile(_PROCESSES / str(self.pid) / "cwd", folder)
        except OSError:
            return False


def born(pid: int) -> str:
    """Return what tells a process from a later one of the same number; empty where there is no such thing."""
    return "".join(_text(pid, "stat").rpartition(")")[2].split()[_START_TIME : _START_TIME + 1])


def all_ids() -> list[int]:
    """Return the numbers of all processes, as far as the kernel shows them."""
    return [int(path.name) for path in _PROCESSES.glob("[0-9]*")]


def _has_proc() -> bool:
    return (_PROCESSES / "self").exists()


def _text(pid: int, name: str) -> str:
    try:
        return (_PROCESSES / str(pid) / name).read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _listed(pid: int, column: str) -> str:
    return subprocess.run(["ps", "-o", column, "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=False).stdout


def _is_readable(descriptor: int, *, milliseconds: int | None) -> bool:
    # Not select(), which takes no descriptor above 1023.
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(milliseconds))
