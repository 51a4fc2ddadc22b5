"""`servers check`: the verdict, what to do next, and an exit code that a script can rely on."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import structlog

from api.cli.servers import view as server_view
from api.fleet.views import CheckAnswer, ServerView
from monitor import app, logs
from monitor.domain import reasons
from monitor.domain.probe import Reason
from monitor.settings import LogFormat, LogLevel, Settings
from tests.cli.conftest import Outcome, Typed
from tests.fakes import behaviours
from tests.fakes.ollama import FakeOllama

REFUSED = "Nothing listens on the port."


@pytest.fixture
async def _monitor(on_fleet: None, dsn: str) -> AsyncIterator[None]:
    # It is to say nothing into the output of the command beside it.
    logs.configure(LogFormat.TEXT, LogLevel.ERROR)
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(app.serve(Settings(), dsn=dsn, stop=stop, ready=ready.set))
    await ready.wait()
    yield
    stop.set()
    await running
    structlog.reset_defaults()


@pytest.fixture
def closed_url() -> Iterator[str]:
    """Return the URL of a port of this machine that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


async def later(typed: Typed, *arguments: str) -> Outcome:
    """Run a command beside the test's own loop."""
    return await asyncio.to_thread(typed, *arguments)


@pytest.mark.usefixtures("_monitor")
async def test_a_server_that_is_well_is_one_line_and_0(typed: Typed) -> None:
    async with FakeOllama() as fake:
        await later(typed, "servers", "add", "gpu-1", fake.url)
        outcome = await later(typed, "servers", "check", "gpu-1")
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out.startswith("gpu-1 is up; ok in ")
        assert outcome.out.count("\n") == 1


@pytest.mark.usefixtures("_monitor")
async def test_a_server_that_is_down_ends_with_1_and_what_to_do(typed: Typed, closed_url: str) -> None:
    await later(typed, "servers", "add", "gpu-1", closed_url)
    outcome = await later(typed, "servers", "check", "gpu-1")
    while "gpu-1 is down" not in outcome.out:
        # Three bad probes in a row make it so; each of them is told of.
        assert (outcome.code, f"; refused: {REFUSED}\nNext: " in outcome.out) == (1, True)
        outcome = await later(typed, "servers", "check", closed_url)
    port = closed_url.rpartition(":")[2]
    assert (outcome.code, outcome.err) == (1, "")
    assert outcome.out == (
        f"gpu-1 is down; refused: {REFUSED}\n"
        f"Next: Start Ollama on this machine (`ollama serve`), or correct the port: its own is 11434, this is {port}.\n"
    )
    program = await later(typed, "servers", "check", "gpu-1", "--json")
    found = json.loads(program.out)
    assert (program.code, found["server"]["status"], found["probe"]["reason"]) == (1, "down", "refused")
    assert found["advice"].startswith("Start Ollama on this machine")


@pytest.mark.usefixtures("on_fleet")
async def test_an_explained_server_that_cannot_list_ends_with_1(typed: Typed) -> None:
    async with FakeOllama() as fake:
        fake.behave(behaviours.status(500), path="/api/tags")
        await later(typed, "servers", "add", "gpu 1", fake.url, "--inactive")
        outcome = await later(typed, "servers", "check", "gpu 1", "--explain")
        assert outcome.code == 1
        assert "which makes it degraded: list_failed: server_error: The server failed" in " ".join(outcome.out.split())
        fake.behave_well()
        assert (await later(typed, "servers", "check", "gpu 1", "--explain")).code == 0


@pytest.mark.parametrize(
    ("server", "reason", "said"),
    [
        ({"status": "up"}, "ok", None),
        ({"status": "up"}, "refused", "Nothing listens on port 11434 of gpu-1"),
        ({"status": "down", "status_reason": "refused"}, "ok", "It answers well again, and comes back"),
        ({"status": "down", "flapping_since": "2026-01-01T00:00:00Z"}, "ok", "stays down until it keeps still"),
        ({"status": "degraded", "status_reason": "list_failed"}, "ok", "alive but cannot list"),
        ({"status": "degraded", "status_reason": "busy"}, "busy", "lets no more questions through for now"),
        ({"status": "down", "status_reason": "auth"}, "auth", "servers set 'the box' --auth-type"),
    ],
)
@pytest.mark.usefixtures("on_database")
def test_only_what_is_up_and_answers_is_well(
    typed: Typed, *, server: dict[str, Any], reason: str, said: str | None
) -> None:
    view = json.loads(typed("servers", "add", "the box", "http://gpu-1:11434", "--json").out)
    answer = CheckAnswer.model_validate(
        {"server": view | server, "probe": {"reason": reason, "detail": None, "latency_ms": None}}
    )
    lines = list(server_view.check_lines(answer))
    assert server_view.is_well(answer) is (said is None)
    assert len(lines) == (1 if said is None else 2)
    if said is not None:
        assert said in lines[1]


@pytest.mark.usefixtures("on_database")
def test_a_reason_of_a_later_version_has_no_advice(typed: Typed) -> None:
    view = ServerView.model_validate_json(typed("servers", "add", "gpu-1", "http://gpu-1", "--json").out)
    probe = {"reason": "gremlins", "detail": None, "latency_ms": None}
    answer = CheckAnswer.model_validate({"server": view.model_dump(), "probe": probe})
    assert list(server_view.check_lines(answer)) == ["gpu-1 is unknown; gremlins"]


def test_a_port_that_is_right_is_not_asked_about() -> None:
    assert reasons.advice(Reason.REFUSED, "http://127.0.0.1:11434") == "Start Ollama on this machine (`ollama serve`)."
