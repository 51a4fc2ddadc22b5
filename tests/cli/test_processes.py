"""`monitor` and `api`: each part as a service manager runs it."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import PATIENCE


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize("command", ["monitor", "api"])
def test_a_part_tells_the_service_manager_that_it_is_ready_and_stops_in_order(
    started: Callable[..., subprocess.Popen[str]], command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(PATIENCE)
        process = started(command)
        assert b"READY=1" in manager.recv(1000)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
