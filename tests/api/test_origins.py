"""What a foreign web page could have a browser send: refused, and never let to read an answer."""

from collections.abc import Awaitable, Callable

import pytest

from api.fleet.access import tokens
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.token_maker import bearer, make

Eventually = Callable[..., Awaitable[None]]
QUESTIONS = ("/api/servers", "/api/resolve?model=m", "/api/events/stream", "/metrics", "/readyz")
NEW = {"name": "anna", "url": "http://anna.example"}
FOREIGN = [
    {"Origin": "https://attacker.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://[::1"},
    {"Origin": "file://"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://attacker.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "with a token"])
async def test_a_write_of_another_site_is_refused(
    settings: Settings, dsn: str, psql: Connection, *, headers: dict[str, str], is_open: bool
) -> None:
    token = {} if is_open else bearer(await make(psql, "page", "write"))
    async with serving(settings, dsn) as (api, _):
        answer = await api.ask("POST", "/api/servers", json=NEW, headers=headers | token)
    assert (answer.status, answer.body["code"]) == (403, "cross_site")
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 0


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize("is_open", [True, False], ids=["open", "with a token"])
async def test_a_question_of_another_site_is_refused(
    settings: Settings, dsn: str, psql: Connection, *, headers: dict[str, str], is_open: bool
) -> None:
    token = {} if is_open else bearer(await make(psql, "page", "read"))
    async with serving(settings, dsn) as (api, _):
        # A question that was let in a moment before is not taken for the same.
        assert (await api.ask("GET", QUESTIONS[0], headers=token)).status == 200
        for path in QUESTIONS:
            answer = await api.ask("GET", path, headers=headers | token)
            assert (answer.status, answer.body["code"]) == (403, "cross_site"), path
        async with api.session.head(api.base_url + QUESTIONS[0], headers=headers | token) as response:
            assert response.status == 403


async def test_a_link_of_another_site_opens_the_page_and_the_page_its_data(api: ApiClient) -> None:
    from_elsewhere = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    for path in ("/", "/docs"):
        async with api.session.get(api.base_url + path, headers=from_elsewhere) as response:
            assert response.status == 200, path
    for own in ({"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {}):
        for path in ("/api/servers", "/readyz", "/livez"):
            assert (await api.ask("GET", path, headers=own)).status == 200, (path, own)


async def test_no_page_of_another_site_can_load_an_answer(api: ApiClient) -> None:
    kept = {}
    for path in ("/", "/dashboard/app.js", "/docs", "/docs/style.css", "/openapi.json", "/livez", "/metrics", "/none"):
        async with api.session.get(api.base_url + path) as response:
            kept[path] = response.headers.get("Cross-Origin-Resource-Policy")
    servers = await api.ask("GET", "/api/servers")
    again = await api.ask("GET", "/api/servers", headers={"If-None-Match": servers.headers["ETag"]})
    async with api.session.get(api.base_url + "/api/events/stream") as stream:
        kept["stream"] = stream.headers.get("Cross-Origin-Resource-Policy")
    kept |= {str(each.status): each.headers.get("Cross-Origin-Resource-Policy") for each in (servers, again)}
    assert again.status == 304
    assert set(kept.values()) == {"same-origin"}, kept


async def test_a_page_of_the_api_itself_may_write(api: ApiClient) -> None:
    for number, headers in enumerate(
        (
            {"Origin": api.base_url},
            {"Origin": api.base_url, "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "none"},
        )
    ):
        new = {"name": f"s{number}", "url": f"http://s{number}.example"}
        assert (await api.ask("POST", "/api/servers", json=new, headers=headers)).status == 201


async def test_a_form_is_refused_where_no_body_is_wanted(api: ApiClient) -> None:
    server = await api.add("anna")
    answer = await api.ask("DELETE", f"/api/servers/{server['id']}", data="x", headers={"Content-Type": "text/plain"})
    assert (answer.status, answer.body["code"]) == (415, "unsupported_media_type")


async def test_nothing_allows_another_site_to_read(api: ApiClient) -> None:
    preflight = {"Origin": "https://attacker.example", "Access-Control-Request-Method": "GET"}
    for method, path in (("GET", "/api/servers"), ("OPTIONS", "/api/servers"), ("GET", "/livez"), ("GET", "/none")):
        answer = await api.ask(method, path, headers=preflight)
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]


async def test_under_the_names_of_its_settings_an_api_is_never_open(
    dsn: str, psql: Connection, monkeypatch: pytest.MonkeyPatch, eventually: Eventually
) -> None:
    monkeypatch.setattr(tokens, "RELOAD_SECONDS", 0.05)
    settings = Settings.model_validate({"api_port": "0", "api_hostnames": "Fleet.lan, other.lan"})
    headers = {"Host": "fleet.lan", "Origin": "https://fleet.lan"} | bearer(await make(psql, "page", "write"))
    async with serving(settings, dsn) as (api, _):
        assert (await api.ask("POST", "/api/servers", json=NEW, headers=headers)).status == 201
        await psql.execute("DELETE FROM api_tokens")

        async def is_unknown() -> bool:
            return (await api.ask("GET", "/api/servers", headers=headers)).status == 401

        await eventually(is_unknown)
        for host in ("fleet.lan", "localhost", "attacker.example"):
            answer = await api.ask("GET", "/api/servers", headers={"Host": host})
            assert (answer.status, answer.body["code"]) == (401, "token_missing"), host


@pytest.mark.parametrize("setting", ["bücher.example", "XN--BCHER-KVA.example"])
async def test_an_international_name_is_the_same_in_both_its_spellings(
    dsn: str, psql: Connection, setting: str
) -> None:
    settings = Settings.model_validate({"api_port": "0", "api_hostnames": setting})
    token = bearer(await make(psql, "page", "write"))
    async with serving(settings, dsn) as (api, _):
        headers = {"Host": "127.0.0.1:8420", "Origin": "https://xn--bcher-kva.example"} | token
        assert (await api.ask("POST", "/api/servers", json=NEW, headers=headers)).status == 201


@pytest.mark.parametrize(
    "host",
    [
        "attacker.example@localhost",
        "localhost/attacker.example",
        "localhost#attacker.example",
        "localhost?attacker.example",
        "localhost\\attacker.example",
        "ⓛocalhost",
        "１２７.0.0.1",
        "[::1%25lo]",
        "[::1",
        "localhost:",
        "localhost:8420:8420",
        "",
    ],
)
async def test_a_host_that_only_a_lenient_reader_takes_for_ours_is_refused(api: ApiClient, host: str) -> None:
    answer = await api.ask("GET", "/api/servers", headers={"Host": host})
    assert (answer.status, answer.body["code"]) == (403, "host_not_allowed")


async def test_with_a_token_the_name_does_not_matter(settings: Settings, dsn: str, psql: Connection) -> None:
    headers = {"Host": "any.example"} | bearer(await make(psql, "ci", "read"))
    async with serving(settings, dsn) as (api, _):
        assert (await api.ask("GET", "/api/servers", headers=headers)).status == 200
        assert (await api.ask("GET", "/api/servers", headers={"Host": "any.example"})).status == 401
