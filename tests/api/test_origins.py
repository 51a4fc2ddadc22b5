"""What a foreign web page could have a browser send: refused, and never let to read an answer."""

import pytest

from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.token_maker import bearer, make

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


async def test_an_open_api_answers_under_the_names_of_its_settings_and_no_others(dsn: str) -> None:
    settings = Settings.model_validate({"api_port": "0", "api_hostnames": "Fleet.lan, other.lan"})
    async with serving(settings, dsn) as (api, _):
        for host in ("fleet.lan", "FLEET.LAN:8420", "other.lan:80", "localhost"):
            assert (await api.ask("GET", "/api/servers", headers={"Host": host})).status == 200, host
        for host in ("lan", "fleet.lan.attacker.example", "192.0.2.1"):
            answer = await api.ask("GET", "/livez", headers={"Host": host})
            assert (answer.status, answer.body["code"]) == (403, "host_not_allowed"), host
        headers = {"Host": "fleet.lan", "Origin": "https://fleet.lan"}
        assert (await api.ask("POST", "/api/servers", json=NEW, headers=headers)).status == 201


@pytest.mark.parametrize("setting", ["bücher.example", "XN--BCHER-KVA.example"])
async def test_an_international_name_is_the_same_in_both_its_spellings(dsn: str, setting: str) -> None:
    settings = Settings.model_validate({"api_port": "0", "api_hostnames": setting})
    async with serving(settings, dsn) as (api, _):
        headers = {"Host": "xn--bcher-kva.example:8420", "Origin": "https://xn--bcher-kva.example"}
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
