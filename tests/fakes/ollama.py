"""A fake Ollama server: real sockets, recorded answers, and any misbehaviour a test asks for.

`python -m tests.fakes.ollama --port N [--host H] [--version V] [--certificate FILE]` runs one as a process:
it prints `ready PORT` and ends on SIGTERM.
"""

import argparse
import asyncio
import copy
import hashlib
import json
import signal
import socket
import ssl
import sys
from collections import Counter, deque
from contextlib import suppress
from typing import Any, Self

from tests.fakes import chat, recordings
from tests.fakes.exchange import Behaviour, Connection, Request

NATIVE = {"Content-Type": "application/json; charset=utf-8"}
PLAIN = {"Content-Type": "text/plain; charset=utf-8"}
BACKLOG = 1024
KEPT_REQUESTS = 1000


class FakeOllama:
    """One server; use it as an asynchronous context manager.

    `requests` counts by path, `received` keeps the newest requests, `most_at_once` is the greatest
    number of requests that were being answered at one moment, `accepted` counts connections. One that
    is not `native` speaks only `/v1`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        recorded: str = recordings.LATEST,
        tls: ssl.SSLContext | None = None,
        keep: int = KEPT_REQUESTS,
        native: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self.native = native
        self.version: str = recorded.removesuffix("-empty")
        self.connections: set[Connection] = set()
        self.requests: Counter[str] = Counter()
        self.received: deque[Request] = deque(maxlen=keep)
        self.most_at_once = 0
        self.accepted = 0
        self.sent_bytes = 0
        self.greeting = b""
        self.models: dict[str, dict[str, Any]] = _by_name(recorded, "tags")
        self.loaded: dict[str, dict[str, Any]] = _by_name(recorded, "ps")
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._behaviours: dict[str | None, Behaviour] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = 0

    @property
    def url(self) -> str:
        """The base URL."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self._tls else 'http'}://{host}:{self.port}"

    @property
    def is_listening(self) -> bool:
        """Whether it accepts connections."""
        return self._server is not None

    @property
    def silent_connections(self) -> set[Connection]:
        """Those on which no byte has come in."""
        return {connection for connection in self.connections if connection.received_bytes == 0}

    @property
    def sockets(self) -> list[socket.socket]:
        """Those it listens on, then those of its connections."""
        ends = [each.transport.get_extra_info("socket") for each in self.connections if each.transport is not None]
        return [*(self._server.sockets if self._server is not None else ()), *ends]

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen; after `stop` again on the same port."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            self._accept, self.host, self.port, ssl=self._tls, backlog=BACKLOG, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse from now on, and end every connection, as the death of the process would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        # Lets the event loop close the sockets, so that the port refuses when this returns.
        await asyncio.sleep(0)

    def close_idle(self) -> None:
        """Close the connections in good order, as a server does that has an idle time-out."""
        for connection in list(self.connections):
            connection.close()

    def behave(self, behaviour: Behaviour, *, path: str | None = None) -> None:
        """Do this instead of answering well, on one path or on all."""
        self._behaviours[path] = behaviour

    def behave_well(self) -> None:
        """Answer well again on every path."""
        self._behaviours.clear()

    def greet(self, data: bytes) -> None:
        """Send bytes on every new connection at once, before any request."""
        self.greeting = data

    def add_model(self, name: str, **fields: Any) -> None:
        """Have a model; fields replace those of the tags entry made up for it."""
        entry = copy.deepcopy(recordings.load(recordings.LATEST, "tags").document["models"][-1])
        entry |= {"name": name, "model": name, "digest": _digest(name)} | fields
        self.models[name] = entry

    def remove_model(self, name: str) -> None:
        """Have a model no more."""
        del self.models[name]
        self.loaded.pop(name, None)

    def change_model(self, name: str) -> None:
        """Give a model a new digest, as a new pull does."""
        self.models[name] |= {"digest": _digest(self.models[name]["digest"])}

    def load_model(self, name: str, *, size: int = 1000, size_vram: int = 1000) -> None:
        """Have a model in memory."""
        entry = copy.deepcopy(recordings.load(recordings.OLD, "ps").document["models"][0])
        self.loaded[name] = entry | {"name": name, "model": name, "size": size, "size_vram": size_vram}

    def unload_model(self, name: str) -> None:
        """Have a model in memory no more."""
        del self.loaded[name]

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer a request, or misbehave."""
        self.requests[request.path] += 1
        self.received.append(request)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        behaviour = self._behaviours.get(request.path) or self._behaviours.get(None)
        if behaviour is None:
            self.answer_well(connection, request)
            self._at_once -= 1
            return
        task = asyncio.create_task(self._misbehave(behaviour, connection, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _misbehave(self, behaviour: Behaviour, connection: Connection, request: Request) -> None:
        try:
            with suppress(ConnectionError):
                await behaviour(connection, request)
        finally:
            self._at_once -= 1

    def _accept(self) -> Connection:
        self.accepted += 1
        return Connection(self)

    def answer_well(self, connection: Connection, request: Request) -> None:
        """Answer as a good server does; behaviours may fall back on it."""
        match request.path:
            case path if path.startswith("/api/") and not self.native:
                connection.answer(404, b"404 page not found", PLAIN)
            case "/api/version":
                connection.answer(200, json.dumps({"version": self.version}).encode(), NATIVE)
            case "/api/tags":
                body = json.dumps({"models": list(self.models.values())})
                connection.answer(200, body.encode(), NATIVE)
            case "/api/ps":
                body = json.dumps({"models": list(self.loaded.values())})
                connection.answer(200, body.encode(), NATIVE)
            case "/api/show":
                self._answer_show(connection, request)
            case "/v1/models":
                data = [{"id": name, "object": "model"} for name in self.models] or None
                connection.answer(200, json.dumps({"object": "list", "data": data}).encode(), NATIVE)
            case chat.NATIVE_PATH | chat.OPENAI_PATH:
                connection.answer(200, chat.answer(request.path, request.body), NATIVE)
            case "/":
                connection.answer(200, recordings.load(recordings.LATEST, "root").body, PLAIN)
            case _:
                connection.answer(404, recordings.load(recordings.LATEST, "unknown-path").body, PLAIN)

    def _answer_show(self, connection: Connection, request: Request) -> None:
        name = json.loads(request.body)["model"]
        if name in self.models or f"{name}:latest" in self.models:
            connection.answer(200, recordings.load(recordings.LATEST, "show-tiny-chat").body, NATIVE)
        else:
            missing = recordings.load(recordings.LATEST, "show-missing")
            connection.answer(missing.status, missing.body, NATIVE)


def _by_name(recorded: str, name: str) -> dict[str, dict[str, Any]]:
    return {entry["model"]: entry.copy() for entry in recordings.load(recorded, name).document["models"]}


def _digest(seed: str) -> str:
    return hashlib.sha256(seed.encode()).hexdigest()


async def _serve(options: argparse.Namespace) -> None:
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    tls = None
    if options.certificate is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options.certificate)
    async with FakeOllama(host=options.host, port=options.port, recorded=options.version, tls=tls) as server:
        sys.stdout.write(f"ready {server.port}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Run one server until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes.ollama", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--version", default=recordings.LATEST, help="which recorded version to be")
    parser.add_argument("--certificate", help="a PEM file with key and certificates: serve behind TLS")
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
