"""The supervisor as its users see it: whether there is one, how to get one, how to be rid of it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import monitor
from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import file_lock, start_plan, state_folder
from monitor.embedded.process import Process

_STOP_SECONDS = 40.0
_ASKING_SECONDS = 0.2
_POLL_SECONDS = 0.01


def is_present(folder: state_folder.StateFolder) -> bool:
    """Whether a supervisor lives. Its lock says so, which a process id in a file cannot."""
    return file_lock.is_held(folder.supervisor_lock)


def begin(folder: state_folder.StateFolder, plan: start_plan.StartPlan, *, held: Sequence[int] = ()) -> bool:
    """Put a supervisor over the state folder, which keeps `held` open as long as it lives; false when there is one."""
    with contextlib.ExitStack() as stack:
        lock = file_lock.open_file(folder.supervisor_lock)
        stack.callback(os.close, lock)
        if not _taken(lock):
            return False
        os.ftruncate(lock, 0)
        log = stack.enter_context(folder.open_log())
        # The child inherits the lock that is held already: there is no moment without a holder.
        subprocess.run(
            [sys.executable, "-P", "-s", "-m", "monitor.embedded.supervisor", folder.state_dir, str(lock)],
            input=plan.to_json(),
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=log,
            check=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(Path(monitor.__file__).resolve().parent.parent)},
            pass_fds=[lock, *held],
            # A Ctrl-C on the terminal is for the user's process; the database stops when that has ended.
            start_new_session=True,
        )
    return True


def end(folder: state_folder.StateFolder) -> bool:
    """Make the supervisor stop its server and itself; false when there was none."""
    deadline = time.monotonic() + _STOP_SECONDS
    told: int | None = None
    while is_present(folder):
        held = _noted(folder)
        if held is not None:
            if held.pid != told and held.signal(signal.SIGTERM):
                told = held.pid
            held.close()
        if time.monotonic() > deadline:
            holder = f"process {told}" if told else f"the process that holds {folder.supervisor_lock}"
            raise EmbeddedPostgresError(
                f"The database in {folder.root} did not stop within {_STOP_SECONDS:.0f} s; see {folder.log}. "
                f"Run `ollama-fleet db stop` again, or end {holder}."
            )
        time.sleep(_POLL_SECONDS)
    return told is not None


def _taken(lock: int) -> bool:
    # Who only asks whether there is a supervisor holds its lock for an instant, so one refusal proves nothing.
    deadline = time.monotonic() + _ASKING_SECONDS
    while not file_lock.take(lock):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _noted(folder: state_folder.StateFolder) -> Process | None:
    """Hold the supervisor that the lock names: that number, born then, of the user whose file it is."""
    # Empty for the moment between taking the lock and noting who did.
    pid, _, born = file_lock.read_short(folder.supervisor_lock).partition(" ")
    held = Process.hold(int(pid)) if pid.isdecimal() else None
    if held is None or (held.born == born and held.belongs_to(os.lstat(folder.supervisor_lock).st_uid)):
        return held
    held.close()
    return None
