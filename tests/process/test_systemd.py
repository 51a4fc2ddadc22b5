"""Telling systemd: real sockets, by path and by abstract name, and silence where nobody listens."""

import os
import socket
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from monitor import systemd
from tests.process.conftest import Heard, received


def test_a_state_arrives_at_the_socket(heard: Heard) -> None:
    assert systemd.notify("READY=1")
    assert systemd.notify("STOPPING=1")
    assert heard() == ["READY=1", "STOPPING=1"]


def test_an_abstract_address_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"ollama-fleet-{uuid.uuid4()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(f"\0{name}")
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        assert systemd.notify("WATCHDOG=1")
        assert received(listener) == ["WATCHDOG=1"]


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "@nobody-listens-here", "x" * 200])
def test_where_nobody_listens_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if address is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert not systemd.notify("READY=1")


@pytest.mark.parametrize(
    ("variables", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, timedelta(seconds=20)),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, timedelta(seconds=20)),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": ""}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_has_an_interval_only_if_it_watches_this_process(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], interval: timedelta | None
) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert systemd.watchdog_interval() == interval
