"""Credentials over REST: written, never read; they stay with their origin and go with it."""

import json
from pathlib import Path
from typing import Any

import pytest

from monitor.credentials import key_ring
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import Sealed
from monitor.credentials.vault import Vault
from monitor.domain.credential import ApiKey, Basic, Bearer, Credential
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.credentials.conftest import fresh_key

URL = "http://gpu-1.example:11434"
BEARER = {"type": "bearer", "token": "canary-token"}
BASIC = {"type": "basic", "username": "canary-user", "password": "canary-password"}
API_KEY = {"type": "api_key", "key": "canary-key"}
NONE = {"type": "none", "configured": False}
ROW = "SELECT id, url, auth_type, auth_config FROM ollama_servers WHERE name = $1"


@pytest.fixture
def ring(tmp_path: Path) -> KeyRingFile:
    """The key ring of the API."""
    file = KeyRingFile(tmp_path / "keyring")
    file.create(fresh_key())
    return file


@pytest.fixture
def settings(ring: KeyRingFile) -> Settings:
    """Settings of an API that can store credentials."""
    return Settings.model_validate({"api_port": "0", "check_timeout": "1s", "keyring_file": str(ring.path)})


class Row:
    """What the database holds of a server's credential."""

    def __init__(self, psql: Connection, ring: KeyRingFile) -> None:
        self._psql = psql
        self._vault = Vault(ring, makes_ring=False, must_exist=True)

    async def config(self, name: str = "anna") -> dict[str, Any]:
        config: dict[str, Any] = await self._psql.fetchval(f"SELECT auth_config FROM ({ROW}) AS row", name)
        return config

    async def opened(self, name: str = "anna") -> object:
        row = await self._psql.fetchrow(ROW, name)
        assert row is not None
        sealed = Sealed(server_id=row["id"], url=row["url"], auth_type=row["auth_type"], auth_config=row["auth_config"])
        return self._vault.open(sealed)


@pytest.fixture
def row(psql: Connection, ring: KeyRingFile) -> Row:
    """What the database holds."""
    return Row(psql, ring)


@pytest.mark.parametrize(
    ("auth", "shown", "credential"),
    [
        (BEARER, {"type": "bearer", "configured": True}, Bearer(token="canary-token")),
        (BASIC, {"type": "basic", "configured": True}, Basic(username="canary-user", password="canary-password")),
        (API_KEY, {"type": "api_key", "configured": True, "header": "X-API-Key"}, ApiKey(key="canary-key")),
        (
            API_KEY | {"header": "X-Gate"},
            {"type": "api_key", "configured": True, "header": "X-Gate"},
            ApiKey(key="canary-key", header="X-Gate"),
        ),
    ],
)
async def test_a_credential_is_stored_sealed_and_shown_only_by_its_kind(
    api: ApiClient, row: Row, auth: dict[str, str], shown: dict[str, Any], credential: Credential
) -> None:
    created = await api.add("anna", url=URL, auth=auth)
    read = await api.ask("GET", f"/api/servers/{created['id']}")
    assert created["auth"] == read.body["auth"] == shown
    assert await row.opened() == credential
    events = await api.ask("GET", "/api/events?after=0")
    assert "canary" not in json.dumps([created, read.body, events.body, await row.config()])


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("url", [URL, "HTTP://GPU-1.EXAMPLE:11434/ollama/"])
async def test_it_stays_while_the_origin_does(api: ApiClient, row: Row, method: str, url: str) -> None:
    created = await api.add("anna", url=URL, auth=BEARER)
    answer = await api.ask(method, f"/api/servers/{created['id']}", json={"name": "berta", "url": url, "priority": 3})
    assert answer.body["auth"] == {"type": "bearer", "configured": True}
    assert answer.body["notices"] == []
    assert await row.opened("berta") == Bearer(token="canary-token")


