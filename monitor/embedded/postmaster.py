"""The server process itself: found, started, watched, stopped; adopted ones as well as our own children."""

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

from monitor.embedded import binaries, start_plan, state_folder

_POLL_SECONDS = 0.1
_FAST_SHUTDOWN_SECONDS = 20.0
_IMMEDIATE_SHUTDOWN_SECONDS = 5.0
_PROCESSES = Path("/proc")


class Postmaster:
    """A server that runs or ran; `gone` is set when it has ended."""

    def __init__(self, pid: int, *, await_end: Callable[[], object], on_end: Callable[[], None]) -> None:
        self.pid = pid
        self.gone = threading.Event()

        def watch() -> None:
            await_end()
            self.gone.set()
            on_end()

        threading.Thread(target=watch, name=f"postmaster-{pid}", daemon=True).start()

    def stop(self) -> None:
        """Fast shutdown, which ends sessions and writes all down; harder when that takes too long."""
        for signal_number, seconds in (
            (signal.SIGINT, _FAST_SHUTDOWN_SECONDS),
            (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN_SECONDS),
            (signal.SIGKILL, _IMMEDIATE_SHUTDOWN_SECONDS),
        ):
            if self.gone.is_set():
                return
            try:
                os.kill(self.pid, signal_number)
            except ProcessLookupError:
                return
            if self.gone.wait(seconds):
                return


def start(folder: state_folder.StateFolder, plan: start_plan.StartPlan, *, on_end: Callable[[], None]) -> Postmaster:
    """Start the server as a child; the caller holds the supervisor's lock, so there is no other starter."""
    _clear_leftovers(folder)
    with folder.open_log() as log:
        child = subprocess.Popen(
            plan.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=binaries.environment(),
            start_new_session=True,
            umask=0o077,
            **plan.owner.identity(),
        )
    return Postmaster(child.pid, await_end=child.wait, on_end=on_end)


def adopt(pid: int, *, on_end: Callable[[], None] = lambda: None) -> Postmaster:
    """Take over a server that somebody else started."""
    return Postmaster(pid, await_end=lambda: _await_end(pid), on_end=on_end)


def find(data_dir: Path) -> int | None:
    """The process id of the server that runs on these data, or None; never that of a stranger."""
    pid = _noted_pid(data_dir / "postmaster.pid")
    return pid if pid is not None and _serves(pid, data_dir) else None


def quit_orphans(data_dir: Path) -> None:
    """Hurry the sessions of a killed server: as long as one of them runs, no new server may start."""
    for process in _PROCESSES.glob("[0-9]*"):
        if _title(process).startswith("postgres: ") and _works_in(process, data_dir):
            try:
                os.kill(int(process.name), signal.SIGQUIT)
            except (ProcessLookupError, PermissionError):
                continue


def _clear_leftovers(folder: state_folder.StateFolder) -> None:
    """Remove the pid files of a server that is gone when their number belongs to another process by now.

    PostgreSQL sees through a dead number by itself, but a number that lives again keeps it from starting.
    """
    if find(folder.data_dir) is None:
        socket = folder.socket_path
        for path in (folder.data_dir / "postmaster.pid", socket.with_name(f"{socket.name}.lock")):
            path.unlink(missing_ok=True)


def _noted_pid(path: Path) -> int | None:
    try:
        return int(path.read_text().splitlines()[0])
    except (FileNotFoundError, NotADirectoryError, ValueError, IndexError):
        return None


def _serves(pid: int, data_dir: Path) -> bool:
    if pid <= 1:
        return False
    process = _PROCESSES / str(pid)
    if (_PROCESSES / "self").exists():
        title = _title(process)
        # Sessions have the title "postgres: …"; the server keeps the command line it was started with.
        return "postgres" in title and not title.startswith("postgres: ") and _works_in(process, data_dir)
    listed = subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)], stdout=subprocess.PIPE, text=True, check=False
    ).stdout
    return "postgres" in listed and str(data_dir) in listed


def _title(process: Path) -> str:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _works_in(process: Path, data_dir: Path) -> bool:
    # The server works in its data folder, by whatever name either of us knows it.
    try:
        return os.path.samefile(process / "cwd", data_dir)
    except OSError:
        return False


def _await_end(pid: int) -> None:
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        except OSError:
            pass  # An old kernel, or a sandbox that forbids it: ask again and again instead.
        else:
            try:
                select.select([descriptor], [], [])
            finally:
                os.close(descriptor)
            return
    while _is_alive(pid):
        time.sleep(_POLL_SECONDS)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
