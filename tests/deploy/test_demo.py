"""The demo as a newcomer starts it: three servers appear, and nothing is left when it ends."""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT

LIMIT = 30


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files that every user may pass through, PostgreSQL's too."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "deploy" / "demo.py")],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(temporary)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def api_of(demo: subprocess.Popen[str]) -> str:
    """Read what the demo prints until it names its API, which is when all servers are registered."""
    assert demo.stdout is not None
    printed = []
    for line in demo.stdout:
        printed.append(line)
        if found := re.search(r"curl -s (http://\S+)/api/servers", line):
            return found[1]
    pytest.fail("".join(printed))


def wait_until_empty(folder: Path) -> None:
    """Wait until the demo has removed its state folder, which it does last."""
    deadline = time.monotonic() + LIMIT
    while any(folder.iterdir()):
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_the_demo_registers_three_servers_and_leaves_nothing_behind(
    demo: subprocess.Popen[str], temporary: Path, end: signal.Signals
) -> None:
    with urllib.request.urlopen(f"{api_of(demo)}/api/servers", timeout=LIMIT) as answer:
        listed = json.dumps(json.load(answer))
    assert all(name in listed for name in ("demo-anna", "demo-berta", "demo-clara"))
    assert any(temporary.iterdir())
    demo.send_signal(end)
    demo.wait(timeout=LIMIT)
    wait_until_empty(temporary)


def test_demos_that_start_at_once_take_different_ports() -> None:
    program = "import demo, sys; print(demo.free_api_port(), flush=True); sys.stdin.read()"
    with ExitStack() as stack:
        choosing = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", program],
                    cwd=ROOT / "deploy",
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(2)
        ]
        ports = {one.stdout.readline() for one in choosing if one.stdout is not None}
    assert len(ports) == len(choosing)
