"""The log of `up` at a terminal: what happens to the servers, and warnings; all of it elsewhere, or on demand."""

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from api.cli import calm_log
from monitor import logs
from monitor.settings import Settings
from tests.cli.conftest import PATIENCE, Typed
from tests.process.programs import finished

SPEAKING = """
import logging
import structlog
from api.cli import calm_log

calm_log.configure()
log = structlog.get_logger("monitor.test")
log.debug("whispered")
log.info("lease_won", epoch=1)
log.info("server_status", status="down", before="up", server="gpu-1\\x1b[2J", reason="refused", detail="Nothing.")
log.info("server_status", status="up", before="down", server="gpu-1", reason="ok", detail=None)
log.info("server_flapping", flapping=True, server="gpu-1")
log.info("server_flapping", flapping=False, server="gpu-1")
log.warning("database_away", error="gone")
try:
    raise RuntimeError("a bug")
except RuntimeError:
    log.exception("work_failed")
logging.getLogger("library").info("chatter")
logging.getLogger("library").warning("a library warns")
"""


async def test_what_happens_to_servers_is_a_short_line_and_a_warning_stays_one() -> None:
    code, said = await finished(SPEAKING)
    lines = said.splitlines()
    assert code == 0
    assert [line[21:] for line in lines[:4]] == [
        "gpu-1\\x1b[2J is down, was up; refused: Nothing.",
        "gpu-1 is up, was down; ok",
        "gpu-1 goes up and down too often, so its changes are held back until it keeps still",
        "gpu-1 keeps still again",
    ]
    assert "database_away" in lines[4]
    assert "error=gone" in lines[4]
    assert "work_failed" in lines[5]
    assert "RuntimeError: a bug" in said
    assert "a library warns" in lines[-1]
    assert "whispered" not in said
    assert "lease_won" not in said
    assert "chatter" not in said


@pytest.mark.parametrize(
    ("given", "watched", "wanted"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"log_level": "info"}, True, False),
        ({"log_format": "text"}, True, False),
        ({"api_port": "1"}, True, True),
    ],
)
def test_it_is_for_a_person_who_asked_for_no_other_log(
    monkeypatch: pytest.MonkeyPatch, *, given: dict[str, str], watched: bool, wanted: bool
) -> None:
    monkeypatch.setattr(logs, "is_watched", lambda: watched)
    assert calm_log.is_wanted(Settings.model_validate(given)) is wanted


@pytest.mark.usefixtures("on_database")
def test_a_real_terminal_shows_the_greeting_and_the_servers(
    started: Callable[..., subprocess.Popen[str]], typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    assert typed("servers", "add", "gpu-1", "http://127.0.0.1:9").code == 0
    ours, theirs = os.openpty()
    with ThreadPoolExecutor(max_workers=1) as pool:
        process = started("up", stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown = pool.submit(_read_until, ours, b"gpu-1 is down, was unknown; refused: ").result(PATIENCE)
        process.terminate()
        shown += pool.submit(_read_until, ours, None).result(PATIENCE)
        assert process.wait(PATIENCE) == 0
    os.close(ours)
    for wanted in (b"ollama-fleet is running; Ctrl-C stops it.", calm_log.ABOUT.strip().encode(), b"  stopping\r\n"):
        assert wanted in shown
    for unwanted in (b"api_started", b"lease_won", b"info"):
        assert unwanted not in shown.replace(b"LOG_LEVEL=info", b"")


def _read_until(terminal: int, wanted: bytes | None) -> bytes:
    shown = b""
    while wanted is None or wanted not in shown:
        try:
            piece = os.read(terminal, 65_536)
        except OSError:
            # Nobody has the other side open any more.
            break
        shown += piece
    return shown
