"""The whole fleet live, for a person without any Ollama server: `ollama-fleet up` beside three fake servers.

`sh deploy/run.sh --demo` starts this. It becomes `ollama-fleet up` on a state folder of its own, so that
nothing of the demo lands in a real fleet. A child process serves the fakes, of which one dies and comes
back, registers them over REST, and cleans up when `up` has ended, however that ended.
"""

import argparse
import asyncio
import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
from fake_ollama import GIB, HOST, FakeModel, FakeServer

COMMAND = str(Path(sys.executable).with_name("ollama-fleet"))
API_PORTS = range(8420, 8520)
SETTINGS = "OLLAMA_FLEET_"
UP_SECONDS = 20
DOWN_SECONDS = 15
START_SECONDS = 60

LLAMA = FakeModel("llama3.2:3b", 2 * GIB, "llama", "3.2B", ("completion", "tools"))
QWEN = FakeModel("qwen3:8b", 5 * GIB, "qwen3", "8.2B", ("completion", "tools", "thinking"))
GEMMA = FakeModel("gemma3:12b", 8 * GIB, "gemma3", "12.2B", ("completion", "vision"))
EMBED = FakeModel("nomic-embed-text:latest", GIB // 4, "nomic-bert", "137M", ("embedding",))


def fakes() -> list[FakeServer]:
    """Return the three servers; the last one is the one that dies."""
    return [
        FakeServer("demo-anna", [LLAMA, EMBED], port=11501),
        FakeServer("demo-berta", [QWEN, LLAMA], port=11502),
        FakeServer("demo-clara", [GEMMA], port=11503),
    ]


def say(text: str) -> None:
    """Print one line of the demo, told apart from what `up` prints beside it."""
    sys.stdout.write(f"demo: {text}\n")
    sys.stdout.flush()


def free_api_port(ports: Sequence[int] = API_PORTS) -> int:
    """Return the first port that nobody uses, so that the demo never speaks to the API of a real fleet."""
    for port in ports:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                continue
        if is_claimed_here(port):
            return port
    which = f"port {ports[0]} is none that" if len(ports) == 1 else f"none of the ports {ports[0]} to {ports[-1]}"
    sys.exit(f"The demo cannot start: {which} is free on {HOST}. OLLAMA_FLEET_API_PORT=8600 chooses another one.")


def settle_environment() -> int:
    """Take the settings of a real fleet out of the environment, and say so; return the port, which may be chosen."""
    given = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(SETTINGS)}
    wanted = given.pop(f"{SETTINGS}API_PORT", "0")
    if given:
        say(f"leaves {', '.join(sorted(given))} aside, so that nothing of it lands in a real fleet")
    if not wanted.isdecimal():
        sys.exit(f"OLLAMA_FLEET_API_PORT is no port: {wanted!r}. Leave it out, and the demo looks for a free one.")
    return free_api_port([int(wanted)] if int(wanted) else API_PORTS)


def is_claimed_here(port: int) -> bool:
    """Claim a port until this process ends, whatever it becomes, so that two demos started at once never share one."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0ollama-fleet-demo-{port}")
    except OSError as error:
        # A system without such names has no claims either.
        return error.errno != errno.EADDRINUSE
    claim.set_inheritable(True)
    claim.detach()
    return True


def become_up() -> NoReturn:
    """Start the child that serves the fakes, then become `ollama-fleet up` on a state folder of its own."""
    port = str(settle_environment())
    state = tempfile.mkdtemp(prefix="ollama-fleet-demo.")
    # Started as root, PostgreSQL runs as another user, who has to come through here.
    os.chmod(state, 0o755)
    os.environ |= {
        "OLLAMA_FLEET_STATE_DIR": state,
        "OLLAMA_FLEET_API_HOST": HOST,
        "OLLAMA_FLEET_API_PORT": port,
        "OLLAMA_FLEET_CHECK_INTERVAL": "3",
    }
    subprocess.Popen([sys.executable, __file__, "--serve", str(os.getpid()), port, state])
    os.execv(COMMAND, [COMMAND, "up"])


async def register(servers: Sequence[FakeServer], *, api: str) -> None:
    """Wait until the API answers, then register every server as a person would."""
    async with aiohttp.ClientSession(trust_env=False) as session:
        for server in servers:
            await post(session, f"{api}/api/servers", {"name": server.name, "url": server.url})
            say(f"registered {server.name} at {server.url}")


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> None:
    """Post, and again while nothing listens yet or the API is not ready."""
    while True:
        try:
            async with session.post(url, json=body) as answer:
                if answer.status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}:
                    return
                if answer.status != HTTPStatus.SERVICE_UNAVAILABLE:
                    raise RuntimeError(f"{url} answered {answer.status}: {await answer.text()}")
        except aiohttp.ClientConnectionError:
            pass
        await asyncio.sleep(0.1)


async def die_and_come_back(server: FakeServer) -> None:
    """Let one server die and come back, for ever."""
    while True:
        await asyncio.sleep(UP_SECONDS)
        await server.die()
        say(f"{server.name} is dead now, and comes back in {DOWN_SECONDS} s")
        await asyncio.sleep(DOWN_SECONDS)
        try:
            await server.start()
            say(f"{server.name} is back, and dies in {UP_SECONDS} s")
        except OSError as error:
            say(f"{server.name} cannot come back yet: {error}")


def what_to_look_at(api: str) -> str:
    """Return the commands that show the demo at work."""
    return f"""look at {api}/ in a browser, or in another terminal at
    curl -s {api}/api/servers
    curl -N {api}/api/events/stream
  and stop all of it with Ctrl-C here."""


async def play(api: str) -> None:
    """Serve the fakes, register them, and let one of them die again and again."""
    servers = fakes()
    for server in servers:
        await server.start()
    say("three fake Ollama servers are running; nothing of this touches a real fleet")
    try:
        async with asyncio.timeout(START_SECONDS):
            await register(servers, api=api)
    except TimeoutError:
        say(f"{api} did not answer within {START_SECONDS} s, so not all of them are registered")
        return
    except RuntimeError as error:
        say(f"not all of them are registered: {error}")
        return
    say(what_to_look_at(api))
    await die_and_come_back(servers[-1])


async def until_gone(parent: int) -> None:
    """Wait for the end of `ollama-fleet up`, whose child this process is."""
    while os.getppid() == parent:  # noqa: ASYNC110 - the kernel sets no event
        await asyncio.sleep(0.2)


async def play_beside(parent: int, scene: Coroutine[Any, Any, None]) -> None:
    """Play for as long as the parent lives; the signals of a terminal are for the parent to obey."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, lambda: None)
    playing = asyncio.create_task(scene)
    await until_gone(parent)
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


def clean_up(state: str) -> None:
    """Remove the state folder, and before that the PostgreSQL in it should `up` have been killed."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([COMMAND, "db", "stop"], capture_output=True, check=False, timeout=30)
    shutil.rmtree(state, ignore_errors=True)


def read_arguments() -> None:
    """Say what this is to whoever asks, and refuse what is no option, before anything is started."""
    parser = argparse.ArgumentParser(
        prog="sh deploy/run.sh --demo",
        description="Runs a fleet of its own with three pretended Ollama servers, of which one keeps dying and coming "
        "back. Its database is in a temporary folder that Ctrl-C deletes; a real fleet is not touched.",
        epilog="It takes the first free port from 8420 on, or that of OLLAMA_FLEET_API_PORT. Every other "
        "OLLAMA_FLEET_ variable is left aside.",
    )
    parser.parse_args()


def main() -> None:
    """Become `up`, or in the child serve the fakes beside it."""
    match sys.argv[1:]:
        case ["--serve", parent, port, state]:
            try:
                asyncio.run(play_beside(int(parent), play(f"http://{HOST}:{port}")))
            finally:
                clean_up(state)
        case _:
            read_arguments()
            become_up()


if __name__ == "__main__":
    main()
