"""Programs of Debian packages, downloaded by apt and unpacked in a folder: nothing is installed, and no root needed."""

import fcntl
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGES = ("nginx", "haproxy")
TOOLS = ("apt-get", "dpkg-deb")
PATIENCE = 600.0
RELEASE = Path("/etc/os-release")
# All that apt would write on the machine it writes below the folder; what others have it do afterwards is left out.
CONFIGURATION = """\
Dir::State::Lists "{folder}/lists";
Dir::Cache "{folder}/cache";
Dir::Log "{folder}/log";
APT::Sandbox::User "";
Debug::NoLocking "true";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
"""
DOWNLOAD = ("install", "--yes", "--no-install-recommends", "--download-only", "--reinstall")


class NotToBeHadError(Exception):
    """The programs cannot be had on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Programs:
    """What the packages hold, below one folder."""

    root: Path

    def path(self, name: str) -> Path:
        """Return the path of a program."""
        return self.root / "usr" / "sbin" / name

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to find the libraries that came with it, and nothing else."""
        libraries = sorted({str(library.parent) for library in self.root.glob("**/*.so*")})
        return {"PATH": os.defpath, "LD_LIBRARY_PATH": os.pathsep.join(libraries)}


def unpacked(folder: Path) -> Programs:
    """Return the programs below a folder, downloaded there by the first who asks; raises `NotToBeHadError`."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        raise NotToBeHadError(f"nginx and HAProxy are taken from Debian, and {', '.join(missing)} is missing")
    folder.mkdir(parents=True, exist_ok=True)
    # Several processes run the tests.
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Another release has other libraries.
        release, ready = RELEASE.read_text(), folder / "release"
        if not ready.exists() or ready.read_text() != release:
            ready.unlink(missing_ok=True)
            shutil.rmtree(folder / "root", ignore_errors=True)
            _download(folder)
            for package in sorted((folder / "cache" / "archives").glob("*.deb")):
                _run("dpkg-deb", "--extract", str(package), str(folder / "root"))
            ready.write_text(release)
    return Programs(folder / "root")


def _download(folder: Path) -> None:
    """Have apt fetch the packages, and those of their libraries that this machine lacks."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "log"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    configuration = folder / "apt.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder))
    apt = ("apt-get", "-qq", "-c", str(configuration))
    _run(*apt, "update")
    _run(*apt, *DOWNLOAD, *PACKAGES)
    shutil.rmtree(folder / "lists")


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=PATIENCE,
    )
    if done.returncode:
        raise NotToBeHadError(f"`{' '.join(command)}` failed: {done.stdout.strip()}")
