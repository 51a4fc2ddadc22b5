"""The few messages of PostgreSQL's protocol that a readiness check needs.

The embedded server is started before any event loop runs, where a driver would only cost start-up time.
"""

import socket
import struct
from pathlib import Path

_PROTOCOL_3 = 196608


class RefusedError(Exception):
    """The server answered, and its answer was an error; `sqlstate` says which."""

    def __init__(self, sqlstate: str, message: str) -> None:
        super().__init__(message)
        self.sqlstate = sqlstate


def execute(
    socket_path: Path, *, user: str, database: str, statement: str | None = None, seconds: float = 30.0
) -> None:
    """Log in over a unix socket and run one statement, or none.

    Raises OSError when nobody answers, RefusedError when the server says no.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(seconds)
        connection.connect(str(socket_path))
        fields = b"\0".join(part.encode() for part in ("user", user, "database", database)) + b"\0\0"
        connection.sendall(struct.pack("!II", len(fields) + 8, _PROTOCOL_3) + fields)
        _await_ready(connection)
        if statement is not None:
            body = statement.encode() + b"\0"
            connection.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
            _await_ready(connection)
        connection.sendall(b"X" + struct.pack("!I", 4))


def _await_ready(connection: socket.socket) -> None:
    refusal: RefusedError | None = None
    while True:
        kind, length = struct.unpack("!cI", _receive(connection, 5))
        body = _receive(connection, length - 4)
        if kind == b"E":
            refusal = _refusal(body)
            if body.startswith((b"SFATAL", b"SPANIC")):
                raise refusal
        elif kind == b"Z":
            if refusal is not None:
                raise refusal
            return


def _refusal(body: bytes) -> RefusedError:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in body.split(b"\0") if part}
    return RefusedError(fields.get(b"C", ""), fields.get(b"M", "no message"))


def _receive(connection: socket.socket, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        received += chunk
    return bytes(received)
