"""Trouble of every kind with servers that have credentials, made by REST, by hand and in the database."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import asyncpg
import pytest

from monitor.postgres.database import Connection
from tests.acceptance import guarded_servers
from tests.acceptance.guarded_servers import GuardedServers
from tests.acceptance.scene import LIMIT, Scene, Witness

SWAP = """
UPDATE ollama_servers AS server SET auth_config = other.auth_config FROM ollama_servers AS other
WHERE server.auth_type = 'bearer' AND other.auth_type = 'bearer' AND server.id <> other.id
"""
REFUSE_ROWS = """
ALTER TABLE ollama_servers ADD CONSTRAINT drama CHECK (name NOT IN ('marker-late', 'marker-bearer')) NOT VALID
"""
REFUSE_NO_ROWS = "ALTER TABLE ollama_servers DROP CONSTRAINT drama"
REASONS = "SELECT array_agg(DISTINCT status_reason) @> $1::text[] FROM ollama_servers"
PAGES = (
    "/",
    "/docs",
    "/openapi.json",
    "/metrics",
    "/readyz",
    "/livez",
    "/api/models",
    "/api/history",
    "/api/events?after=0&limit=1000",
)
Eventually = Callable[..., Awaitable[None]]


class Drama:
    """What happens, in order."""

    def __init__(self, scene: Scene, fleet: GuardedServers, *, psql: Connection, eventually: Eventually) -> None:
        self.scene = scene
        self.fleet = fleet
        self.psql = psql
        self._eventually = eventually

    async def add_servers(self, api: Witness, tmp_path: Path) -> None:
        """By REST and by hand, well and badly."""
        for body in self.fleet.bodies():
            status, _ = await api.ask("POST", "/api/servers", json=body)
            assert status == 201
        for body in self.fleet.bad_bodies():
            status, _ = await api.ask("POST", "/api/servers", json=body)
            assert status == 422
        (tmp_path / "secret").write_text(self.fleet.secrets["token by hand"])
        words = ("servers", "add", "marker-second", self.fleet.second.url, "--auth-type", "bearer", "--secret-file")
        assert await self.scene.run(*words, str(tmp_path / "secret")) == 0
        again = ("servers", "set", "marker-second", "--auth-type", "bearer", "--secret-file", "-")
        assert await self.scene.run(*again, typed=self.fleet.secrets["token by hand"]) == 0
        assert await self.scene.run(*again, typed=self.fleet.secrets["token by hand"] + " and a blank") == 1
        cert, key = self.fleet.files(tmp_path)
        mutual = ("servers", "set", "marker-mutual", "--client-cert", cert, "--client-key")
        assert await self.scene.run(*mutual, key) == 0
        assert await self.scene.run(*mutual, "-", typed=self.fleet.client_key) == 0
        assert await self.scene.run("servers", "set", "marker-mutual", "--ca-file", key) == 1

    def env_file(self, tmp_path: Path) -> str:
        """Return the path of a program's `.env` with servers and secrets."""
        (path := tmp_path / "program.env").write_text(self.fleet.env_file())
        return str(path)

    async def import_again(self, api: Witness, path: str) -> None:
        """Take the servers of a `.env` over behind the API, where they are already."""
        words = ("import-env", path, "--update", "--json")
        assert await self.scene.run(*words, OLLAMA_FLEET_API_URL=api.base_url) == 1, (
            "it has a password without a server"
        )

    async def wait_for(self, *reasons: str) -> None:
        """Wait until servers have all these reasons."""

        async def seen() -> object:
            return await self.psql.fetchval(REASONS, list(reasons))

        await self._eventually(seen, within=LIMIT, what=str(reasons))

    async def break_statements(self, api: Witness) -> None:
        """Have PostgreSQL refuse statements, in all the ways in which it repeats a row or a value."""
        taken = {**self.fleet.bodies()[0], "url": "http://127.0.0.1:9"}
        assert (await api.ask("POST", "/api/servers", json=taken))[0] == 409
        with pytest.raises(asyncpg.CheckViolationError):
            await self.psql.execute("UPDATE ollama_servers SET max_concurrent = 0")
        with pytest.raises(asyncpg.DataError):
            await self.psql.execute(
                "UPDATE ollama_servers SET priority = (auth_config->>'sealed')::int WHERE auth_config ? 'sealed'"
            )
        await self._refuse_rows(api)
        await self.psql.execute("ALTER TABLE ollama_servers RENAME COLUMN priority TO gone")
        fresh = guarded_servers.with_token("late", "http://127.0.0.1:9", self.fleet.secrets["token"])
        assert (await api.ask("POST", "/api/servers", json=fresh))[0] == 500
        await self.psql.execute("ALTER TABLE ollama_servers RENAME COLUMN gone TO priority")
        await self.psql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'ollama-fleet %'"
        )

    async def _refuse_rows(self, api: Witness) -> None:
        """Have PostgreSQL refuse a row of the API's and results of the monitor's, whole rows named in its DETAIL."""
        await self.psql.execute(REFUSE_ROWS)
        late = guarded_servers.with_token("late", "http://127.0.0.1:9", self.fleet.secrets["token"])
        status, answer = await api.ask("POST", "/api/servers", json=late)
        assert status == 422
        assert "Failing row" not in answer["detail"]

        async def is_logged() -> bool:
            return any(b"result_refused" in text for text in self.scene.printed().values())

        await self._eventually(is_logged, within=LIMIT, what="a result that is refused")
        await self.psql.execute(REFUSE_NO_ROWS)

    async def ask_for_everything(self, api: Witness) -> None:
        """Read all that can be read, and have a server checked and listed."""
        _, page = await api.ask("GET", "/api/servers")
        for server in page["items"]:
            for part in ("", "/models", "/history"):
                status, _ = await api.ask("GET", f"/api/servers/{server['id']}{part}")
                assert status == 200, part
            await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 3})
        for action in ("check", "discover"):
            await api.ask("POST", f"/api/servers/{page['items'][0]['id']}/{action}")
        for path in PAGES:
            status, _ = await api.ask("GET", path)
            assert status == 200, path
        await api.read_stream("/api/events/stream?after=0&snapshot=true", seconds=1)

    async def ask_for_credentials(self, api: Witness) -> bytes:
        """Return what is told of credentials to those who ask for them, by REST and by hand."""
        told = []
        for server in (self.fleet.basic, self.fleet.api_key):
            path = f"/api/resolve?include=credentials&server_url={quote(server.url, safe='')}"
            told.append(await api.ask_for_secrets(path))
        by_hand = await self.scene.secret_of("resolve", "--headers", "--url", self.fleet.api_key.url)
        assert self.fleet.secrets["key"] in by_hand
        return b"\n".join(told)

    async def look_by_hand(self) -> None:
        """Everything that a person types when something is wrong."""
        commands = [
            ("doctor",),
            ("status",),
            ("token", "list"),
            ("servers", "list"),
            ("servers", "show", "marker-basic"),
            ("servers", "check", "marker-key", "--explain"),
            ("servers", "check", "marker-refusing", "--explain", "--json"),
            ("servers", "check", "marker-tls", "--explain"),
            ("servers", "show", "marker-mutual"),
            ("servers", "check", "marker-mutual", "--explain", "--json"),
            ("keys", "list"),
            ("events", "--after", "0"),
        ]
        await asyncio.gather(*(self.scene.run(*command) for command in commands))

    async def swap(self) -> None:
        """Put each bearer token of another server into a server's row."""
        await self.psql.execute(SWAP)
