"""How a process ends: exit code, one clear line or a traceback, and signals."""

import asyncio
import signal

import pytest
from structlog.testing import capture_logs

from monitor import process
from monitor.domain.errors import ConfigurationError, FleetError
from tests.process.programs import finished, started

SERVING = """
import asyncio, sys
from monitor import process

async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    {after}
sys.exit(process.run(main))
"""
FAILING = """
import sys
from monitor import process
from monitor.domain.errors import ConfigurationError

async def main(stop):
    raise {error}
sys.exit(process.run(main))
"""


async def next_line(program: asyncio.subprocess.Process) -> str:
    """Return the next line the process writes."""
    assert program.stdout is not None
    return (await asyncio.wait_for(program.stdout.readline(), 30)).decode().strip()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_to_stop_and_the_process_ends_with_0(number: signal.Signals) -> None:
    async with started(SERVING.format(after="")) as program:
        assert await next_line(program) == "ready"
        program.send_signal(number)
        assert await next_line(program) == "stopping"
        _, errors = await asyncio.wait_for(program.communicate(), 30)
        assert (program.returncode, errors) == (0, b"")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGINT, signal.SIGTERM),
    ],
)
async def test_a_second_signal_ends_the_process_at_once(first: signal.Signals, second: signal.Signals) -> None:
    stubborn = """
    while True:
        try:
            await asyncio.sleep(3600)
        except BaseException:
            pass
"""
    async with started(SERVING.format(after=stubborn)) as program:
        assert await next_line(program) == "ready"
        program.send_signal(first)
        assert await next_line(program) == "stopping"
        program.send_signal(second)
        assert await asyncio.wait_for(program.wait(), 30) == -second


async def test_a_wrong_configuration_is_one_line_and_78() -> None:
    outcome = await finished(FAILING.format(error='ConfigurationError("It is wrong; write this.")'))
    assert outcome == (78, "ollama-fleet: It is wrong; write this.\n")


async def test_a_bug_is_a_traceback_and_1() -> None:
    code, errors = await finished(FAILING.format(error='RuntimeError("a bug")'))
    assert code == 1
    assert errors.startswith("Traceback")
    assert errors.rstrip().endswith("RuntimeError: a bug")


FAILED, WRONG, BUG = FleetError("It failed."), ConfigurationError("It is wrong."), RuntimeError("a bug")


@pytest.mark.parametrize(
    ("error", "code", "line", "bugs"),
    [
        (None, 0, "", 0),
        (FAILED, 1, "ollama-fleet: It failed.\n", 0),
        (WRONG, 78, "ollama-fleet: It is wrong.\n", 0),
        (ExceptionGroup("tasks", [ExceptionGroup("more", [WRONG])]), 78, "ollama-fleet: It is wrong.\n", 0),
        (ExceptionGroup("tasks", [FAILED, BUG]), 1, "ollama-fleet: It failed.\n", 1),
        (ExceptionGroup("tasks", [BUG, OSError("another")]), 1, "", 2),
    ],
)
def test_errors_of_ours_are_one_line_and_bugs_beside_them_are_logged(
    error: Exception | None, code: int, line: str, bugs: int, capsys: pytest.CaptureFixture[str]
) -> None:
    async def main(_stop: asyncio.Event) -> None:
        if error is not None:
            raise error

    with capture_logs() as logs:
        assert process.run(main) == code
    assert capsys.readouterr().err == line
    logged = [exception for entry in logs for exception in entry["exc_info"].exceptions]
    assert len(logged) == bugs
    assert {entry["event"] for entry in logs} <= {"task_failed"}
