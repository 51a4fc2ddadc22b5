"""The key ring by hand: made, listed, rotated, pruned; killed at any moment; and a wrong one starts nothing."""

import asyncio
import base64
import contextlib
import json
import os
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.domain.credential import Bearer
from monitor.postgres.database import Connection
from tests.cli.conftest import CHECKOUT, COMMAND, PATIENCE, OnTerminal, Typed
from tests.cli.stored import stored
from tests.credentials.conftest import fresh_key

pytestmark = pytest.mark.usefixtures("on_database")

Started = Callable[..., subprocess.Popen[str]]
URL = "http://gpu-1.example:11434"


def test_keys_are_listed_rotated_and_pruned_and_never_shown(
    typed: Typed, on_terminal: OnTerminal, ring: KeyRingFile, secret_file: str
) -> None:
    typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    first = ring.read()[0].first
    assert typed("keys", "list").out.splitlines()[1].split()[-5:] == ["ago", "1", "seals", "and", "opens"]
    rotated = typed("keys", "rotate")
    assert (rotated.code, "1 of 1 credentials are sealed anew" in rotated.err) == (0, True)
    second = ring.read()[0].first
    assert second.id in rotated.out
    listed = json.loads(typed("keys", "list", "--json").out)
    assert [(key["key"], key["seals"], key["credentials"]) for key in listed] == [
        (second.id, True, 1),
        (first.id, False, 0),
    ]
    assert typed("keys", "prune").out == f"Removed {first.id}.\n"
    assert typed("keys", "prune").out.startswith("Every key is in use or the first")
    _, screen = on_terminal("keys", "list")
    everything = json.dumps(listed) + rotated.out + rotated.err + screen
    for key in (first, second):
        assert base64.b64encode(key.secret).decode() not in everything


def test_a_ring_that_cannot_be_written_is_left_alone_with_what_to_do(
    typed: Typed, ring: KeyRingFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ring.path.read_text()

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    outcome = typed("keys", "rotate")
    assert outcome.code == 78
    assert "cannot be written: Read-only file system" in outcome.err
    assert "OLLAMA_FLEET_KEYRING_FILE naming the original" in outcome.err
    assert ring.path.read_text() == before


def test_a_ring_that_is_there_is_not_made_again(typed: Typed, ring: KeyRingFile) -> None:
    before = ring.path.read_text()
    outcome = typed("keys", "create", str(ring.path))
    assert outcome.code == 1
    assert "is there already" in outcome.err
    assert ring.path.read_text() == before


BREAKAGES: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda path: path.write_text(""),
    "junk": lambda path: path.write_bytes(b"\x00\xff"),
    "open to all": lambda path: path.chmod(0o644),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_ring_that_cannot_be_used_starts_nothing_and_is_not_replaced(
    typed: Typed, ring: KeyRingFile, secret_file: str, monkeypatch: pytest.MonkeyPatch, breakage: str
) -> None:
    typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    BREAKAGES[breakage](ring.path)
    before = sorted(os.listdir(ring.path.parent))
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    outcome = typed("up")
    assert (outcome.code, outcome.out) == (78, "")
    assert outcome.err.startswith(f"ollama-fleet: The key ring {ring.path} ")
    assert sorted(os.listdir(ring.path.parent)) == before


def test_a_ring_that_was_lost_from_the_state_folder_is_not_made_anew(
    typed: Typed, ring: KeyRingFile, secret_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    monkeypatch.delenv("OLLAMA_FLEET_KEYRING_FILE")
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    outcome = typed("up")
    assert outcome.code == 78
    assert "The database holds credentials of servers, but the key ring that opens them is not at" in outcome.err
    assert list(ring.path.parent.rglob("keyring")) == [ring.path]


def test_no_process_starts_with_the_ring_of_another_database(
    typed: Typed, started: Started, ring: KeyRingFile, secret_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    ring.path.write_text(key_ring.first_text(fresh_key()))
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    processes = {command: started(command) for command in ("up", "monitor", "api")}
    for command, process in processes.items():
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (78, ""), (command, err)
        assert err.splitlines()[-1].startswith(f"ollama-fleet: The key ring {ring.path} is not the one of"), command
        assert "_started" not in err, command


@pytest.mark.parametrize("is_there", [True, False])
def test_what_the_refusal_says_to_do_about_a_lost_ring_works(
    typed: Typed, ring: KeyRingFile, secret_file: str, monkeypatch: pytest.MonkeyPatch, *, is_there: bool
) -> None:
    secret = ("--auth-type", "bearer", "--secret-file", secret_file)
    typed("servers", "add", "gpu-1", URL, *secret)
    if is_there:
        ring.path.write_text(key_ring.first_text(fresh_key()))
    else:
        monkeypatch.delenv("OLLAMA_FLEET_KEYRING_FILE")
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", "0")
    refused = typed("monitor")
    assert refused.code == 78
    assert "those of gpu-1: take each away with `ollama-fleet servers set NAME --auth-type none`" in refused.err
    assert typed("servers", "set", "gpu-1", "--auth-type", "none").code == 0
    if is_there:
        assert typed("servers", "set", "gpu-1", *secret).code == 0
    assert typed("doctor").out.count("ok       keys") == 1


async def test_a_rotation_that_is_killed_at_any_moment_leaves_everything_readable(
    connection: Connection, ring: KeyRingFile, request: pytest.FixtureRequest
) -> None:
    count = 500
    first = ring.read()[0].first
    for number in range(count):
        await _insert(connection, number, first)
    for number in range(20 if request.config.getoption("--long") else 3):
        process = await _rotating()
        await _until_under_way(process, ring, steps=number % 5)
        await asyncio.sleep(random.uniform(0, 0.02))
        with contextlib.suppress(ProcessLookupError):  # It may have come to its end.
            process.kill()
        await process.communicate()
        assert await stored(connection, ring) == [Bearer(token=f"token-{n:04}") for n in range(count)]
    process = await _rotating()
    await process.communicate()
    assert process.returncode == 0
    keys = await connection.fetchval("SELECT array_agg(DISTINCT auth_config->>'key') FROM ollama_servers")
    assert keys == [ring.read()[0].first.id]
    assert await connection.fetchval("SELECT max(row_version) FROM ollama_servers") == 1


async def _rotating() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND, "keys", "rotate", cwd=CHECKOUT, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )


async def _until_under_way(process: asyncio.subprocess.Process, ring: KeyRingFile, *, steps: int) -> None:
    """Return when the ring has got its new key, or when some more steps are done; or all of it is."""
    before = ring.signature()
    while steps == 0 and ring.signature() == before and process.returncode is None:  # noqa: ASYNC110  (a file has none)
        await asyncio.sleep(0.001)
    assert process.stderr is not None
    for _ in range(steps):
        await process.stderr.readline()


async def _insert(connection: Connection, number: int, key: key_ring.Key) -> None:
    server_id, url = UUID(int=number + 1), f"http://gpu-{number}"
    sealed = sealing.seal(Bearer(token=f"token-{number:04}"), server_id=server_id, url=url, key=key)
    await connection.execute(
        "INSERT INTO ollama_servers (id, name, url, auth_type, auth_config) VALUES ($1, $2, $3, 'bearer', $4)",
        server_id,
        f"{number:04}",
        url,
        json.dumps(sealed.auth_config),
    )
