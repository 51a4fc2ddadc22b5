"""Resolution with the headers to send: for those who may have them, and for nobody else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from api.fleet.resolution.mirror import Mirror
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import Answer, ApiClient, serving
from tests.api.token_maker import bearer, make
from tests.credentials.conftest import fresh_key
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy

Eventually = Callable[..., Awaitable[None]]
PATH = "/api/resolve"
URL = "http://anna.example:11434"
BEARER = {"type": "bearer", "token": "canary-token"}
SENT = {"Authorization": "Bearer canary-token"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings of an API that can store credentials."""
    KeyRingFile(tmp_path / "keyring").create(fresh_key())
    return Settings.model_validate({"api_port": "0", "check_timeout": "1s", "keyring_file": str(tmp_path / "keyring")})


@pytest.fixture
async def token(psql: Connection) -> dict[str, str]:
    """The header of a token that may do everything."""
    return bearer(await make(psql, "admin", "admin"))


@pytest.fixture
async def api(settings: Settings, dsn: str, token: dict[str, str]) -> AsyncIterator[ApiClient]:
    """A client that sends the token."""
    async with serving(settings, dsn) as (client, _):
        client.session.headers.update(token)
        yield client


@pytest.fixture
async def anna(api: ApiClient) -> dict[str, Any]:
    """A server with a credential."""
    return await api.add("anna", url=URL, auth=BEARER, is_default=True)


async def ask(api: ApiClient, **fields: Any) -> Answer:
    return await api.ask("POST", PATH, json={"server_url": URL, **fields})


async def known(api: ApiClient, eventually: Eventually) -> None:
    """Wait until the API has heard of the server."""

    async def is_known() -> bool:
        return bool((await ask(api)).body["source"] == "registered")

    await eventually(is_known, what="the server in the memory of the API")


@pytest.mark.usefixtures("anna")
async def test_the_headers_are_told_only_if_they_are_asked_for(api: ApiClient, eventually: Eventually) -> None:
    await known(api, eventually)
    assert "headers" not in (await ask(api)).body
    assert (await ask(api, include=["credentials"])).body["headers"] == SENT
    asked = await api.ask("GET", f"{PATH}?include=credentials")
    assert (asked.body["rule"], asked.body["headers"]) == (3, SENT)


async def test_a_server_without_a_credential_and_a_dynamic_one_want_no_headers(
    api: ApiClient, eventually: Eventually
) -> None:
    await api.add("berta", url=URL)
    await known(api, eventually)
    assert (await ask(api, include=["credentials"])).body["headers"] == {}
    dynamic = await ask(api, server_url="http://10.1.2.3", include=["credentials"])
    assert (dynamic.body["source"], dynamic.body["headers"]) == ("dynamic", {})


async def test_a_token_needs_the_scope_for_the_headers_and_no_other_will_do(
    settings: Settings, dsn: str, psql: Connection
) -> None:
    scopes = {"writer": ["write"], "keeper": ["read", "credentials"]}
    bearing = {name: {"Authorization": f"Bearer {await make(psql, name, *scopes[name])}"} for name in scopes}
    async with serving(settings, dsn) as (api, _):
        server = {"name": "anna", "url": URL, "auth": BEARER, "is_default": True}
        assert (await api.ask("POST", "/api/servers", json=server, headers=bearing["writer"])).status == 201
        refused = await api.ask("POST", PATH, json={"include": ["credentials"]}, headers=bearing["writer"])
        assert (refused.status, refused.body["code"], refused.body["scope"]) == (403, "scope_missing", "credentials")
        assert "canary" not in str(refused.body)
        told = await api.ask("GET", f"{PATH}?include=credentials&server_url={URL}", headers=bearing["keeper"])
        assert (told.status, told.body["base_url"]) == (200, URL)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"{PATH}?include=credentials&server_url={URL}", None),
        ("POST", PATH, {"server_url": URL, "include": ["credentials"]}),
    ],
)
async def test_an_open_api_tells_no_credentials_and_says_what_does(
    settings: Settings, dsn: str, *, method: str, path: str, body: object
) -> None:
    async with serving(settings, dsn) as (api, _):
        await api.add("anna", url=URL, auth=BEARER)
        refused = await api.ask(method, path, json=body)
    assert (refused.status, refused.body["code"], refused.body["scope"]) == (403, "scope_missing", "credentials")
    assert "`ollama-fleet token create NAME --scope read --scope credentials`" in refused.body["detail"]
    assert "canary" not in str(refused.body)


async def test_a_credential_that_changes_is_told_anew(
    api: ApiClient, anna: dict[str, Any], eventually: Eventually
) -> None:
    await known(api, eventually)
    assert (await ask(api, include=["credentials"])).body["headers"] == SENT
    key = {"type": "api_key", "key": "canary-key", "header": "X-Gate"}
    await api.ask("PATCH", f"/api/servers/{anna['id']}", json={"auth": key})

    async def is_new() -> bool:
        return bool((await ask(api, include=["credentials"])).body["headers"] == {"X-Gate": "canary-key"})

    await eventually(is_new, what="the new headers")


async def test_a_credential_is_never_told_with_the_address_from_before_an_edit(
    api: ApiClient, anna: dict[str, Any], eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    await known(api, eventually)
    # As when the event of the edit is still on its way.
    monkeypatch.setattr(Mirror, "take", lambda *_arguments, **_options: None)
    moved = {"url": "http://berta.example", "auth": {"type": "bearer", "token": "canary-of-berta"}}
    assert (await api.ask("PATCH", f"/api/servers/{anna['id']}", json=moved)).status == 200
    answer = await ask(api, include=["credentials"])
    assert (answer.status, answer.body["code"]) == (503, "credential_unreadable")
    assert "canary" not in str(answer.body)


async def test_a_credential_that_no_key_opens_is_refused_with_words(
    api: ApiClient, anna: dict[str, Any], psql: Connection, eventually: Eventually
) -> None:
    other = await api.add("berta", url="http://berta.example", auth=BEARER)
    await psql.execute(
        "UPDATE ollama_servers SET auth_config = (SELECT auth_config FROM ollama_servers WHERE id = $1) WHERE id = $2",
        other["id"],
        anna["id"],
    )
    await known(api, eventually)
    answer = await ask(api, include=["credentials"])
    assert (answer.status, answer.body["code"], answer.body["server_id"]) == (503, "credential_unreadable", anna["id"])


async def test_headers_that_were_told_once_are_told_without_the_database(
    settings: Settings, dsn: str, token: dict[str, str], proxy: TcpProxy, eventually: Eventually
) -> None:
    async with serving(settings, through(proxy, dsn)) as (api, _):
        api.session.headers.update(token)
        # The other one first, so that it is known, too, once this one is.
        await api.add("berta", url="http://berta.example", auth=BEARER)
        await api.add("anna", url=URL, auth=BEARER)
        await known(api, eventually)
        assert (await ask(api, include=["credentials"])).body["headers"] == SENT
        await proxy.refuse()
        proxy.cut()
        assert (await ask(api, include=["credentials"])).body["headers"] == SENT
        never_told = await ask(api, server_url="http://berta.example", include=["credentials"])
        assert (never_told.status, never_told.body["code"]) == (503, "database_unavailable")


@pytest.mark.parametrize("include", [["secrets"], "credentials", [1], {}])
async def test_what_cannot_be_included_is_refused(api: ApiClient, include: object) -> None:
    answer = await ask(api, include=include)
    assert (answer.status, answer.body["errors"][0]["field"].startswith("include")) == (422, True)
