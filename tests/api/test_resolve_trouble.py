"""Resolution while the database is away, right after the start, and among settings of other programs."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import api as api_package
from api.fleet.resolution import mirror
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.resolving import get, make, settle
from tests.boxes import UP, Box, Has
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

CHECKOUT = Path(api_package.__file__).resolve().parent.parent
FOREIGN = "http://10.99.99.99:11434"
ENVIRONMENT = {
    name: FOREIGN for name in ("OLLAMA_HOST", "OLLAMA_BASE_URL", "OLLAMA_API_BASE", "OLLAMA_URL", "OLLAMA_SERVER_URL")
} | {"OLLAMA_MODEL": "foreign", "OLLAMA_DEFAULT_MODEL": "foreign"}
Eventually = Callable[..., Awaitable[None]]


async def test_it_answers_without_the_database_says_how_old_it_is_and_is_true_again_afterwards(
    settings: Settings,
    dsn: str,
    psql: Connection,
    proxy: TcpProxy,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mirror, "STALE_SECONDS", 0.5)
    async with serving(settings, through(proxy, dsn)) as (api, _):
        await make(api, psql, Box("anna", UP, (Has("m:latest"),)))
        await proxy.refuse()
        proxy.cut()

        async def is_stale() -> bool:
            answer = await get(api, model="m")
            assert (answer.status, answer.body["server"]["name"]) == (200, "anna")
            return bool(answer.body["snapshot"]["stale"])

        await eventually(is_stale, what="stale")
        assert (await get(api, model="m")).body["snapshot"]["age_seconds"] > 0.5
        assert (await get(api, model="n")).status == 404
        assert (await api.ask("GET", "/api/models/m")).body["snapshot"]["stale"]
        assert (await api.ask("GET", "/api/servers")).status == 503
        await psql.execute("UPDATE ollama_models SET model_name = 'n:latest'")
        await proxy.accept()

        async def is_true() -> bool:
            return (await get(api, model="n")).status == 200

        await eventually(is_true, within=30, what="the change of meanwhile")


async def test_started_without_a_database_it_says_when_to_ask_again(settings: Settings) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"postgresql://fleet@127.0.0.1:{closed.getsockname()[1]}/fleet"
    async with serving(settings, nobody) as (api, _):
        for path in ("/api/resolve", "/api/models", "/api/models/m"):
            answer = await api.ask("GET", path)
            # Who may ask is not known either, so nobody gets any further.
            assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0


async def test_a_real_process_takes_nothing_from_the_environment_nor_from_a_dot_env(
    dsn: str, psql: Connection, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in ENVIRONMENT.items()))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_API_PORT": str(port), "PYTHONPATH": str(CHECKOUT)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "api"),
        cwd=tmp_path,
        env=os.environ | ENVIRONMENT | settings,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(60):
            while b"api_started" not in await process.stderr.readline():
                pass
        await _ask_it(f"http://127.0.0.1:{port}", psql)
    finally:
        process.terminate()
        await process.communicate()


async def _ask_it(base_url: str, psql: Connection) -> None:
    async with ApiClient.open(base_url) as api:
        asked = await get(api, server_url="http://10.1.2.3:11434", model="m")
        assert (asked.body["source"], asked.body["base_url"]) == ("dynamic", "http://10.1.2.3:11434")
        assert (asked.body["server"], asked.body["model_name"]) == (None, "m")
        assert (await get(api)).body["code"] == "no_active_server"
        assert (await get(api, model="foreign")).body["code"] == "model_not_found"
        await make(api, psql, Box("anna", UP, (Has("m:latest"),)))
        await settle(api, psql)
        for query in ({}, {"model": "m"}, {"server_url": "http://anna:11434"}, {"server_url": "http://10.1.2.3"}):
            assert FOREIGN not in str((await get(api, **query)).body)


async def test_a_table_that_cannot_be_read_does_not_end_the_api(
    settings: Settings, dsn: str, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(mirror, "UNREADABLE_SECONDS", 0.05)
    await psql.execute("ALTER TABLE ollama_models RENAME TO hidden")
    async with serving(settings, dsn) as (api, _):
        answer = await get(api)
        assert (answer.status, answer.body["code"]) == (503, "fleet_not_read")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await api.ask("GET", "/api/servers")).status == 200
        await psql.execute("ALTER TABLE hidden RENAME TO ollama_models")
        monkeypatch.setattr(mirror, "PATIENCE_SECONDS", 20.0)
        assert (await get(api)).body["code"] == "no_active_server"
