"""Secrets are planted everywhere they belong, all kinds of trouble are made, and they are nowhere else.

A new kind of secret is planted with `Canaries.plant`, or found with `watch` where others make it; a new place where
one could show is added in `evidence`.
"""

import asyncio
import base64
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import aiohttp
import asyncpg
import pytest

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from tests.acceptance.canaries import Canaries
from tests.acceptance.drama import Drama, Eventually
from tests.acceptance.guarded_servers import GuardedServers
from tests.acceptance.scene import LIMIT, Scene, Witness
from tests.acceptance.token_drama import TokenDrama

ROLE = "leak_watch"
# As talkative as PostgreSQL can be made; by default it logs far less.
TALKATIVE = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "log_error_verbosity": "verbose",
}
EVENTS = "SELECT string_agg(row_to_json(event)::text, E'\\n') FROM fleet_events AS event"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
async def watched_dsn(postgres: EmbeddedServer, dsn: str, canaries: Canaries) -> AsyncIterator[str]:
    """The test's database for a role with a planted password, on a server that logs all it can."""
    password = canaries.plant("the password of the database")
    name = dsn.partition("@/")[2].partition("?")[0]
    rules = postgres.data_dir / "pg_hba.conf"
    before = rules.read_text()
    owner: Connection = await asyncpg.connect(postgres.dsn("postgres"))
    try:
        rules.write_text(f"local all {ROLE} scram-sha-256\n{before}")
        await owner.execute("SELECT pg_reload_conf()")
        await owner.execute(f"CREATE ROLE {ROLE} SUPERUSER LOGIN PASSWORD '{password}'")
        for setting, value in TALKATIVE.items():
            await owner.execute(f"ALTER DATABASE {name} SET {setting} = '{value}'")
        yield dsn.replace("fleet@", f"{ROLE}:{quote(password, safe='')}@", 1)
    finally:
        await owner.execute(f"DROP ROLE IF EXISTS {ROLE}")
        rules.write_text(before)
        await owner.execute("SELECT pg_reload_conf()")
        await owner.close()


@pytest.fixture
def scene(watched_dsn: str, tmp_path: Path) -> Scene:
    """Commands on that database, as talkative as they can be."""
    printed = tmp_path / "printed"
    printed.mkdir()
    environment = {
        "OLLAMA_FLEET_DATABASE_URL": watched_dsn,
        "OLLAMA_FLEET_STATE_DIR": str(tmp_path / "state"),
        "OLLAMA_FLEET_CHECK_INTERVAL": "1s",
        "OLLAMA_FLEET_CHECK_TIMEOUT": "1s",
        "OLLAMA_FLEET_DISCOVERY_INTERVAL": "1s",
        "OLLAMA_FLEET_LOG_LEVEL": "debug",
        "OLLAMA_FLEET_LOG_FORMAT": "json",
    }
    return Scene(printed, environment)


async def evidence(scene: Scene, postgres: EmbeddedServer, *, dsn: str, psql: Connection) -> dict[str, bytes]:
    """Return all places where a secret could show, by name."""
    pg_dump = postgres.binaries.psql.with_name("pg_dump")
    dump = await asyncio.to_thread(_output_of, str(pg_dump), "--dbname", dsn)
    return scene.places() | {
        "PostgreSQL's log": postgres.folder.log.read_bytes(),
        "a dump of the database": dump,
        "the event log": (await psql.fetchval(EVENTS)).encode(),
        "the state folder": _kept_in(Path(scene.environment["OLLAMA_FLEET_STATE_DIR"])),
    }


def _output_of(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True).stdout


def _kept_in(state_dir: Path) -> bytes:
    """Return all files but the one that is to hold keys."""
    files = (path for path in sorted(state_dir.rglob("*")) if path.is_file() and path.name != "keyring")
    return b"\n".join(str(path).encode() + path.read_bytes() for path in files)


