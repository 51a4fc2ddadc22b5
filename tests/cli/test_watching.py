"""`--watch`: the same again and again, whatever is away meanwhile, until somebody has seen enough."""

import json
import signal
import subprocess
from collections.abc import Callable

import pytest

from tests.cli.conftest import PATIENCE, Typed

Started = Callable[..., "subprocess.Popen[str]"]


def test_a_watch_shows_what_has_changed_and_ends_with_ctrl_c(on_fleet: None, typed: Typed, started: Started) -> None:
    process = started("servers", "list", "--watch", "0.2", "--json")
    assert process.stdout is not None
    assert process.stdout.readline() == "[]\n"
    assert typed("servers", "add", "anna", "http://anna:11434").code == 0
    seen = next(line for line in process.stdout if "anna" in line)
    assert seen
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == 0


@pytest.mark.usefixtures("on_database")
def test_a_watch_of_the_status_is_a_document_a_line(started: Started) -> None:
    process = started("status", "--watch", "0.2", "--json")
    assert process.stdout is not None
    looks = [json.loads(process.stdout.readline()) for _ in range(2)]
    assert [look["servers"]["up"] for look in looks] == [0, 0]


def test_an_api_that_is_away_is_told_and_waited_for(started: Started, unused_tcp_port: int) -> None:
    process = started(
        "status",
        "--watch",
        "0.2",
        env={"PATH": "/usr/bin", "OLLAMA_FLEET_API_URL": f"http://127.0.0.1:{unused_tcp_port}"},
    )
    assert process.stderr is not None
    for _ in range(2):
        assert "cannot be reached: Connection refused" in process.stderr.readline()
