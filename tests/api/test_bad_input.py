"""Bad bodies: each is refused with a 4xx problem, and the table stays as it was."""

import asyncio
import gzip
import io
import json
from typing import Any

import pytest

from api import app
from api.fleet import refusals
from api.web.http import bodies
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import Answer, ApiClient, serving

JSON = {"Content-Type": "application/json"}
GOOD: dict[str, Any] = {"name": "berta", "url": "http://berta.example"}
BAD_FIELDS: list[dict[str, Any]] = [
    {"name": 7},
    {"name": None},
    {"name": ""},
    {"name": "a\0b"},
    {"name": "a\nb"},
    {"name": " a"},
    {"name": "a\u2028b"},
    {"name": "x" * 201},
    {"url": "not a url"},
    {"url": "ftp://a.example"},
    {"url": "http://user:secret@a.example"},
    {"url": "http://a.example/?q=1"},
    {"url": "http://169.254.169.254"},
    {"url": "http://[::ffff:169.254.169.254]:80"},
    {"url": "http://0.0.0.0:11434"},
    {"url": "http://" + "a" * 3000},
    {"api_version": "v1/.."},
    {"api_version": ""},
    {"is_active": "true"},
    {"is_active": 1},
    {"is_default": "no"},
    {"connection_watch": 0},
    {"max_concurrent": "1"},
    {"max_concurrent": True},
    {"max_concurrent": 1.0},
    {"max_concurrent": 0},
    {"max_concurrent": 2**31},
    {"priority": -(2**31) - 1},
    {"priority": 10**400},
    {"capabilities": "chat"},
    {"capabilities": ["chat", 1]},
    {"capabilities": [""]},
    {"capabilities": ["c"] * 65},
    {"capabilities": ["x" * 65]},
    {"labels": []},
    {"labels": {"a": 1}},
    {"labels": {"a": "\0"}},
    {"labels": {"": "x"}},
    {"labels": {"a=b": "x"}},
    {"labels": {f"k{n}": "" for n in range(65)}},
    {"labels": {"a": {"b": "c"}}},
    {"check_interval_seconds": 0},
    {"check_interval_seconds": "15"},
    {"check_interval_seconds": True},
    {"check_timeout_seconds": 301},
    {"rise": 0},
    {"fall": 101},
    {"fall": 2.5},
    {"auth": "none"},
    {"auth": {"type": "none", "token": "x"}},
    {"auth": {"type": "kerberos"}},
    {"auth": {}},
    {"status": "up"},
    {"id": "3fa85f64-5717-4562-b3fc-2c963f66afa6"},
    {"row_version": 1},
    {"\ud800": 1},
    {"name": "\udfff"},
]
BAD_BODIES: list[tuple[bytes, int]] = [
    (b"", 400),
    (b"{", 400),
    (b"nonsense", 400),
    (b'{"name": "b\xff", "url": "http://b.example"}', 400),
    (b'{"name": "b", "url": "http://b.example", "priority": NaN}', 400),
    (b'{"name": "b", "url": "http://b.example", "check_interval_seconds": 1e999}', 422),
    (b'{"name": "b", "name": "c", "url": "http://b.example"}', 400),
    (b'{"name": "b", "url": "http://b.example", "labels": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", 400),
    (b'{"priority": ' + b"9" * 5000 + b"}", 400),
    (b"\xef\xbb\xbf{}", 400),
    (b"null", 422),
    (b"[]", 422),
    (b'"anna"', 422),
    (b"{}", 422),
    (b" " * (bodies.MAX_BYTES + 1), 413),
    (json.dumps(dict.fromkeys(map(str, range(bodies.MAX_MEMBERS + 1)))).encode(), 400),
]


class Target:
    """A server that is there, to be hit by bad bodies, and the table as it was before them."""

    def __init__(self, api: ApiClient, psql: Connection) -> None:
        self._api = api
        self._psql = psql

    async def refuse(self, **options: Any) -> list[Answer]:
        """Send the same to POST, PUT and PATCH; return the answers after a look at the table."""
        rows = await self._psql.fetch("SELECT * FROM ollama_servers")
        path = f"/api/servers/{rows[0]['id']}"
        routes = (("POST", "/api/servers"), ("PUT", path), ("PATCH", path))
        answers = [await self._api.ask(method, where, **options) for method, where in routes]
        assert await self._psql.fetch("SELECT * FROM ollama_servers") == rows, options
        return answers


@pytest.fixture
async def target(api: ApiClient, psql: Connection) -> Target:
    """A server named anna."""
    await api.add("anna")
    return Target(api, psql)


async def test_every_bad_field_is_refused_and_named(target: Target) -> None:
    for fields in BAD_FIELDS:
        body = json.dumps(GOOD | fields).encode()
        for answer in await target.refuse(data=body, headers=JSON):
            assert answer.status in {400, 422}, fields
            if answer.status == 422:
                assert answer.body["errors"][0]["field"].split(".")[0] in {*fields, ""}, fields


async def test_every_bad_body_is_refused(target: Target) -> None:
    for body, status in BAD_BODIES:
        answers = await target.refuse(data=body, headers=JSON)
        # To a merge patch an object without members is no mistake.
        wanted = [status, status, 200 if body == b"{}" else status]
        assert [answer.status for answer in answers] == wanted, body[:80]


async def test_however_many_fields_are_wrong_few_are_named(target: Target) -> None:
    many = dict.fromkeys(("x" * 200 + str(number) for number in range(bodies.MAX_MEMBERS)), 1)
    for answer in await target.refuse(json=many):
        assert answer.status == 422
        assert len(answer.body["errors"]) == refusals.MAX_ERRORS
        assert "more, see the first 20 in errors" in answer.body["detail"]
        assert max(len(error["field"]) for error in answer.body["errors"]) == refusals.MAX_FIELD_LENGTH


async def test_a_body_of_10_mb_is_refused_without_being_read(api: ApiClient) -> None:
    body = io.BytesIO(b'{"name": "' + b"x" * 10_000_000 + b'"}')
    answer = await api.ask("POST", "/api/servers", data=body, headers=JSON)
    assert (answer.status, answer.body["code"]) == (413, "too_large")


async def test_other_media_types_are_refused(target: Target) -> None:
    data = json.dumps(GOOD).encode()
    cases: list[tuple[bytes, dict[str, str]]] = [
        (data, {"Content-Type": "text/plain"}),
        (data, {"Content-Type": "application/x-www-form-urlencoded"}),
        (data, {"Content-Type": "application/json; charset=latin-1"}),
        (gzip.compress(data), JSON | {"Content-Encoding": "gzip"}),
    ]
    for body, headers in cases:
        for answer in await target.refuse(data=body, headers=headers):
            assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type"), headers


async def test_what_only_the_database_refuses_is_told_without_the_row(api: ApiClient, psql: Connection) -> None:
    await psql.execute("ALTER TABLE ollama_servers ADD CONSTRAINT of_the_owner CHECK (priority < 7)")
    answer = await api.ask("POST", "/api/servers", json=GOOD | {"priority": 7})
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert answer.body["detail"] == (
        'The database refuses a value: new row for relation "ollama_servers" violates check constraint "of_the_owner".'
    )


async def test_a_merge_patch_is_no_body_for_post(api: ApiClient) -> None:
    answer = await api.ask("POST", "/api/servers", json=GOOD, headers={"Content-Type": "application/merge-patch+json"})
    assert answer.status == 415


async def test_a_patch_cannot_heap_up_more_labels_than_a_server_may_have(api: ApiClient) -> None:
    server = await api.add("anna", labels={f"a{number}": "" for number in range(40)})
    more: dict[str, str | None] = {f"b{number}": "" for number in range(40)}
    path = f"/api/servers/{server['id']}"
    assert (await api.ask("PATCH", path, json={"labels": more})).status == 422
    fewer = more | {f"a{number}": None for number in range(10)}
    assert (await api.ask("PATCH", path, json={"labels": fewer})).status == 422
    assert len((await api.ask("GET", path)).body["labels"]) == 40


async def test_unknown_paths_and_methods_are_problems(api: ApiClient) -> None:
    assert (await api.ask("GET", "/api/nothing")).body["code"] == "not_found"
    answer = await api.ask("DELETE", "/api/servers")
    assert (answer.status, answer.body["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_a_request_under_a_foreign_host_name_is_refused(api: ApiClient) -> None:
    for host in ("fleet.attacker.example", "10.0.0.1", "localhost.attacker.example", ""):
        answer = await api.ask("GET", "/api/servers", headers={"Host": host})
        assert (answer.status, answer.body["code"]) == (403, "host_not_allowed"), host
    for host in ("localhost:8420", "127.0.0.1", "[::1]:8420"):
        assert (await api.ask("GET", "/api/servers", headers={"Host": host})).status == 200, host


async def test_a_body_that_drips_is_given_up(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MAX_SECONDS", 0.2)
    host, port = api.base_url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = (
        f"POST /api/servers HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{{"
    )
    writer.write(head.encode())
    status_line = await asyncio.wait_for(reader.readline(), 10)
    assert status_line.startswith(b"HTTP/1.1 408")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("drips", [False, True], ids=["half a head", "a head that drips"])
async def test_a_connection_without_a_whole_request_is_closed(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch, *, drips: bool
) -> None:
    monkeypatch.setattr(app, "IDLE_SECONDS", 0.5)
    async with serving(settings, dsn) as (api, _):
        host, port = api.base_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
        read = asyncio.create_task(reader.read())
        async with asyncio.timeout(20):
            while drips and not read.done():
                writer.write(b"x")
                await asyncio.wait([read], timeout=0.05)
            assert await read == b""
        writer.close()
