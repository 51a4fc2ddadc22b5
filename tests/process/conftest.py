"""A socket that listens as systemd does."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Heard = Callable[[], list[str]]


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    """What this process told systemd since the last look."""
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        yield lambda: received(listener)


def received(listener: socket.socket) -> list[str]:
    """Return the messages that have come."""
    messages: list[str] = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages
