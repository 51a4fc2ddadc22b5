"""`python -m api` as a process of its own: ready, alive and stopping as systemd hears it."""

import asyncio
import os
import signal
import socket
import sys
import tempfile
from pathlib import Path


async def states(listener: socket.socket, until: str) -> list[str]:
    """Return what was notified, up to the state that is waited for."""
    loop = asyncio.get_running_loop()
    heard: list[str] = []
    while not heard or not heard[-1].startswith(until):
        heard.append((await asyncio.wait_for(loop.sock_recv(listener, 1024), 20)).decode())
    return heard


async def start(dsn: str, **environment: str) -> asyncio.subprocess.Process:
    """Start the process on a free port."""
    variables = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": "0"} | environment
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", env=os.environ | variables, stderr=asyncio.subprocess.PIPE
    )


async def test_the_process_tells_systemd_of_its_life_and_ends_on_sigterm(dsn: str) -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        address = Path(folder) / "notify"
        listener.bind(str(address))
        listener.setblocking(False)
        process = await start(dsn, NOTIFY_SOCKET=str(address), WATCHDOG_USEC="300000")
        assert (await states(listener, "READY=1"))[-1].startswith("READY=1\nSTATUS=Answering at http://127.0.0.1:")
        await states(listener, "WATCHDOG=1")
        process.send_signal(signal.SIGTERM)
        await states(listener, "STOPPING=1")
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_wrong_setting_ends_the_process_with_78_and_one_line(dsn: str) -> None:
    process = await start(dsn, OLLAMA_FLEET_API_HOST="0.0.0.0")
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 78
    assert stderr.decode().startswith("ollama-fleet: OLLAMA_FLEET_API_HOST")
    assert len(stderr.splitlines()) == 1


async def test_a_database_with_another_schema_is_refused_before_it_says_that_it_has_started(empty_dsn: str) -> None:
    process = await start(empty_dsn)
    _, stderr = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert "ollama-fleet migrate" in stderr.decode().splitlines()[-1]
    assert b"api_started" not in stderr


async def test_a_database_that_is_away_is_waited_for(unused_tcp_port: int) -> None:
    process = await start(f"postgresql://fleet@127.0.0.1:{unused_tcp_port}/fleet")
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            assert b"api_started" in await process.stderr.readline()
    finally:
        process.terminate()
    await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0
