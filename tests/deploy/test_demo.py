"""The demo as a newcomer starts it: three servers appear, and nothing is left when it ends."""

import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.checkout import ROOT

LIMIT = 30
DEMO = [sys.executable, str(ROOT / "deploy" / "demo.py")]
# Of a real fleet, which the demo must not touch.
SETTINGS = {"OLLAMA_FLEET_STATE_DIR": "/nowhere", "OLLAMA_FLEET_FALL": "7"}
PATH = "/usr/local/bin:/usr/bin:/bin"


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files that every user may pass through, PostgreSQL's too."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def demo(temporary: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        DEMO,
        env={"PATH": PATH, "TMPDIR": str(temporary), **SETTINGS},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        yield process
        process.kill()


def printed_until_ready(demo: subprocess.Popen[str]) -> str:
    """Read what the demo prints until it names its API, which is when all servers are registered."""
    assert demo.stdout is not None
    printed = ""
    for line in demo.stdout:
        printed += line
        if "curl -s " in line:
            return printed
    pytest.fail(printed)


def wait_until_empty(folder: Path) -> None:
    """Wait until the demo has removed its state folder, which it does last."""
    deadline = time.monotonic() + LIMIT
    while any(folder.iterdir()):
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)


@pytest.mark.parametrize("end", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_the_demo_registers_three_servers_and_leaves_nothing_behind(
    demo: subprocess.Popen[str], temporary: Path, end: signal.Signals
) -> None:
    printed = printed_until_ready(demo)
    assert "demo: leaves OLLAMA_FLEET_FALL, OLLAMA_FLEET_STATE_DIR aside" in printed
    (listing,) = re.findall(r"curl -s (http://\S+)", printed)
    listed = json.dumps(answer_of(listing))
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


@pytest.mark.parametrize(
    ("options", "port", "code", "said"),
    [
        (("--help",), "", 0, "usage: sh deploy/run.sh --demo"),
        (("--port",), "", 2, "unrecognized arguments: --port"),
        ((), "no", 1, "OLLAMA_FLEET_API_PORT is no port: 'no'."),
        ((), "65536", 1, "port 65536 is none that is free on 127.0.0.1"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(
    options: tuple[str, ...], port: str, code: int, said: str, temporary: Path
) -> None:
    environment = {"PATH": PATH, "TMPDIR": str(temporary), "OLLAMA_FLEET_API_PORT": port or "0"}
    done = subprocess.run(
        [*DEMO, *options], env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    assert (done.returncode, said in done.stdout + done.stderr) == (code, True), done
    assert not any(temporary.iterdir())


def test_the_demo_takes_the_port_it_is_given_unless_somebody_has_it() -> None:
    program = "import demo; print(demo.settle_environment())"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
        refused = chosen(program, port)
        assert (refused.returncode, f"port {port} is none that is free" in refused.stderr) == (1, True)
    assert chosen(program, port).stdout == f"{port}\n"


def chosen(program: str, port: str) -> subprocess.CompletedProcess[str]:
    """Run a program beside the demo, on a machine that chooses a port."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT / "deploy",
        env={"OLLAMA_FLEET_API_PORT": port},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_fake_server_of_its_own_lists_and_answers() -> None:
    program = str(ROOT / "deploy" / "fake_ollama.py")
    command = [sys.executable, program, "--port=0", "--model=a:1b", "--model=b"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            (url,) = re.findall(r"http://127\.0\.0\.1:[0-9]+", process.stdout.readline())
            assert [model["name"] for model in answer_of(f"{url}/api/tags")["models"]] == ["a:1b", "b"]
            said = answer_of(f"{url}/api/chat", b'{"model": "b"}')["message"]["content"]
            assert said.startswith("b on fake")
            completion = answer_of(f"{url}/v1/chat/completions", b'{"model": "b"}')
            assert completion["choices"][0]["message"]["content"] == said
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=LIMIT) == 0
        finally:
            process.kill()


def answer_of(url: str, body: bytes | None = None) -> Any:
    """Return the JSON at a URL."""
    with urllib.request.urlopen(url, data=body, timeout=LIMIT) as answer:
        return json.load(answer)