@pytest.mark.timeout(300)  # a dozen processes, on a machine that may be busy with others
async def test_planted_secrets_are_nowhere_but_where_they_belong(
    scene: Scene, canaries: Canaries, postgres: EmbeddedServer, dsn: str, tmp_path: Path, eventually: Eventually
) -> None:
    fleet = GuardedServers(canaries)
    port, other_port = free_port(), free_port()
    ring = KeyRingFile(tmp_path / "state" / "keyring")
    async with AsyncExitStack() as stack:
        for fake in fleet.fakes:
            await stack.enter_async_context(fake)
        fleet.misbehave()
        psql: Connection = await asyncpg.connect(dsn)
        stack.push_async_callback(psql.close)
        await stack.enter_async_context(scene.watching(dsn))
        session = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT)))
        drama, with_tokens = Drama(scene, fleet, psql=psql, eventually=eventually), TokenDrama(scene, canaries)

        # One that may have credentials, and so is to find them only where it asks for them.
        token = await with_tokens.make("marker-token", "write", "credentials")
        # As in a file of settings that all programs of a machine share.
        scene.environment["OLLAMA_FLEET_API_TOKEN"] = token
        env_file = drama.env_file(tmp_path)
        up = await scene.start("up", OLLAMA_FLEET_API_PORT=str(port), OLLAMA_FLEET_IMPORT_ENV=env_file)
        api, second = (
            Witness(scene, session, base_url=f"http://127.0.0.1:{each}", token=token) for each in (port, other_port)
        )
        await eventually(lambda: _answers(api), within=LIMIT, what="an API")
        await drama.add_servers(api, tmp_path)
        await drama.import_again(api, env_file)
        apart = [await scene.start(part, OLLAMA_FLEET_API_PORT=str(other_port)) for part in ("monitor", "api")]
        await eventually(lambda: _answers(second), within=LIMIT, what="a second API")
        await drama.wait_for("ok", "auth", "reset", "not_ollama", "tls")
        await drama.break_statements(api)
        await drama.swap()
        await drama.wait_for("credential")
        await drama.ask_for_everything(second)
        told = await drama.ask_for_credentials(second)
        await with_tokens.misuse(second, token)
        await with_tokens.work_elsewhere(second, token)
        await drama.look_by_hand()
        canaries.watch("the first key", ring.read()[0].first.secret)
        assert await scene.run("keys", "rotate") == 0
        canaries.watch("the second key", ring.read()[0].first.secret)
        assert await scene.run("keys", "prune") == 0
        wrong = canaries.plant("a wrong password of the database")
        wrong_dsn = dsn.replace("fleet@", f"{ROLE}:{quote(wrong, safe='')}@", 1)
        assert await scene.run("monitor", OLLAMA_FLEET_DATABASE_URL=wrong_dsn) == 78
        for process in (up, *apart):
            process.terminate()
        async with asyncio.timeout(LIMIT):
            codes = [await process.wait() for process in (up, *apart)]
        places = await evidence(scene, postgres, dsn=dsn, psql=psql)

    assert codes == [0, 0, 0]
    assert canaries.found_in(places) == []
    assert _names(canaries.found_in({"told": told})) == {"user name", "password", "key"}
    _assert_that_it_was_looked_for(fleet, places)


async def _answers(api: Witness) -> bool:
    try:
        status, _ = await api.ask("GET", "/readyz")
    except aiohttp.ClientError:
        return False
    return status == 200


def _names(found: list[str]) -> set[str]:
    return {each.partition(",")[0] for each in found}


def _assert_that_it_was_looked_for(fleet: GuardedServers, places: dict[str, bytes]) -> None:
    """The secrets were in use, and everywhere something is found that must be there."""
    for fake in (fleet.bearer, fleet.second, fleet.basic, fleet.api_key, fleet.mutual):
        assert fake.requests["/api/tags"], fake.host
    assert not fleet.thief.received
    everything = b"\n".join(places.values())
    assert b"request_failed" in everything, "an exception was logged, with its traceback"
    assert b"Failing row contains" in places["PostgreSQL's log"]
    assert any(b"Failing row contains" in text for name, text in places.items() if name.endswith("ollama-fleet up"))
    assert b"password authentication failed" in places["PostgreSQL's log"]
    for place in ("PostgreSQL's log", "a dump of the database", "the event log", "the answers of the API"):
        assert b"marker-basic" in places[place], place
    for place in ("PostgreSQL's log", "a dump of the database"):
        assert b'"sealed"' in places[place].replace(b'\\"', b'"'), place
    assert b"marker-mutual" in places["the event log"]
    assert b"BEGIN CERTIFICATE" in places["the answers of the API"]
    assert b"BEGIN CERTIFICATE" not in places["the event log"]
    assert b"marker-second" in places["the command lines of all processes"]
    assert b"marker-token" in places["the event log"], "who made a change"
    assert b"ollama_fleet_server_up{" in places["the answers of the API"]
    for command, mask in {"up": "•••".encode(), "import-env": rb'"http://\u2022\u2022\u2022@'}.items():
        assert any(mask in text for name, text in places.items() if name.endswith(f"ollama-fleet {command}")), command
    for table in ("api_tokens", "monitor_stats", "server_history", "server_history_recent"):
        assert f"COPY public.{table} ".encode() in places["a dump of the database"], table
    assert b"server_id" in places["the payloads of NOTIFY"]
    assert any(b"marker-refusing" in text for name, text in places.items() if name.endswith("ollama-fleet up"))


@pytest.mark.parametrize("write", ["plain", "quoted", "base64", "in a pair", "hex"])
def test_a_secret_that_leaks_is_found(canaries: Canaries, write: str) -> None:
    secret = canaries.plant("token")
    texts = {
        "plain": secret,
        "quoted": quote(secret, safe=""),
        "base64": base64.b64encode(secret.encode()).decode(),
        "in a pair": base64.b64encode(f"me:{secret}".encode()).decode(),
        "hex": secret.encode().hex(),
    }
    assert canaries.found_in({"a log": f"before {texts[write]} after".encode()})
    assert not canaries.found_in({"a log": b"before and after"})
