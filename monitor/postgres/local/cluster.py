"""A new database cluster, made in a side folder and renamed: it is there completely or not at all."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from monitor.domain.errors import EmbeddedPostgresError
from monitor.postgres.local import account, binaries, state_folder

_SIDE_FOLDER = "data.new-"
_FIRST_WITH_SYNC_METHOD = 17


def major_of(data_dir: Path) -> int | None:
    """The major version that made the cluster, or None where there is no cluster."""
    try:
        return int((data_dir / "PG_VERSION").read_text())
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
    command: list[str | Path] = [programs.initdb, "-D", side, "-U", state_folder.ROLE, "-A", "trust"]
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
        last_lines = " | ".join(made.stdout.strip().splitlines()[-4:]) or f"exit code {made.returncode}"
        raise EmbeddedPostgresError(
            f"The database could not be created in {side.parent}: {last_lines}. Mend that and start again."
        )


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
