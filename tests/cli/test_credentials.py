"""Credentials and keys by hand: no secret is an argument or is shown, and a wrong key ring starts nothing."""

import asyncio
import base64
import json
import os
import random
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from monitor.credentials import key_ring, sealing
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import Sealed
from monitor.domain.credential import ApiKey, Basic, Bearer
from monitor.postgres.database import Connection
from tests.cli.conftest import CHECKOUT, COMMAND, PATIENCE, OnTerminal, Outcome, Typed
from tests.credentials.conftest import fresh_key

pytestmark = pytest.mark.usefixtures("on_database")

Started = Callable[..., subprocess.Popen[str]]
URL = "http://gpu-1.example:11434"
ROWS = "SELECT id, url, auth_type, auth_config::text AS auth_config FROM ollama_servers ORDER BY name"


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: Typed) -> KeyRingFile:
    """A key ring made by the command, which all commands of the test use."""
    path = tmp_path / "keyring"
    assert typed("keys", "create", str(path)).code == 0
    monkeypatch.setenv("OLLAMA_FLEET_KEYRING_FILE", str(path))
    return KeyRingFile(path)


@pytest.fixture
def secret_file(tmp_path: Path) -> str:
    """A file with a secret, as an editor writes it."""
    path = tmp_path / "secret"
    path.write_text("canary-secret\n")
    return str(path)


async def stored(connection: Connection, ring: KeyRingFile) -> list[Any]:
    """Open what the database holds, by the names of the servers."""
    return [
        sealing.unseal(
            Sealed(
                server_id=row["id"],
                url=row["url"],
                auth_type=row["auth_type"],
                auth_config=json.loads(row["auth_config"]),
            ),
            find_key=ring.read()[0].get,
        )
        for row in await connection.fetch(ROWS)
    ]


async def stored_at(dsn: str, ring: KeyRingFile) -> list[Any]:
    """The same, on a session of its own."""
    connection: Connection = await asyncpg.connect(dsn)
    try:
        return await stored(connection, ring)
    finally:
        await connection.close()


def shown(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.err
    assert "canary" not in outcome.out + outcome.err
    return outcome.out


def test_each_kind_is_read_from_a_file(typed: Typed, on_database: str, ring: KeyRingFile, secret_file: str) -> None:
    secret = ("--secret-file", secret_file)
    out = shown(typed("servers", "add", "a", "http://a.example", "--auth-type", "bearer", *secret, "--json"))
    assert json.loads(out)["auth"] == {"type": "bearer", "configured": True}
    shown(typed("servers", "add", "b", "http://b.example", "--auth-type", "basic", "--username", "fleet", *secret))
    shown(typed("servers", "add", "c", "http://c.example"))
    out = shown(typed("servers", "set", "c", "--auth-type", "api_key", "--auth-header", "X-Gate", *secret))
    assert re.search(r"^auth +api_key in X-Gate$", out, re.MULTILINE)
    assert asyncio.run(stored_at(on_database, ring)) == [
        Bearer(token="canary-secret"),
        Basic(username="fleet", password="canary-secret"),
        ApiKey(key="canary-secret", header="X-Gate"),
    ]


async def test_a_secret_comes_through_a_pipe(started: Started, connection: Connection, ring: KeyRingFile) -> None:
    words = ("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", "-")
    process = started(*words, stdin=subprocess.PIPE)
    out, err = process.communicate("canary-secret\n", timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")
    assert "canary" not in out
    assert await stored(connection, ring) == [Bearer(token="canary-secret")]


async def test_a_person_is_asked_and_what_is_typed_is_not_shown(
    connection: Connection, ring: KeyRingFile, started: Started
) -> None:
    ours, theirs = os.openpty()
    process = started("servers", "add", "a", URL, "--auth-type", "bearer", stdin=theirs, start_new_session=True)
    screen = process.stderr
    assert screen is not None
    asked = "".join(iter(lambda: screen.read(1), " "))
    # Not ahead of the question: what was typed before it is thrown away.
    os.write(ours, b"canary-secret\n")
    out, err = process.communicate(timeout=PATIENCE)
    os.close(theirs)
    os.close(ours)
    assert process.returncode == 0, err
    assert asked.endswith("Token:")
    assert "canary" not in out + err
    assert await stored(connection, ring) == [Bearer(token="canary-secret")]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("--auth-type bearer", "--secret-file FILE or -"),
        ("--auth-type basic --secret-file x", "--username"),
        ("--auth-type bearer --username fleet --secret-file x", "--username"),
        ("--auth-type bearer --auth-header X --secret-file x", "--auth-header"),
        ("--secret-file x", "--secret-file"),
        ("--auth-type none --secret-file x", "--secret-file"),
        ("--auth-type kerberos", "kerberos"),
    ],
)
def test_options_that_make_no_sense_together_are_wrong_usage(typed: Typed, options: str, why: str) -> None:
    outcome = typed("servers", "add", "a", URL, *options.split())
    assert outcome.code == 2
    assert why in outcome.err


@pytest.mark.usefixtures("ring")
@pytest.mark.parametrize("content", [b"", b"canary 1", b"canary\xff", b"canary\nmore", b"canary" * 10_000])
def test_a_secret_of_no_use_is_refused_without_being_repeated(typed: Typed, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    file = str(tmp_path / "secret")
    outcome = typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", file)
    assert (outcome.code, outcome.out) == (1, "")
    assert "canary" not in outcome.err
    assert typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", f"{file}2").code == 1


@pytest.mark.usefixtures("ring")
def test_a_credential_goes_with_the_origin_or_when_it_is_taken_away(typed: Typed, secret_file: str) -> None:
    add = ("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    assert typed(*add).code == 0
    kept = typed("servers", "set", "a", "--url", f"{URL}/ollama", "--json")
    assert json.loads(kept.out)["auth"] == {"type": "bearer", "configured": True}
    dropped = typed("servers", "set", "a", "--url", "http://elsewhere.example")
    assert dropped.code == 0
    assert "credential for the one before was removed" in dropped.err
    typed("servers", "set", "a", "--auth-type", "bearer", "--secret-file", secret_file)
    taken = typed("servers", "set", "a", "--auth-type", "none", "--json")
    assert json.loads(taken.out)["auth"] == {"type": "none", "configured": False}


@pytest.mark.usefixtures("on_database")
def test_without_a_key_ring_a_credential_ends_with_78_and_what_to_do(typed: Typed, secret_file: str) -> None:
    outcome = typed("servers", "add", "a", URL, "--auth-type", "bearer", "--secret-file", secret_file)
    assert (outcome.code, outcome.out) == (78, "")
    assert "ollama-fleet keys create FILE" in outcome.err
    assert "OLLAMA_FLEET_KEYRING_FILE" in outcome.err


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
