"""The command as a person types it: in this process where that is enough, else as a real process."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import structlog

import api
from api.cli import entry
from monitor import logs
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.settings import LogFormat, LogLevel, Settings
from tests.api.serving import serving_beside

CHECKOUT = Path(api.__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "api.cli")
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Typed(Protocol):
    """Runs a command in this process."""

    def __call__(self, *arguments: str) -> Outcome:
        """Return how it ended."""
        ...


class OnTerminal(Protocol):
    """Runs a command in this process, at a terminal; `keys` are typed ahead."""

    def __call__(self, *arguments: str, keys: str = "", no_color: str = "", columns: int = 200) -> tuple[int, str]:
        """Return the exit code, and all that the terminal got to show."""
        ...


@pytest.fixture(autouse=True)
def _no_fleet_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A test that forgets to name a database reaches no real one."""
    monkeypatch.setenv("OLLAMA_FLEET_STATE_DIR", str(tmp_path / "state"))


@pytest.fixture
def typed(capfd: pytest.CaptureFixture[str]) -> Typed:
    """Run a command in this process, as one whose output goes into a pipe."""

    def run(*arguments: str) -> Outcome:
        capfd.readouterr()
        code = entry.run(arguments)
        printed = capfd.readouterr()
        return Outcome(code, printed.out, printed.err)

    return run


@pytest.fixture
def on_database(dsn: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A migrated database that all commands of the test work on."""
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", dsn)
    return dsn


@pytest.fixture(params=["database", "api"])
def on_fleet(request: pytest.FixtureRequest, dsn: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fleet that all commands of the test work on: in a database at hand, then behind an API elsewhere."""
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", dsn)
    if request.param == "database":
        yield
        return
    # The API is to say nothing into the output of the command beside it.
    logs.configure(LogFormat.TEXT, LogLevel.ERROR)
    settings = Settings.model_validate({"api_port": "0", "check_timeout": "1s"})
    with serving_beside(settings, dsn) as address:
        wait_until_it_listens(address)
        monkeypatch.setenv("OLLAMA_FLEET_API_URL", address)
        yield
    structlog.reset_defaults()


def wait_until_it_listens(address: str) -> None:
    """Wait until the API has its session for LISTEN, whose absence it would tell of."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with urlopen(f"{address}/readyz") as answer:
                checks = json.load(answer)["checks"]
        except HTTPError as not_ready:
            checks = json.load(not_ready)["checks"]
        if checks.get("listener") == "ok":
            return
        assert time.monotonic() < deadline, checks
        time.sleep(0.02)


@pytest.fixture
def started() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command as a process of its own; it does not outlive the test."""
    processes: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **settings: Any) -> subprocess.Popen[str]:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        process = subprocess.Popen([*COMMAND, *arguments], cwd=CHECKOUT, text=True, **(streams | settings))
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.communicate()


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed) -> KeyRingFile:
    """A key ring that all commands of the test use."""
    path = tmp_path / "keyring"
    assert typed("keys", "create", str(path)).code == 0
    monkeypatch.setenv("OLLAMA_FLEET_KEYRING_FILE", str(path))
    return KeyRingFile(path)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    """A file with a secret, as an editor writes it."""
    path = tmp_path / "secret"
    path.write_text("canary-secret\n")
    return str(path)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> OnTerminal:
    """Run a command in this process, as one that a person types at a terminal of 200 columns if not told otherwise."""

    def run(*arguments: str, keys: str = "", no_color: str = "", columns: int = 200) -> tuple[int, str]:
        ours, theirs = os.openpty()
        os.write(ours, keys.encode())
        with monkeypatch.context() as patch, ThreadPoolExecutor(max_workers=1) as pool:
            # Read beside it: a terminal holds back whoever writes more than a few kilobytes that nobody reads.
            written = pool.submit(lambda: b"".join(iter(lambda: _read(ours), b"")))
            for name, value in {"TERM": "xterm-256color", "COLUMNS": str(columns), "NO_COLOR": no_color}.items():
                patch.setenv(name, value)
            with (
                open(theirs, "w", buffering=1, encoding="utf-8") as screen,
                open(theirs, encoding="utf-8", closefd=False) as keyboard,
            ):
                patch.setattr("sys.stdout", screen)
                patch.setattr("sys.stderr", screen)
                patch.setattr("sys.stdin", keyboard)
                code = entry.run(arguments)
            shown = written.result().decode()
        os.close(ours)
        return code, shown

    return run


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:
        # Nobody has the other side open any more.
        return b""
