"""`doctor` on secrets: the key ring and what it opens, the tokens of the API and what needs them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from monitor.credentials import key_ring
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.postgres import database
from monitor.postgres.database import Connection
from tests.api.token_maker import make
from tests.cli.conftest import Typed
from tests.credentials.conftest import fresh_key

pytestmark = pytest.mark.usefixtures("on_database")

Found: TypeAlias = tuple[str, str, str]
Add: TypeAlias = Callable[[str], Awaitable[None]]
URL = "http://127.0.0.1:9"
# Too long for "soon", whatever time the test takes.
LONG = timedelta(days=8)


async def look(typed: Typed, subject: str) -> Found:
    """Return how the subject is, what was seen, and what to do."""
    outcome = await asyncio.to_thread(typed, "doctor", "--json")
    (one,) = (one for one in json.loads(outcome.out) if one["subject"] == subject)
    assert (outcome.code == 1) or one["health"] != "failed"
    return one["health"], one["seen"], one["next"]


@pytest.fixture
async def psql(dsn: str) -> AsyncIterator[Connection]:
    """A session with the test's database; jsonb is Python values."""
    session = await database.connect(dsn, name="psql")
    yield session
    await session.close()


@pytest.fixture
def add(typed: Typed, ring: KeyRingFile, secret_file: str) -> Add:
    """Add a server with a bearer token, sealed with the ring."""
    assert ring.path.exists()

    async def run(name: str) -> None:
        words = ("servers", "add", name, f"{URL}/{name}", "--auth-type", "bearer", "--secret-file", secret_file)
        assert (await asyncio.to_thread(typed, *words)).code == 0

    return run


async def test_a_key_ring_that_opens_everything_is_well(typed: Typed, ring: KeyRingFile, add: Add) -> None:
    assert await look(typed, "keys") == ("ok", "no server has a credential", "")
    await add("anna")
    await add("berta")
    assert await look(typed, "keys") == ("ok", f"2 credentials, and {ring.path} opens all of them", "")


async def test_the_servers_whose_credentials_do_not_open_are_named(typed: Typed, add: Add, psql: Connection) -> None:
    for name in ("anna", "berta", "carla"):
        await add(name)
    await psql.execute("UPDATE ollama_servers SET auth_config = '{}' WHERE name = 'carla'")
    await psql.execute(
        "UPDATE ollama_servers SET auth_config = jsonb_set(auth_config, '{key}', '\"0123456789abcdef\"')"
        "WHERE name = 'berta'"
    )
    health, seen, remedy = await look(typed, "keys")
    assert (health, seen) == ("failed", "2 of 3 credentials do not open, of the servers berta, carla")
    assert remedy == "berta: The key '0123456789abcdef' is not in the key ring. Put it back, or set it anew."


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "lost": (Path.unlink, "does not exist: put it there from your copy"),
    "junk": (lambda path: path.write_bytes(b"\x00\xff"), "cannot be used: it is no text"),
    "open to all": (lambda path: path.chmod(0o644), "is open to others (mode 0644): chmod 600 it"),
    "another": (lambda path: path.write_text(key_ring.first_text(fresh_key())), "is not the one of this database"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
async def test_a_key_ring_that_cannot_be_used_is_found(
    typed: Typed, ring: KeyRingFile, add: Add, breakage: str
) -> None:
    await add("anna")
    spoil, said = BREAKAGES[breakage]
    spoil(ring.path)
    health, seen, remedy = await look(typed, "keys")
    assert (health, seen.startswith(f"The key ring {ring.path} {said}")) == ("failed", True), seen
    assert remedy


async def test_without_any_credential_no_key_ring_is_needed_and_none_is_made(typed: Typed, tmp_path: Path) -> None:
    assert (await look(typed, "keys"))[0] == "ok"
    assert not (tmp_path / "state").exists()


async def test_a_key_ring_that_others_can_read_is_found_before_it_seals_anything(
    typed: Typed, ring: KeyRingFile
) -> None:
    ring.path.chmod(0o640)
    health, seen, _ = await look(typed, "keys")
    assert (health, "mode 0640" in seen) == ("failed", True)


async def test_tokens_that_are_good_are_counted(typed: Typed, psql: Connection) -> None:
    health, seen, _ = await look(typed, "tokens")
    assert (health, seen.startswith("there is none: the API is open to this machine")) == ("ok", True)
    await make(psql, "ci", "read")
    await make(psql, "ops", "admin", lifetime=LONG)
    await make(psql, "old", "admin", lifetime=-LONG)
    assert await look(typed, "tokens") == ("ok", "2 good", "")


async def test_a_token_that_ends_within_a_week_is_found(typed: Typed, psql: Connection) -> None:
    await make(psql, "ci", "read", lifetime=timedelta(days=6))
    await make(psql, "ops", "admin", lifetime=LONG)
    health, seen, remedy = await look(typed, "tokens")
    assert (health, seen) == ("warning", "2 good, but within 7 days these end: ci")
    assert "ollama-fleet token create" in remedy


@pytest.mark.parametrize(("setting", "value"), [("API_HOST", "0.0.0.0"), ("API_HOSTNAMES", "fleet.lan")])
async def test_an_api_that_others_reach_is_to_have_a_token(
    typed: Typed, psql: Connection, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, *, setting: str, value: str
) -> None:
    monkeypatch.setenv(f"OLLAMA_FLEET_{setting}", value)
    monkeypatch.setenv("OLLAMA_FLEET_API_PORT", str(unused_tcp_port))
    await make(psql, "old", "admin", lifetime=-LONG)
    health, seen, remedy = await look(typed, "tokens")
    assert (health, f"OLLAMA_FLEET_{setting} is {value}" in seen) == ("warning", True)
    assert "ollama-fleet token create" in remedy
    await make(psql, "ci", "read")
    assert await look(typed, "tokens") == ("ok", "1 good", "")


async def test_an_api_that_lets_nobody_in_is_found(typed: Typed, psql: Connection) -> None:
    await make(psql, "ci", "read")
    await psql.execute("UPDATE api_tokens SET revoked_at = now()")
    health, seen, _ = await look(typed, "tokens")
    assert (health, seen) == ("warning", "all are revoked or expired, so the API lets nobody in")
