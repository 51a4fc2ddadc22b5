"""A host that is run by a real systemd, in namespaces of its own: files, processes, cgroups and network are apart."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy import checkout as checkouts
from tests.deploy.checkout import ROOT, Checkout

BOOT = Path(__file__).with_name("boot.sh")
NAMESPACES = ("--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child")
PYTHON = "/usr/bin/python3"
UV = Path(sys.executable).with_name("uv")
PATIENCE = 90.0
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "UV_CACHE_DIR": "/srv/uv",
    "UV_OFFLINE": "1",
}


def why_not() -> str | None:
    """Return why this machine cannot boot such a host, None when it can."""
    if os.geteuid() != 0:
        return "booting a systemd needs root"
    missing = [tool for tool in ("unshare", "nsenter", "pivot_root") if shutil.which(tool) is None]
    missing += [path for path in ("/lib/systemd/systemd", PYTHON) if not Path(path).exists()]
    if missing:
        return f"booting a systemd needs {', '.join(missing)}"
    if subprocess.run([PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"], check=False).returncode:
        return f"{PYTHON} is older than 3.11"
    if _cgroups() is None:
        return "no cgroup2 is mounted writable"
    # A mount as well, since some containers allow the namespaces and forbid to use them.
    trial = ["unshare", *NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    done = subprocess.run(trial, capture_output=True, text=True, check=False)
    return f"namespaces are not allowed here ({done.stderr.strip()})" if done.returncode else None


class BootedHost:
    """The host from outside: what is run on it, and what is asked of its systemd."""

    def __init__(self, process: subprocess.Popen[bytes], checkout: Checkout) -> None:
        self.checkout = checkout
        self._process = process

    def run(self, *command: str, text: str = "") -> tuple[int, str]:
        """Run a command as root; return its exit code and all it printed."""
        inside = ["nsenter", "--all", f"--target={self._first_process()}", *command]
        done = subprocess.run(
            inside,
            env=ENVIRONMENT,
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout

    def done(self, *command: str, text: str = "") -> str:
        """Run a command that must not fail, and return what it printed."""
        code, printed = self.run(*command, text=text)
        assert code == 0, printed
        return printed

    def install(self, *arguments: str) -> tuple[int, str]:
        """Run the installer of the checkout."""
        return self.run("sh", "/srv/checkout/deploy/install.sh", *arguments)

    def shown(self, unit: str, name: str) -> str:
        """Return one property of a unit."""
        return self.done("systemctl", "show", "--property", name, "--value", unit).strip()

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait until something holds."""
        limit = time.monotonic() + PATIENCE
        while not holds():
            assert self._process.poll() is None, f"the host ended before {what}"
            assert time.monotonic() < limit, f"not within {PATIENCE:.0f} s: {what}"
            time.sleep(0.2)

    def is_booted(self) -> bool:
        """Tell whether systemd has come to its end of the boot."""
        return self._first_process() is not None and self.run("systemctl", "is-system-running")[1] == "running\n"

    def _first_process(self) -> str | None:
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return children[0] if children else None


@contextmanager
def booted() -> Iterator[BootedHost]:
    """Boot a host that has a copy of the checkout and all packages; `why_not` must have found nothing."""
    cgroups = _cgroups()
    assert cgroups is not None
    with tempfile.TemporaryDirectory(prefix="ollama-fleet-host-") as scratch, checkouts.copied() as copy:
        cache = _filled_cache()
        cgroup = cgroups / Path(scratch).name
        cgroup.mkdir()
        script = ["sh", str(BOOT), str(cgroup), scratch, str(copy.root), str(UV), cache]
        process = subprocess.Popen(["unshare", *NAMESPACES, *script], stdin=subprocess.DEVNULL)
        try:
            host = BootedHost(process, copy)
            host.until(host.is_booted, "it has booted")
            yield host
        finally:
            # Nothing outlives the first process of the host, which the kernel ends with its parent.
            process.kill()
            process.wait()
            _remove(cgroup)


def _filled_cache() -> str:
    """Return the folder of uv's cache, which holds all that the installer asks for: the host itself has no network."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = ["--require-hashes", "-r", str(ROOT / "deploy" / "requirements.txt")]
        command: list[str | Path] = [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            PYTHON,
            "--target",
            folder,
            *requirements,
        ]
        subprocess.run(command, check=True)
    return subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()


def _cgroups() -> Path | None:
    """Return where groups can be made, None where they cannot."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return Path(place)
    return None


def _remove(cgroup: Path) -> None:
    """Remove the group once the kernel has taken its last process away."""
    limit = time.monotonic() + PATIENCE
    while "populated 1" in (cgroup / "cgroup.events").read_text():
        assert time.monotonic() < limit, "processes of the host go on"
        time.sleep(0.05)
    for folder, _, _ in os.walk(cgroup, topdown=False):
        Path(folder).rmdir()