@pytest.mark.parametrize("edit", [{"priority": 3}, {"url": URL}], ids=str)
async def test_it_stays_where_the_url_was_written_by_hand_in_another_spelling(
    api: ApiClient, row: Row, psql: Connection, edit: dict[str, Any]
) -> None:
    created = await api.add("anna", url=URL, auth=BEARER)
    await psql.execute("UPDATE ollama_servers SET url = 'http://GPU-1.Example:11434/v1/'")
    answer = await api.ask("PATCH", f"/api/servers/{created['id']}", json=edit)
    assert (answer.body["auth"]["configured"], answer.body["notices"]) == (True, [])
    assert await row.opened() == Bearer(token="canary-token")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("url", ["https://gpu-1.example:11434", "http://gpu-2.example:11434", "http://gpu-1.example"])
async def test_it_goes_with_the_origin_and_the_answer_says_so(api: ApiClient, row: Row, method: str, url: str) -> None:
    created = await api.add("anna", url=URL, auth=BEARER)
    answer = await api.ask(method, f"/api/servers/{created['id']}", json={"name": "anna", "url": url})
    assert answer.body["auth"] == NONE
    assert [notice["code"] for notice in answer.body["notices"]] == ["credential_dropped"]
    assert await row.config() == {}
    again = await api.ask(method, f"/api/servers/{created['id']}", json={"name": "anna", "url": url})
    assert again.body["notices"] == [], "there was nothing to lose any more"


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_a_credential_that_comes_with_the_new_origin_is_for_that(api: ApiClient, row: Row, method: str) -> None:
    created = await api.add("anna", url=URL, auth=BEARER)
    body = {"name": "anna", "url": "https://gpu-9.example", "auth": API_KEY}
    answer = await api.ask(method, f"/api/servers/{created['id']}", json=body)
    assert answer.body["auth"] == {"type": "api_key", "configured": True, "header": "X-API-Key"}
    assert answer.body["notices"] == []
    assert await row.opened() == ApiKey(key="canary-key")


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
@pytest.mark.parametrize("auth", [None, {"type": "none"}])
async def test_null_and_none_take_it_away(api: ApiClient, row: Row, method: str, auth: object) -> None:
    created = await api.add("anna", url=URL, auth=BEARER)
    body = {"name": "anna", "url": URL, "auth": auth}
    answer = await api.ask(method, f"/api/servers/{created['id']}", json=body)
    assert (answer.body["auth"], answer.body["notices"]) == (NONE, [])
    assert await row.config() == {}


async def test_a_new_credential_is_an_edit_with_an_event_that_tells_only_that(api: ApiClient) -> None:
    created = await api.add("anna", url=URL)
    answer = await api.ask("PATCH", f"/api/servers/{created['id']}", json={"auth": BEARER})
    assert (answer.body["row_version"], answer.body["status"]) == (2, "unknown")
    events = await api.ask("GET", "/api/events?after=1&type=server.updated")
    assert events.body["items"][0]["body"].items() >= {"auth_type": "bearer", "auth_configured": True}.items()
    assert "auth_config" not in events.body["items"][0]["body"]


