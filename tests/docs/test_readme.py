"""The README, typed by somebody who has never heard of us: every console block comes out as it is printed."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.deploy.checkout import ROOT
from tests.docs import pages
from tests.embedded import embedded_user

README = (ROOT / "README.md").read_text()
PROGRAMS = Path(sys.executable).parent
LIMIT = 60.0
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")


def typed(text: str) -> Iterator[tuple[str, str]]:
    """Every command of the console blocks, with what stands below it."""
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield command, output


def shape(text: str) -> list[str]:
    """The lines of a text without what differs from run to run: ids, numbers, and the blanks beside them."""
    lines = (NUMBER.sub("#", UUID.sub("ID", line)) for line in text.splitlines())
    return [" ".join(line.split()) for line in lines if line.strip()]


def comes_out(printed: str, seen: str) -> bool:
    """Whether a program printed what the page shows; a line that ends in … shows the beginning."""
    wanted, got = shape(printed), shape(seen)
    return len(wanted) == len(got) and all(
        line.startswith(want.removesuffix("…")) if want.endswith("…") else line == want
        for want, line in zip(wanted, got, strict=True)
    )


class Reader:
    """A person with a shell, and a fleet and an Ollama on ports that were free."""

    def __init__(self, folder: Path, state_dir: Path, processes: ExitStack) -> None:
        self._folder = folder
        path = f"{PROGRAMS}:{os.environ['PATH']}"
        self._env = {"PATH": path, "HOME": str(folder), "OLLAMA_FLEET_STATE_DIR": str(state_dir)}
        self._processes = processes
        self._places: dict[str, str] = {}

    def start(self, *command: str, address: str, **settings: str) -> tuple[subprocess.Popen[str], str]:
        """Start a program that prints where it listens, in the place of an address; return it and what it printed."""
        ours, theirs = os.openpty()
        self._processes.callback(os.close, ours)
        with open(theirs, "rb") as terminal:
            process = self._processes.enter_context(
                subprocess.Popen(
                    command, env={**self._env, **settings}, stdin=terminal, stdout=subprocess.PIPE, text=True
                )
            )
        self._processes.callback(process.kill)
        assert process.stdout is not None
        printed = ""
        for line in process.stdout:
            printed += "" if line.startswith("{") else line  # Its log, for machines.
            if found := re.search(r"(?:is at |API +)http://(\S+:[0-9]+)", line):
                self._places[address] = found[1]
                return process, printed
        pytest.fail(printed)

    def run(self, command: str) -> str:
        """Type a line; return what it printed."""
        for printed, place in self._places.items():
            command = command.replace(printed, place)
        done = subprocess.run(
            ["sh", "-c", command], cwd=self._folder, env=self._env, capture_output=True, text=True, check=False
        )
        return done.stdout

    def see(self, command: str, output: str) -> None:
        """Type a line until it prints what the page shows."""
        deadline = time.monotonic() + LIMIT
        while not comes_out(output, seen := self.run(command)):
            assert time.monotonic() < deadline, f"{command}\n{seen}"
            time.sleep(0.1)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """A person who has just checked the project out."""
    with embedded_user.state_dir() as state_dir, ExitStack() as processes:
        yield Reader(tmp_path, state_dir, processes)


def test_every_console_block_comes_out_as_it_is_printed(reader: Reader, tmp_path: Path) -> None:
    fake = (sys.executable, str(ROOT / "deploy" / "fake_ollama.py"), "--port=0")
    ollama, _ = reader.start(*fake, address="127.0.0.1:11434")
    up, said = reader.start(str(PROGRAMS / "ollama-fleet"), "up", address="127.0.0.1:8420", OLLAMA_FLEET_API_PORT="0")
    story = dict(typed(README))
    assert comes_out(story.pop("sh deploy/run.sh"), said)
    (tmp_path / ".env").write_text(story.pop("cat .env").rstrip("\n") + "\n")
    add = next(command for command in story if " servers add " in command)
    assert comes_out(story.pop(add), reader.run(add))
    last = ""
    for command, output in story.items():
        if " events " in command:
            ollama.send_signal(signal.SIGINT)
            ollama.wait(timeout=LIMIT)
        if output.strip():
            reader.see(command, output)
        else:
            last = reader.run(command)
    assert '"items"' in last, last
    up.send_signal(signal.SIGINT)
    up.communicate(timeout=LIMIT)
    assert up.returncode == 0


def test_what_it_leads_to_is_there() -> None:
    linked = set(re.findall(r"\]\(([^)#:]+)\)", README))
    for target in linked:
        assert (ROOT / target).exists(), target
    for page in pages.DOCS.iterdir():
        assert f"deploy/docs/{page.name}" in linked, f"nothing in the README leads to {page.name}"
