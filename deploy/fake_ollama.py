"""Fake Ollama servers: small, harmless, and alike enough that a monitor takes them for real.

The demo serves three of them, `python deploy/fake_ollama.py` one to try things with.
"""

import argparse
import asyncio
import hashlib
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

HOST = "127.0.0.1"
OLLAMA_PORT = 11434
VERSION = "0.33.0"
CONTEXT_LENGTH = 8192
GIB = 1024**3


@dataclass(frozen=True, slots=True)
class FakeModel:
    """A model that a fake server claims to have."""

    name: str
    size: int
    family: str
    parameters: str
    capabilities: tuple[str, ...]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits, the same wherever the model is."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    def listed(self) -> dict[str, Any]:
        """Return the entry of `/api/tags`."""
        return {
            "name": self.name,
            "model": self.name,
            "modified_at": "2026-08-01T09:00:00.123456789Z",
            "size": self.size,
            "digest": self.digest,
            "details": self.details(),
            "capabilities": list(self.capabilities),
        }

    def loaded(self) -> dict[str, Any]:
        """Return the entry of `/api/ps`, for a model that is wholly on the GPU for good."""
        entry = {name: value for name, value in self.listed().items() if name != "modified_at"}
        del entry["capabilities"]
        expires_at = "2318-01-01T00:00:00Z"
        return {**entry, "expires_at": expires_at, "size_vram": self.size, "context_length": CONTEXT_LENGTH}

    def details(self) -> dict[str, Any]:
        """Return the details that all answers share."""
        return {
            "parent_model": "",
            "format": "gguf",
            "family": self.family,
            "families": [self.family],
            "parameter_size": self.parameters,
            "quantization_level": "Q4_K_M",
            "context_length": CONTEXT_LENGTH,
        }


class FakeServer:
    """An Ollama server as far as a monitor can tell, that can die and come back on the same port."""

    def __init__(self, name: str, models: Sequence[FakeModel], *, port: int) -> None:
        self.name = name
        self.models = {model.name: model for model in models}
        self.port = port
        self._runner: web.AppRunner | None = None
        self._started = False

    @property
    def url(self) -> str:
        """The base URL under which it is registered."""
        return f"http://{HOST}:{self.port}"

    async def start(self) -> None:
        """Listen, on any free port when the wanted one is taken the first time."""
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self.port).start()
        except OSError:
            if self._started:
                await self.die()
                raise
            await web.TCPSite(self._runner, HOST, 0).start()
        self.port = self._runner.addresses[0][1]
        self._started = True

    async def die(self) -> None:
        """Close the listening socket and every connection, as a killed process does."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self._root)
        app.router.add_get("/api/version", self._version)
        app.router.add_get("/api/tags", self._tags)
        app.router.add_get("/api/ps", self._ps)
        app.router.add_post("/api/show", self._show)
        app.router.add_post("/api/chat", self._chat)
        app.router.add_post("/v1/chat/completions", self._complete)
        return app

    async def _root(self, _: web.Request) -> web.Response:
        return web.Response(text="Ollama is running")

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"version": VERSION})

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [model.listed() for model in self.models.values()]})

    async def _ps(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [next(iter(self.models.values())).loaded()]})

    async def _show(self, request: web.Request) -> web.Response:
        wanted = await request.json()
        model = self.models.get(wanted.get("model", ""))
        if model is None:
            return web.json_response({"error": f"model '{wanted.get('model')}' not found"}, status=404)
        info = {"general.architecture": model.family, f"{model.family}.context_length": CONTEXT_LENGTH}
        return web.json_response(
            {"details": model.details(), "model_info": info, "capabilities": list(model.capabilities)}
        )

    async def _chat(self, request: web.Request) -> web.Response:
        model = (await request.json()).get("model")
        if model not in self.models:
            return web.json_response({"error": f"model '{model}' not found"}, status=404)
        return web.json_response({"model": model, "message": self._message(model), "done": True})

    async def _complete(self, request: web.Request) -> web.Response:
        model = (await request.json()).get("model")
        if model not in self.models:
            return web.json_response({"error": {"message": f"model '{model}' not found"}}, status=404)
        choice = {"index": 0, "message": self._message(model), "finish_reason": "stop"}
        return web.json_response({"id": "fake", "object": "chat.completion", "model": model, "choices": [choice]})

    def _message(self, model: str) -> dict[str, str]:
        return {"role": "assistant", "content": f"{model} on {self.name} is a fake, and has nothing to say."}


async def serve(server: FakeServer) -> None:
    """Serve one server until Ctrl-C."""
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await server.start()
    sys.stdout.write(f"A fake Ollama server with {', '.join(server.models)} is at {server.url}; Ctrl-C ends it.\n")
    sys.stdout.flush()
    await ended.wait()
    await server.die()


def main() -> None:
    """Serve one fake server with the models of the command line."""
    parser = argparse.ArgumentParser(description="Serves one fake Ollama server, to try a fleet with.")
    parser.add_argument("--port", type=int, default=OLLAMA_PORT, help="default 11434; when it is taken, any free one")
    parser.add_argument("--model", action="append", metavar="NAME", help="default llama3.2:3b; may be repeated")
    given = parser.parse_args()
    names: list[str] = given.model or ["llama3.2:3b"]
    models = [FakeModel(name, 2 * GIB, "llama", "3.2B", ("completion", "tools")) for name in names]
    asyncio.run(serve(FakeServer("fake", models, port=given.port)))


if __name__ == "__main__":
    main()
