"""A network of the test's own: a namespace whose only cable, the loopback interface, can be pulled out.

`python -m tests.fakes.network` runs in it and keeps it: it plugs the cable in, prints `ready`, obeys the lines
`pull` and `plug` on its standard input (each is answered with `done`) and ends with its input.
"""

import asyncio
import fcntl
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

LOOPBACK = b"lo"
SIOCGIFFLAGS, SIOCSIFFLAGS = 0x8913, 0x8914
IFF_UP = 1
# As root without more ado, else as the root of a namespace of users.
WAYS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (("--net",), ("--net",)),
    (("--net", "--map-root-user"), ("--net", "--user", "--preserve-credentials")),
)


class Network:
    """Commands run in it with `inside`; `pull` and `plug` are the cable's."""

    def __init__(self, keeper: asyncio.subprocess.Process, entering: Sequence[str]) -> None:
        self._keeper = keeper
        self._entering = entering

    def inside(self, *command: str) -> list[str]:
        """Return the command that runs a command in this network."""
        return ["nsenter", "--target", str(self._keeper.pid), *self._entering, "--", *command]

    async def pull(self) -> None:
        """Cut everything in it off from everything else, without a word to anyone."""
        await self._order("pull")

    async def plug(self) -> None:
        """Connect it again."""
        await self._order("plug")

    async def _order(self, order: str) -> None:
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(f"{order}\n".encode())
        assert await self._keeper.stdout.readline() == b"done\n"


@asynccontextmanager
async def network() -> AsyncIterator[Network]:
    """Lend a network; the test is skipped where nobody may have one."""
    creating, entering = _permitted_way()
    keeper = await asyncio.create_subprocess_exec(
        "unshare",
        *creating,
        sys.executable,
        "-m",
        "tests.fakes.network",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert keeper.stdout is not None
        assert await keeper.stdout.readline() == b"ready\n"
        yield Network(keeper, entering)
    finally:
        await keeper.communicate(b"")


def plug_in(*, up: bool) -> None:
    """Switch the loopback interface of this process's network on or off."""
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", LOOPBACK, 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)
        flags = flags | IFF_UP if up else flags & ~IFF_UP
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", LOOPBACK, flags))


def _permitted_way() -> tuple[tuple[str, ...], tuple[str, ...]]:
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("unshare and nsenter are not installed (util-linux)")
    for creating, entering in WAYS:
        if subprocess.run(["unshare", *creating, "true"], check=False, capture_output=True).returncode == 0:
            return creating, entering
    return pytest.skip("network namespaces are not permitted here")


def main() -> None:
    """Keep the network until the end of the input."""
    plug_in(up=True)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        plug_in(up=line.strip() == "plug")
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
