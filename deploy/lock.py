"""Locks the versions of all packages: `uv.lock` decides, `deploy/requirements*.txt` repeat it for pip.

`python deploy/lock.py` brings all of them up to date (`--upgrade` takes newer versions);
`python deploy/lock.py --check` tells, without the network, whether they agree.
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELOCK = ".venv/bin/python deploy/lock.py"
HEADER = f"# Written from uv.lock by `{RELOCK}`: change pyproject.toml, then run that.\n"
EXPORTS = {
    "deploy/requirements.txt": ("--no-dev", "--group", "build"),
    "deploy/requirements-dev.txt": ("--group", "dev"),
}
INDEX = "https://pypi.org/simple"
WITHOUT_NETWORK = ("--offline", "--no-cache")
PUBLIC_HOSTS = {"pypi.org", "files.pythonhosted.org"}


class LockError(Exception):
    """The locked versions cannot be told, or do not agree; `str(error)` says what to do."""


def uv(*arguments: str) -> str:
    """Run uv on this project, deaf to the indexes that a person's or a company's settings name."""
    uv_settings = ("UV_INDEX", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX", "UV_FIND_LINKS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(uv_settings)}
    command = [str(Path(sys.executable).with_name("uv")), *arguments]
    command += ["--no-config", "--quiet", "--python", sys.executable]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    except FileNotFoundError as error:
        raise LockError(f"{command[0]} is missing: `sh deploy/test.sh` installs it.") from error
    except subprocess.CalledProcessError as error:
        raise LockError(f"`uv {' '.join(arguments)}` failed: {error.stderr.strip()}") from error
    return done.stdout


def exported(groups: Sequence[str]) -> str:
    """Return the requirements of these groups, with the hash of every file of every package."""
    options = ("--frozen", *WITHOUT_NETWORK, "--no-emit-project", "--no-header", "--no-annotate")
    return HEADER + uv("export", "--format", "requirements-txt", *options, *groups)


def write(*, upgrade: bool) -> None:
    """Bring `uv.lock` up to date with `pyproject.toml`, and the exports with `uv.lock`."""
    uv("lock", "--default-index", INDEX, *(["--upgrade"] if upgrade else []))
    for path, groups in EXPORTS.items():
        (ROOT / path).write_text(exported(groups), encoding="utf-8")


def check() -> None:
    """Raise `LockError` unless `pyproject.toml`, `uv.lock` and the exports agree, and name public hosts."""
    try:
        uv("lock", "--check", *WITHOUT_NETWORK, "--default-index", INDEX)
    except LockError as error:
        raise LockError(f"uv.lock does not fit pyproject.toml: run `{RELOCK}`.\n{error}") from error
    for path, groups in EXPORTS.items():
        if (ROOT / path).read_text(encoding="utf-8") != exported(groups):
            raise LockError(f"{path} does not say the same as uv.lock: run `{RELOCK}`.")
    hosts = set(re.findall(r"https?://([^/\"]+)", (ROOT / "uv.lock").read_text(encoding="utf-8")))
    if strange := sorted(hosts - PUBLIC_HOSTS):
        raise LockError(f"uv.lock names {', '.join(strange)}, which others cannot reach: run `{RELOCK}`.")


def main() -> int:
    """Lock or check, and tell a failure in one sentence."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing, tell whether all agree")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions allowed")
    wanted = parser.parse_args()
    try:
        if wanted.check:
            check()
        else:
            write(upgrade=wanted.upgrade)
    except (LockError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
