"""A copy of the checkout in a folder of its own, so that a test can set it up, break it or move it."""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("monitor", "api", "migrations", "deploy", "pyproject.toml", "uv.lock", "README.md", "LICENSE")
# As words of a shell, since the checkout may be in a path with quotes.
PYTHON = shlex.quote(sys.executable)
UV = shlex.quote(str(Path(sys.executable).with_name("uv")))

# Does what uv does as far as the set-up can tell, without a package: it makes the .venv and notes the calls.
STAND_IN_FOR_UV = f"""#!/bin/sh
case $1 in
--version) exit ;;
venv)
    mkdir -p .venv/bin && ln -s {PYTHON} .venv/bin/python
    printf '#!/bin/sh\\necho started "$@"\\n' >.venv/bin/ollama-fleet && chmod +x .venv/bin/ollama-fleet ;;
esac
echo "$@" >>calls
if [ -e fail ]; then echo 'the index is away' >&2; exit 1; fi
if [ -e slow ]; then sleep 0.5; fi
"""


class Checkout:
    """A copied checkout and the environment its scripts are run in."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = "/usr/local/bin:/usr/bin:/bin"

    @property
    def calls(self) -> list[str]:
        """What the stand-in for uv was asked to do, oldest first."""
        log = self.root / "calls"
        return log.read_text().splitlines() if log.exists() else []

    def command(self, program: str) -> Path:
        """Return the path of a program that the set-up has installed."""
        return self.root / ".venv" / "bin" / program

    def start(self, script: str, *arguments: str, user: str | None = None, **env: str) -> subprocess.Popen[str]:
        """Start a script of deploy/ from another folder, with nothing in its environment but `env`."""
        return subprocess.Popen(
            ["sh", str(self.root / "deploy" / script), *arguments],
            cwd="/",
            env={"PATH": self.path, **env},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            user=user,
        )

    def run(self, script: str, *arguments: str, user: str | None = None, **env: str) -> tuple[int, str]:
        """Run a script of deploy/ to its end; return its exit code and all it printed."""
        with self.start(script, *arguments, user=user, **env) as process:
            printed, _ = process.communicate(timeout=100)
        return process.returncode, printed


@contextmanager
def copied() -> Iterator[Checkout]:
    """Copy the checkout to a path with a space in it, where every user may look."""
    with tempfile.TemporaryDirectory(prefix="ollama fleet ") as folder:
        os.chmod(folder, 0o755)
        root = Path(folder, "the checkout")
        root.mkdir()
        for part in PARTS:
            source = ROOT / part
            if source.is_dir():
                shutil.copytree(source, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, root / part)
        yield Checkout(root)


def put_on_path(checkout: Checkout, folder: Path, *, name: str, text: str) -> None:
    """Put a script on the PATH of the checkout, before everything else."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)
    checkout.path = f"{folder}:{checkout.path}"
