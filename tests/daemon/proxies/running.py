"""A real nginx or HAProxy in front of a fake server, on a loopback address of its own, and what it was asked there."""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.daemon.proxies.packages import Programs

PATIENCE = 30.0
# Begins each line of a request in a log that has other lines, too.
MARK = "asked"
NO_REQUEST = {"", "-", "<BADREQ>"}
_numbers = itertools.count(1)

# One process, which stays who it is. In `settings` stands what the test wants of it.
NGINX = """\
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors info;
events {{}}
http {{
    log_format asked '{mark} $msec $status $request_uri';
    access_log {folder}/asked asked;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    default_type text/html;
    server {{
        listen {address}{tls};
        {settings}
        location / {{ proxy_pass {backend}; {location} }}
    }}
}}
"""
HAPROXY = """\
global
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "{mark} %Ts.%ms %ST %HPO"
    timeout connect 1s
    timeout client 60s
    timeout server 60s
{defaults}
frontend proxy
    bind {address}{tls}
{settings}
    default_backend ollama
backend ollama
    server one {backend} {location}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a test wants of a proxy: more lines, in the language of its program.

    `settings` are for every request, `location` is for what is handed on, `tls` for the port; `defaults` are HAProxy's.
    """

    settings: str = ""
    location: str = ""
    tls: str = ""
    defaults: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request as the proxy has logged it; `at` is seconds since 1970."""

    at: float
    status: int
    path: str


class Proxy:
    """A running proxy."""

    def __init__(self, host: str, port: int, log: Path, *, is_secure: bool) -> None:
        self.host, self.port = host, port
        self.url = f"{'https' if is_secure else 'http'}://{host}:{port}"
        self._log = log

    @property
    def asked(self) -> list[Asked]:
        """Every request so far, the oldest first; connections without one, which HAProxy logs as well, are left out."""
        lines = (line.split(" ") for line in self._log.read_text(errors="replace").splitlines())
        return [
            Asked(at=float(words[1]), status=int(words[2]), path=words[3])
            for words in lines
            if words[0] == MARK and words[3] not in NO_REQUEST
        ]


@asynccontextmanager
async def nginx(
    programs: Programs, folder: Path, backend: str, setup: Setup, *, at: tuple[str, int] | None = None
) -> AsyncIterator[Proxy]:
    """Run nginx in front of a server at a base URL."""
    host, port = at or address()
    text = NGINX.format(
        mark=MARK,
        folder=folder,
        address=f"{host}:{port}",
        tls=" ssl" if setup.tls else "",
        settings=f"{setup.tls} {setup.settings}",
        location=setup.location,
        backend=backend,
    )
    (folder / "nginx.conf").write_text(text)
    command: list[str | Path] = [
        programs.path("nginx"),
        "-p",
        folder,
        "-c",
        folder / "nginx.conf",
        "-e",
        folder / "errors",
    ]
    proxy = Proxy(host, port, folder / "asked", is_secure=bool(setup.tls))
    async with _running(programs, command, proxy, folder):
        yield proxy


@asynccontextmanager
async def haproxy(
    programs: Programs, folder: Path, backend: str, setup: Setup, *, at: tuple[str, int] | None = None
) -> AsyncIterator[Proxy]:
    """Run HAProxy in front of a server at a base URL."""
    host, port = at or address()
    text = HAPROXY.format(
        mark=MARK,
        address=f"{host}:{port}",
        tls=f" ssl {setup.tls}" if setup.tls else "",
        settings=setup.settings,
        location=setup.location,
        defaults=setup.defaults,
        backend=backend.removeprefix("http://"),
    )
    (folder / "haproxy.cfg").write_text(text)
    command: list[str | Path] = [programs.path("haproxy"), "-db", "-f", folder / "haproxy.cfg"]
    proxy = Proxy(host, port, folder / "printed", is_secure=bool(setup.tls))
    async with _running(programs, command, proxy, folder):
        yield proxy


def address() -> tuple[str, int]:
    """Return an address and a free port of it; nothing else of the tests uses the address."""
    host = f"127.77.{os.getpid() % 250 + 1}.{next(_numbers) % 250 + 1}"
    with socket.create_server((host, 0)) as probe:
        return host, probe.getsockname()[1]


@asynccontextmanager
async def _running(
    programs: Programs, command: Sequence[str | Path], proxy: Proxy, folder: Path
) -> AsyncIterator[None]:
    printed = folder / "printed"
    with printed.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output, env=programs.environment
        )
    try:
        async with asyncio.timeout(PATIENCE):
            while not await _listens(proxy):
                assert process.returncode is None, printed.read_text()
                await asyncio.sleep(0.02)
        yield
        assert process.returncode is None, printed.read_text()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _listens(proxy: Proxy) -> bool:
    try:
        _, writer = await asyncio.open_connection(proxy.host, proxy.port)
    except OSError:
        return False
    writer.transport.abort()
    return True
