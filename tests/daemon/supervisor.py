"""What systemd does for a service with a watchdog and `Restart=on-failure`, for a command of the test's."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

FED = "WATCHDOG=1"
READY = "READY=1"


class Supervisor:
    """Starts the command again whenever it ends badly; `endings` are its exit codes, below zero for a signal."""

    def __init__(self, command: Sequence[str], *, folder: Path, patience: float, environment: dict[str, str]) -> None:
        """A command that is ready and does not feed the watchdog for `patience` seconds gets a SIGABRT."""
        self.endings: list[int] = []
        self.ready = 0
        self.process: asyncio.subprocess.Process | None = None
        self._command = command
        self._address = folder / "notify"
        self._patience = patience
        self._environment = environment | {
            "NOTIFY_SOCKET": str(self._address),
            "WATCHDOG_USEC": str(round(patience * 1_000_000)),
        }
        self._fed = 0.0

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["Supervisor"]:
        """Supervise until the end; then the command is killed."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(self._address))
            listener.setblocking(False)
            loop = asyncio.get_running_loop()
            loop.add_reader(listener, self._hear, listener)
            supervising = asyncio.create_task(self._supervise())
            try:
                yield self
            finally:
                supervising.cancel()
                loop.remove_reader(listener)
                if self.process is not None and self.process.returncode is None:
                    self.process.kill()
                    await self.process.wait()

    def _hear(self, listener: socket.socket) -> None:
        message = listener.recv(4096).decode()
        if message == READY:
            self.ready += 1
        if message in {READY, FED}:
            self._fed = asyncio.get_running_loop().time()

    async def _supervise(self) -> None:
        while True:
            started = self.ready
            self.process = await asyncio.create_subprocess_exec(*self._command, env={**os.environ, **self._environment})
            ended = asyncio.create_task(self.process.wait())
            while not ended.done():
                await asyncio.wait([ended], timeout=0.05)
                hungry = asyncio.get_running_loop().time() - self._fed
                if self.ready > started and hungry > self._patience:
                    with suppress(ProcessLookupError):
                        self.process.send_signal(signal.SIGABRT)
                    await ended
            self.endings.append(ended.result())
            if ended.result() == 0:
                return
