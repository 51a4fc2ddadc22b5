"""`up`: one process that is the whole fleet, from the first line to the last."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from monitor.settings import Settings
from tests.api.serving import serving_beside
from tests.cli.conftest import PATIENCE, Typed, wait_until_it_listens
from tests.embedded import embedded_user

Started = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def state_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with embedded_user.state_dir() as path:
        monkeypatch.setenv("OLLAMA_FLEET_STATE_DIR", str(path))
        monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
        yield path


def welcome(process: subprocess.Popen[str]) -> list[str]:
    """The lines that are printed when all of it runs."""
    assert process.stdout is not None
    lines: list[str] = []
    while not (lines and lines[-1].startswith("  curl ")):
        line = process.stdout.readline()
        assert line, process.communicate(timeout=PATIENCE)[1]
        lines.append(line.rstrip("\n"))
    return lines


def address(lines: list[str]) -> str:
    return next(line.split()[1] for line in lines if line.startswith("  API "))


def test_everything_runs_on_a_database_of_its_own_and_nothing_stays_behind(
    started: Started, typed: Typed, state_dir: Path
) -> None:
    process = started("up", stdin=subprocess.DEVNULL)
    lines = welcome(process)
    assert lines[0] == "ollama-fleet is running."
    with urllib.request.urlopen(f"{address(lines)}/api/servers", timeout=PATIENCE) as answer:
        assert json.load(answer)["items"] == []
    assert typed("servers", "add", "gpu-1", "http://127.0.0.1:9").code == 0
    outcome = typed("servers", "check", "gpu-1")
    assert outcome.code == 1
    assert "; refused: Nothing listens on the port.\nNext: Start Ollama on this machine" in outcome.out
    assert typed("db", "psql", "--", "-Atc", "SELECT name FROM ollama_servers").out == "gpu-1\n"
    assert typed("db", "uri").err == ""
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    events = [json.loads(line)["event"] for line in log.splitlines()]
    assert events.index("api_stopped") < events.index("stopping") < events.index("stopped")
    embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))


def test_ctrl_c_in_the_middle_of_the_first_start_leaves_no_trace_of_it(started: Started, state_dir: Path) -> None:
    process = started("up")
    embedded_user.eventually(state_dir.exists)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (130, "", "\n")
    embedded_user.eventually(lambda: not embedded_user.is_running(state_dir))


def test_a_command_fills_an_empty_state_folder_by_itself(typed: Typed, state_dir: Path) -> None:
    assert typed("servers", "add", "gpu-1", "http://127.0.0.1:9").code == 0
    assert "gpu-1" in typed("servers", "list").out
    assert state_dir.exists()


def test_the_first_credential_makes_a_key_ring_in_the_state_folder(
    started: Started, typed: Typed, state_dir: Path, secret_file: str
) -> None:
    words = ("servers", "add", "gpu-1", "http://127.0.0.1:9", "--auth-type", "bearer", "--secret-file", secret_file)
    out, err = started(*words, "--json").communicate(timeout=PATIENCE)
    assert json.loads(out)["auth"] == {"type": "bearer", "configured": True}
    assert "key_ring_made" in err
    assert f"path={state_dir}/keyring" in err
    assert stat.S_IMODE((state_dir / "keyring").stat().st_mode) == 0o600
    assert typed("servers", "add", "gpu-2", "http://127.0.0.2:9", *words[4:]).err == ""
    (state_dir / "keyring").unlink()
    outcome = typed("up")
    assert (outcome.code, outcome.out) == (78, "")
    assert "the key ring that opens them is not at" in outcome.err
    assert not (state_dir / "keyring").exists()


@pytest.mark.usefixtures("on_database")
def test_a_port_that_is_taken_ends_it_with_78_and_says_which_setting_helps(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("OLLAMA_FLEET_API_PORT", str(taken.getsockname()[1]))
        outcome = typed("up")
    assert (outcome.code, outcome.out) == (78, "")
    assert "OLLAMA_FLEET_API_PORT" in outcome.err.splitlines()[-1]
    assert "another program does" in outcome.err


def test_a_second_start_says_that_the_first_one_runs(
    on_database: str, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving_beside(Settings.model_validate({"api_port": "0"}), on_database) as url:
        monkeypatch.setenv("OLLAMA_FLEET_API_PORT", url.rpartition(":")[2])
        # Its words about its start are not to come among those of the command.
        wait_until_it_listens(url)
        urllib.request.urlopen(f"{url}/api/models", timeout=PATIENCE).close()
        outcome = typed("up")
    assert (outcome.code, outcome.out) == (78, "")
    assert "an API of ollama-fleet runs there already. Stop that one, or set OLLAMA_FLEET_API_PORT" in outcome.err


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("part", ["monitor", "API"])
def test_a_part_that_ends_by_itself_ends_the_process_with_1(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    async def end_soon(*_: object, ready: Callable[..., None] | None = None, **__: object) -> None:
        if ready is not None and part == "API":
            ready("http://127.0.0.1:1")
        await asyncio.sleep(0)

    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    monkeypatch.setattr(f"{part.lower()}.app.serve", end_soon)
    outcome = typed("up")
    assert outcome.code == 1
    assert f"ollama-fleet: The {part} ended by itself" in outcome.err


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(("is_service", "greeting"), [(False, "; Ctrl-C stops it."), (True, ".")])
def test_ctrl_c_is_spoken_of_where_somebody_can_press_it(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, is_service: bool, greeting: str
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    ours, theirs = os.openpty()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(ours, "rb"), open(theirs, "rb") as terminal:
        manager.bind(str(tmp_path / "notify"))
        if is_service:
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        process = started("up", stdin=terminal)
        lines = welcome(process)
        process.terminate()
        process.communicate(timeout=PATIENCE)
    assert lines[0] == f"ollama-fleet is running{greeting}"
    assert ("Next, in a terminal:" in lines) is is_service


@pytest.mark.usefixtures("on_database")
def test_the_next_commands_are_those_that_work_here(
    started: Started, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    file = tmp_path / "my fleet.toml"
    file.write_text('check_interval = "20s"\n')
    process = started("--config", str(file), "up")
    lines = welcome(process)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    command = next(line for line in lines if "servers add" in line)
    assert f"-m api.cli --config '{file}' servers add gpu-1 http://127.0.0.1:11434" in command


@pytest.mark.usefixtures("on_database")
def test_where_others_may_ask_the_greeting_has_an_address_for_a_browser_and_a_place_for_the_token(
    started: Started, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert typed("token", "create", "ci", "--scope", "read").code == 0
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    monkeypatch.setenv("OLLAMA_FLEET_API_HOST", "0.0.0.0")
    process = started("up")
    lines = welcome(process)
    process.terminate()
    process.communicate(timeout=PATIENCE)
    assert address(lines).startswith("http://127.0.0.1:")
    assert lines[-1].startswith(f"  curl -H @FILE_WITH_HEADER '{address(lines)}/api/events?")
