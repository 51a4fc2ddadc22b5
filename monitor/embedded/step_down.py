"""Root in the state folder of another user: what is to be done there is done by a process of that user.

Root itself would follow links and believe process ids that the user can write.
"""

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account, binaries, state_folder

RUN, RUN_UNSAFELY, STOP = "run", "run-unsafely", "stop"
READY, STOPPED = "ready", "stopped"


@contextmanager
def running(folder: state_folder.StateFolder, owner: account.Account, *, fast_and_unsafe: bool) -> Iterator[None]:
    """Have the owner start or join the server, and hold it while the block runs; raises EmbeddedPostgresError."""
    with _started(folder, owner, RUN_UNSAFELY if fast_and_unsafe else RUN) as process:
        assert process.stdout is not None
        if process.stdout.readline().strip() == READY:
            yield
        _, said = process.communicate()
        if process.returncode != 0:
            raise _failure(folder, owner, said)


def stop(folder: state_folder.StateFolder, owner: account.Account) -> bool:
    """Have the owner stop the server; False when none ran."""
    with _started(folder, owner, STOP) as process:
        answer, said = process.communicate()
        if process.returncode != 0:
            raise _failure(folder, owner, said)
        return answer == STOPPED


@contextmanager
def _started(folder: state_folder.StateFolder, owner: account.Account, action: str) -> Iterator[subprocess.Popen[str]]:
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-m", "monitor.embedded.postgres", folder.state_dir, action],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**binaries.environment(), "HOME": _home(owner), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            # A Ctrl-C on the terminal is for us; the process leaves when we close its standard input.
            start_new_session=True,
            **owner.identity(),
        )
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"{folder.state_dir} belongs to {owner.name}, so root leaves it to a process of {owner.name}, who may not "
            f"execute {sys.executable}. {_otherwise(owner)}"
        ) from error
    with process:
        yield process


def _failure(folder: state_folder.StateFolder, owner: account.Account, said: str) -> EmbeddedPostgresError:
    why = (said.strip().splitlines() or ["It says nothing."])[-1]
    return EmbeddedPostgresError(
        f"{folder.state_dir} belongs to {owner.name}, so root leaves it to a process of {owner.name}, and that failed: "
        f"{why} {_otherwise(owner)}"
    )


def _otherwise(owner: account.Account) -> str:
    return f"Run the command as that user (`runuser -u {owner.name} -- …`), or point OLLAMA_FLEET_STATE_DIR elsewhere."


def _home(owner: account.Account) -> str:
    try:
        return pwd.getpwuid(owner.uid).pw_dir
    except KeyError:
        return "/"
