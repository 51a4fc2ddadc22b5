"""The list of servers: filters, pages, and parameters that are wrong."""

import base64

from monitor.postgres.database import Connection
from tests.api.client import ApiClient

WRONG = [
    ("active=true", "unknown_parameter"),
    ("is_active=yes", "invalid"),
    ("is_active=true&is_active=false", "invalid"),
    ("status=sick", "invalid"),
    ("limit=0", "invalid"),
    ("limit=1001", "invalid"),
    ("limit=ten", "invalid"),
    ("label=rack", "invalid"),
    ("label==7", "invalid"),
    ("capability=%00", "invalid"),
    ("cursor=nonsense", "invalid_cursor"),
    ("cursor=%C3%A4", "invalid_cursor"),
    ("cursor=", "invalid"),
    ("%00=1", "unknown_parameter"),
]


async def names(api: ApiClient, query: str) -> list[str]:
    answer = await api.ask("GET", f"/api/servers?{query}")
    assert answer.status == 200, answer.body
    return [server["name"] for server in answer.body["items"]]


async def test_pages_hold_every_server_once_in_the_order_of_names(api: ApiClient) -> None:
    for name in ("clara", "anna", "emil", "berta", "dora"):
        await api.add(name)
    seen: list[str] = []
    path = "/api/servers?limit=2"
    while True:
        page = (await api.ask("GET", path)).body
        seen += [server["name"] for server in page["items"]]
        if page["next_cursor"] is None:
            break
        path = f"/api/servers?limit=2&cursor={page['next_cursor']}"
    assert seen == ["anna", "berta", "clara", "dora", "emil"]


async def test_a_page_that_ends_with_the_last_server_has_no_next_one(api: ApiClient) -> None:
    await api.add("anna")
    await api.add("berta")
    assert (await api.ask("GET", "/api/servers?limit=2")).body["next_cursor"] is None


async def test_a_cursor_outlives_the_server_it_came_from(api: ApiClient) -> None:
    servers = [await api.add(name) for name in ("anna", "berta", "clara")]
    cursor = (await api.ask("GET", "/api/servers?limit=2")).body["next_cursor"]
    await api.ask("DELETE", f"/api/servers/{servers[1]['id']}")
    assert await names(api, f"limit=2&cursor={cursor}") == ["clara"]


async def test_filters_let_through_what_meets_all_of_them(api: ApiClient, psql: Connection) -> None:
    await api.add("anna", capabilities=["chat", "vision"], labels={"rack": "7", "zone": "eu:1"})
    await api.add("berta", capabilities=["chat"], labels={"rack": "8"})
    await api.add("clara", is_active=False)
    await psql.execute("UPDATE ollama_servers SET status = 'degraded' WHERE name = 'anna'")
    assert await names(api, "is_active=true") == ["anna", "berta"]
    assert await names(api, "is_available=true") == ["anna"]
    assert await names(api, "is_available=false") == ["berta", "clara"]
    assert await names(api, "status=degraded") == ["anna"]
    assert await names(api, "status=degraded&status=unknown&is_active=true") == ["anna", "berta"]
    assert await names(api, "capability=chat") == ["anna", "berta"]
    assert await names(api, "capability=chat&capability=vision") == ["anna"]
    assert await names(api, "label=rack:7") == ["anna"]
    assert await names(api, "label=rack%3D8") == ["berta"]
    assert await names(api, "label=rack=7&label=zone=eu:1") == ["anna"]
    assert await names(api, "label=rack=7&label=rack=8") == []


async def test_every_wrong_parameter_is_refused(api: ApiClient) -> None:
    for query, code in WRONG:
        answer = await api.ask("GET", f"/api/servers?{query}")
        assert (answer.status, answer.body["code"]) == (422, code), query


async def test_a_forged_cursor_is_refused(api: ApiClient) -> None:
    for text in (b"[]", b'["a", "b"]', b'["a\\u0000", "3fa85f64-5717-4562-b3fc-2c963f66afa6"]', b"{", b"\xff"):
        cursor = base64.urlsafe_b64encode(text).decode().rstrip("=")
        answer = await api.ask("GET", f"/api/servers?cursor={cursor}")
        assert (answer.status, answer.body["code"]) == (422, "invalid_cursor"), text
