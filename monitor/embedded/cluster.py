"""A new database cluster, made in a side folder and renamed: it is there completely or not at all."""

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError
from monitor.embedded import account, binaries, file_lock, state_folder

_SIDE_FOLDER = "data.new-"
_FIRST_WITH_SYNC_METHOD = 17
_SIZE_OF_A_NEW_ONE = "60 MB"
_TOLD_LINES = 4


def major_of(data_dir: Path) -> int | None:
    """The major version that made the cluster, or None where there is no cluster."""
    try:
        return int(file_lock.read_short(data_dir / "PG_VERSION"))
    except FileNotFoundError:
        if data_dir.exists():
            raise EmbeddedPostgresError(
                f"{data_dir} exists but holds no PostgreSQL database. Nothing was touched: move it away, "
                f"or point OLLAMA_FLEET_STATE_DIR at another folder."
            ) from None
        return None
    except ValueError as error:
        raise EmbeddedPostgresError(
            f"{data_dir}/PG_VERSION is damaged. Nothing was touched: restore the folder from a backup, "
            f"or point OLLAMA_FLEET_STATE_DIR at another one."
        ) from error


def create(
    folder: state_folder.StateFolder, *, programs: binaries.Binaries, owner: account.Account, sync: bool
) -> None:
    """Make the cluster. The caller holds the start lock, so what lies around is left over from a crash."""
    for leftover in folder.root.glob(f"{_SIDE_FOLDER}*"):
        # The orphan of a killed start may still write in there; then the rest goes with the next start.
        shutil.rmtree(leftover, ignore_errors=True)
    side = Path(tempfile.mkdtemp(dir=folder.root, prefix=_SIDE_FOLDER))
    try:
        owner.own(side)
        _run_initdb(side, programs=programs, owner=owner, sync=sync)
        side.rename(folder.data_dir)
        if sync:
            _sync_folder(folder.root)
    except BaseException:
        shutil.rmtree(side, ignore_errors=True)
        raise


def _run_initdb(side: Path, *, programs: binaries.Binaries, owner: account.Account, sync: bool) -> None:
    command: list[str | Path] = [programs.initdb, "-D", side, "-U", state_folder.ROLE]
    # Who may enter the folder of the socket is let in; from the network nobody is, should it ever listen there.
    command += ["--auth-local=trust", "--auth-host=reject"]
    command += ["-E", "UTF8", "--locale=C", "--data-checksums"]
    if not sync:
        command.append("--no-sync")
    elif programs.major >= _FIRST_WITH_SYNC_METHOD and sys.platform == "linux":
        # One call for a thousand files.
        command.append("--sync-method=syncfs")
    made = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env=binaries.environment(),
        **owner.identity(),
    )
    if made.returncode != 0:
        raise EmbeddedPostgresError(
            f"The database could not be created in {side.parent}: {_why(made.stdout, made.returncode)}. "
            "Mend that and start again."
        )


def _why(said: str, code: int) -> str:
    """Return what initdb ended of: the last lines, except where a full disk is told of further up."""
    no_room = os.strerror(errno.ENOSPC)
    if no_room in said:
        return f"{no_room}, of which a new one takes about {_SIZE_OF_A_NEW_ONE}"
    return " | ".join(said.strip().splitlines()[-_TOLD_LINES:]) or f"exit code {code}"


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
