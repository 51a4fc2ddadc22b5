"""The server process itself: found, started, watched, stopped; adopted ones as well as our own children."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

from monitor.embedded import binaries, file_lock, process, start_plan, state_folder
from monitor.embedded.process import Process

_FAST_SHUTDOWN_SECONDS = 20.0
_IMMEDIATE_SHUTDOWN_SECONDS = 5.0


class Postmaster:
    """A server that runs or ran; `gone` is set when it has ended."""

    def __init__(
        self, held: Process | None, *, await_end: Callable[[], object], on_end: Callable[[], None] = lambda: None
    ) -> None:
        """`held` is None for one that had ended before it could be held."""
        self._held = held
        self.gone = threading.Event()

        def watch() -> None:
            await_end()
            self.gone.set()
            if held is not None:
                held.close()
            on_end()

        threading.Thread(target=watch, name="postmaster", daemon=True).start()

    def stop(self) -> None:
        """Fast shutdown, which ends sessions and writes all down; harder when that takes too long."""
        for signal_number, seconds in (
            (signal.SIGINT, _FAST_SHUTDOWN_SECONDS),
            (signal.SIGQUIT, _IMMEDIATE_SHUTDOWN_SECONDS),
            (signal.SIGKILL, _IMMEDIATE_SHUTDOWN_SECONDS),
        ):
            if self._held is None or not self._held.signal(signal_number) or self.gone.wait(seconds):
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
    # Nobody has waited for the child yet, so the number still is its own.
    return Postmaster(Process.hold(child.pid), await_end=child.wait, on_end=on_end)


def adopt(held: Process, *, on_end: Callable[[], None] = lambda: None) -> Postmaster:
    """Take over a server that somebody else started."""
    return Postmaster(held, await_end=held.wait, on_end=on_end)


def hold(data_dir: Path) -> Process | None:
    """Hold the server that runs on these data; None when there is none, and never a stranger."""
    pid = _noted_pid(data_dir / "postmaster.pid")
    held = None if pid is None else Process.hold(pid)
    if held is None or _serves(held, data_dir):
        return held
    held.close()
    return None


def find(data_dir: Path) -> int | None:
    """Return the process id of the server that runs on these data, or None."""
    held = hold(data_dir)
    if held is None:
        return None
    held.close()
    return held.pid


def quit_orphans(data_dir: Path) -> None:
    """Hurry the sessions of a killed server: as long as one of them runs, no new server may start."""
    for pid in process.all_ids():
        if (session := Process.hold(pid)) is not None:
            if session.title().startswith("postgres: ") and _is_of(session, data_dir):
                session.signal(signal.SIGQUIT)
            session.close()


def _clear_leftovers(folder: state_folder.StateFolder) -> None:
    """Remove the pid files of a server that is gone when their number belongs to another process by now.

    PostgreSQL sees through a dead number by itself, but a number that lives again keeps it from starting.
    """
    if find(folder.data_dir) is None:
        file_lock.remove(folder.data_dir, "postmaster.pid")
        file_lock.remove(folder.socket_dir, f"{folder.socket_path.name}.lock")


def _noted_pid(path: Path) -> int | None:
    try:
        return int(file_lock.read_short(path).splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None


def _serves(held: Process, data_dir: Path) -> bool:
    title = held.title()
    # Sessions have the title "postgres: …"; the server keeps the command line it was started with.
    return "postgres" in title and not title.startswith("postgres: ") and _is_of(held, data_dir)


def _is_of(held: Process, data_dir: Path) -> bool:
    # Who owns the data can write any number into their folder, so it must be one of his own processes.
    try:
        owner = os.stat(data_dir).st_uid
    except OSError:
        return False
    return held.works_in(data_dir) and held.belongs_to(owner) and held.is_alive()
