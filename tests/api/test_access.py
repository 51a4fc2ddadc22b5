"""Tokens over real HTTP: who is let in, what for, and what is said to all others."""

import asyncio
import secrets
import uuid
from collections.abc import Awaitable, Callable

import pytest

from api.fleet.access import tokens
from monitor.postgres.database import Connection
from tests.api.client import ApiClient, told
from tests.api.token_maker import bearer, make

SERVERS = "/api/servers"
NEW = {"name": "anna", "url": "http://anna.example"}
Eventually = Callable[..., Awaitable[None]]

pytestmark = pytest.mark.usefixtures("tokens_read_often")


async def test_without_a_token_only_signs_of_life_are_shown(guarded: ApiClient) -> None:
    for path in ("/livez", "/readyz"):
        assert (await guarded.ask("GET", path)).status == 200
    for method, path in (("GET", SERVERS), ("POST", SERVERS), ("GET", "/api/events/stream"), ("GET", "/metrics")):
        answer = await guarded.ask(method, path)
        assert (answer.status, answer.body["code"]) == (401, "token_missing")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("scopes", "reads", "writes"),
    [
        (["read"], 200, 403),
        (["write"], 200, 201),
        (["credentials"], 403, 403),
        (["read", "credentials"], 200, 403),
        (["admin"], 200, 201),
    ],
    ids=str,
)
async def test_a_token_may_do_what_its_scopes_say(
    guarded: ApiClient, psql: Connection, scopes: list[str], reads: int, writes: int
) -> None:
    headers = bearer(await make(psql, "ci", *scopes))
    assert (await guarded.ask("GET", SERVERS, headers=headers)).status == reads
    assert (await guarded.ask("POST", SERVERS, headers=headers, json=NEW)).status == writes


@pytest.mark.parametrize(
    ("given", "method", "path", "scope"),
    [
        ("write", "GET", f"{SERVERS}?include=credentials", "credentials"),
        ("credentials", "GET", SERVERS, "read"),
        ("read", "DELETE", f"{SERVERS}/x", "write"),
    ],
)
async def test_a_scope_that_is_missing_is_named(
    guarded: ApiClient, psql: Connection, *, given: str, method: str, path: str, scope: str
) -> None:
    answer = await guarded.ask(method, path, headers=bearer(await make(psql, "ci", given)))
    assert (answer.status, answer.body["code"], answer.body["scope"]) == (403, "scope_missing", scope)
    assert f'scope="{scope}"' in answer.headers["WWW-Authenticate"]


def wrong_tokens(right: str) -> list[str]:
    """Texts that look like a right token and are none."""
    return [
        "x",
        right[:-1],
        right + "A",
        right.upper(),
        right[:37] + secrets.token_urlsafe(32),
        tokens.make(uuid.uuid4()),
        f"olf_{uuid.uuid4()}_{secrets.token_urlsafe(32)}",
    ]


async def test_a_wrong_token_is_unknown_whatever_is_wrong_with_it(guarded: ApiClient, admin: str) -> None:
    for token in wrong_tokens(admin):
        answer = await guarded.ask("GET", SERVERS, headers=bearer(token))
        assert (answer.status, answer.body["code"]) == (401, "token_unknown")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert token not in str(answer.body)


async def test_other_schemes_are_unknown_and_the_right_one_may_be_in_any_case(guarded: ApiClient, admin: str) -> None:
    for value in (f"Basic {admin}", admin, "Bearer", f"Bearer {admin} {admin}", f"Bearer {admin}\u00fc"):
        assert await told(guarded, headers={"Authorization": value}) == (401, "token_unknown")
    assert await told(guarded, headers={"Authorization": f"bEARER  {admin} "}) == (200, "")


async def test_several_tokens_are_refused(guarded: ApiClient, admin: str) -> None:
    headers = [("Authorization", f"Bearer {admin}"), ("Authorization", f"Bearer {admin}")]
    assert await told(guarded, headers=headers) == (400, "several_tokens")


async def test_a_header_that_is_no_http_or_too_long_gets_400_and_is_not_logged(
    guarded: ApiClient, admin: str, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = guarded.base_url.removeprefix("http://").split(":")
    for token in (admin.encode() + b"\x01\xff", admin.encode() * 128):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /api/servers HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer %b\r\n\r\n" % (host.encode(), token)
        )
        async with asyncio.timeout(20):
            assert (await reader.readline()).split()[1] == b"400"
        writer.close()
        await writer.wait_closed()
    assert "request_not_understood" in caplog.text
    assert admin[:45] not in caplog.text


@pytest.mark.parametrize("name", ["token", "access_token", "API_KEY", "authorization"])
async def test_a_token_in_the_address_is_refused_and_told_where_it_goes(
    guarded: ApiClient, admin: str, name: str
) -> None:
    for headers in ({}, bearer(admin)):
        answer = await guarded.ask("GET", f"{SERVERS}?{name}={admin}", headers=headers)
        assert (answer.status, answer.body["code"]) == (400, "token_in_query")
        assert "Authorization: Bearer" in answer.body["detail"]
        assert admin not in str(answer.body)


async def test_what_an_address_needs_is_not_mixed_up_between_methods_nor_forgotten(
    guarded: ApiClient, psql: Connection
) -> None:
    headers = bearer(await make(psql, "reader", "read"))
    path = f"{SERVERS}/none"
    for _ in range(2):
        assert (await guarded.ask("GET", path, headers=headers)).status == 404
        assert (await guarded.ask("DELETE", path, headers=headers)).body["code"] == "scope_missing"
        assert (await guarded.ask("GET", f"{path}?token=x", headers=headers)).body["code"] == "token_in_query"
        assert (await guarded.ask("GET", path)).body["code"] == "token_missing"


async def test_wrong_tokens_are_slowed_down_and_a_right_one_beside_them_is_not(guarded: ApiClient, admin: str) -> None:
    wrong = bearer(tokens.make(uuid.uuid4()))
    codes = [await told(guarded, headers=wrong) for _ in range(30)]
    assert codes[:10] == [(401, "token_unknown")] * 10
    assert (429, "too_many_failures") in codes
    answer = await guarded.ask("GET", SERVERS, headers=wrong)
    if answer.status == 429:
        assert 1 <= int(answer.headers["Retry-After"]) <= 6
    assert await told(guarded, headers=bearer(admin)) == (200, "")


async def test_events_name_whose_token_made_the_change(guarded: ApiClient, psql: Connection) -> None:
    headers = bearer(await make(psql, "anna@ci", "write"))
    server = (await guarded.ask("POST", SERVERS, headers=headers, json=NEW)).body
    path = f"{SERVERS}/{server['id']}"
    await psql.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'm', 'm:1' FROM ollama_servers"
    )
    await guarded.ask("PATCH", f"{path}/models/m:1", headers=headers, json={"is_active": False})
    await guarded.ask("PUT", path, headers=headers, json=NEW | {"priority": 2})
    await guarded.ask("DELETE", path, headers=headers)
    items = (await guarded.ask("GET", "/api/events", headers=headers)).body["items"]
    assert [(item["type"], item["body"]["actor"]) for item in items] == [
        ("server.created", "anna@ci"),
        ("model.added", "fleet"),
        ("model.changed", "anna@ci"),
        ("server.updated", "anna@ci"),
        ("server.deleted", "anna@ci"),
        ("model.removed", "anna@ci"),
    ]