BAD: list[tuple[Any, str]] = [
    ("canary-1", "auth"),
    (["canary-1"], "auth"),
    ({"token": "canary-1"}, "auth"),
    ({"type": "canary-1"}, "auth"),
    ({"type": ["canary-1"]}, "auth"),
    ({"type": "none", "token": "canary-1"}, "auth.token"),
    ({"type": "bearer"}, "auth.token"),
    ({"type": "bearer", "canary-1": 1, "token": "x"}, "auth.unknown"),
    ({"type": "bearer", "token": "canary-1", "configured": True}, "auth.unknown"),
    ({"type": "bearer", "token": ""}, "auth.token"),
    ({"type": "bearer", "token": "canary-1 canary-2"}, "auth.token"),
    ({"type": "bearer", "token": "canary-1\r\nHost: evil"}, "auth.token"),
    ({"type": "bearer", "token": "canary-1ü"}, "auth.token"),
    ({"type": "bearer", "token": "canary-1" * 600}, "auth.token"),
    ({"type": "bearer", "token": {"canary-1": 1}}, "auth.token"),
    ({"type": "bearer", "token": None}, "auth.token"),
    ({"type": "bearer", "password": "canary-1"}, "auth.token"),
    ({"type": "basic", "username": "canary-1"}, "auth.password"),
    ({"type": "basic", "username": "", "password": "canary-1"}, "auth.username"),
    ({"type": "basic", "username": "canary-1:canary-2", "password": "x"}, "auth.username"),
    ({"type": "basic", "username": "canary-1\x00", "password": "x"}, "auth.username"),
    ({"type": "basic", "username": "x" * 257, "password": "canary-1"}, "auth.username"),
    ({"type": "basic", "username": "x", "password": "canary-1\n"}, "auth.password"),
    ({"type": "basic", "username": "x", "password": "canary-1\u2028"}, "auth.password"),
    ({"type": "api_key", "key": " canary-1"}, "auth.key"),
    ({"type": "api_key", "key": "canary-1\x7f"}, "auth.key"),
    ({"type": "api_key", "key": "canary-1", "header": "Host"}, "auth.header"),
    ({"type": "api_key", "key": "canary-1", "header": "transfer-encoding"}, "auth.header"),
    ({"type": "api_key", "key": "canary-1", "header": "canary-1: x"}, "auth.header"),
    ({"type": "api_key", "key": "canary-1", "header": ""}, "auth.header"),
    ({"type": "api_key", "key": "canary-1", "header": None}, "auth.header"),
]


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_bad_credentials_are_refused_where_they_are_wrong_and_never_repeated(api: ApiClient, method: str) -> None:
    created = await api.add("anna", url=URL)
    path = "/api/servers" if method == "POST" else f"/api/servers/{created['id']}"
    for auth, field in BAD:
        answer = await api.ask(method, path, json={"name": "berta", "url": "http://berta.example", "auth": auth})
        assert (answer.status, answer.body["code"]) == (422, "invalid"), auth
        assert field in [error["field"] for error in answer.body["errors"]], (auth, answer.body)
        assert "canary" not in json.dumps(answer.body), auth
    assert (await api.ask("GET", f"/api/servers/{created['id']}")).body == created


async def test_a_secret_in_the_wrong_place_is_not_repeated(api: ApiClient) -> None:
    bodies: list[dict[str, Any]] = [
        {"name": "anna", "url": "http://canary-user:canary-password@gpu-1.example"},
        {"name": "anna", "url": f"{URL}?key=canary-key"},
        {"name": "anna", "url": URL, "token": "canary-token"},
        {"name": "anna", "url": URL, "auth_config": {"token": "canary-token"}},
        {"name": "anna", "url": URL, "priority": "canary-token"},
        {"name": "anna", "url": URL, "api_version": "canary token"},
    ]
    for body in bodies:
        answer = await api.ask("POST", "/api/servers", json=body)
        assert answer.status == 422, body
        assert "canary" not in json.dumps(answer.body), body


async def test_without_a_key_ring_a_credential_is_refused_with_what_to_do_and_nothing_is_stored(
    dsn: str, tmp_path: Path
) -> None:
    bare = Settings.model_validate({"api_port": "0", "state_dir": str(tmp_path / "state")})
    async with serving(bare, dsn) as (api, _):
        answer = await api.ask("POST", "/api/servers", json={"name": "anna", "url": URL, "auth": BEARER})
        assert (answer.status, answer.body["code"]) == (503, "key_ring_unavailable")
        assert "ollama-fleet keys create" in answer.body["detail"]
        assert (await api.ask("GET", "/api/servers")).body["items"] == []
        await api.add("anna", url=URL)
    assert not (tmp_path / "state").exists()


async def test_a_key_ring_that_was_exchanged_meanwhile_seals_nothing(api: ApiClient, ring: KeyRingFile) -> None:
    await api.add("anna", url=URL, auth=BEARER)
    ring.path.unlink()
    ring.path.write_text(key_ring.first_text(fresh_key()))
    ring.path.chmod(0o600)
    answer = await api.ask("POST", "/api/servers", json={"name": "berta", "url": "http://b.example", "auth": BEARER})
    assert (answer.status, answer.body["code"]) == (503, "key_ring_unavailable")
    assert "not the one of this database" in answer.body["detail"]
