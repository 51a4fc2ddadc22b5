"""Servers over HTTP: create, read, replace, patch, delete, and what each of them leaves in the table."""

import uuid

import pytest

from monitor.postgres.database import Connection
from tests.api.client import ApiClient
from tests.api.resolving import get, settle

EVENTS = "SELECT type FROM fleet_events ORDER BY seq"


async def types(psql: Connection) -> list[str]:
    return [row["type"] for row in await psql.fetch(EVENTS)]


async def test_a_created_server_is_shown_whole_with_location_and_etag(api: ApiClient) -> None:
    sent = {"name": "anna", "url": "HTTP://GPU-1.Example:80/v1/", "labels": {"rack": "7"}, "capabilities": ["chat"]}
    created = await api.ask("POST", "/api/servers", json=sent)
    assert created.status == 201
    assert created.headers["Location"] == f"/api/servers/{created.body['id']}"
    assert created.headers["ETag"] == '"1"'
    assert created.body["url"] == "http://gpu-1.example"
    assert created.body["auth"] == {"type": "none", "configured": False}
    assert created.body["status"] == "unknown"
    assert created.body["is_available"] is False
    assert created.body["stale"] is False
    assert (created.body["max_concurrent"], created.body["priority"], created.body["api_version"]) == (1, 0, "v1")
    shown = await api.ask("GET", created.headers["Location"])
    assert shown.body == created.body
    assert shown.headers["ETag"] == '"1"'


async def test_put_gives_what_is_left_out_its_default(api: ApiClient) -> None:
    server = await api.add("anna", priority=5, labels={"rack": "7"}, rise=4)
    replaced = await api.ask("PUT", f"/api/servers/{server['id']}", json={"name": "anna", "url": server["url"]})
    assert replaced.status == 200
    assert (replaced.body["priority"], replaced.body["labels"], replaced.body["rise"]) == (0, {}, None)
    assert replaced.body["row_version"] == 2


async def test_put_of_an_unknown_id_creates_nothing(api: ApiClient, psql: Connection) -> None:
    answer = await api.ask("PUT", f"/api/servers/{uuid.uuid4()}", json={"name": "a", "url": "http://a.example"})
    assert (answer.status, answer.body["code"]) == (404, "server_not_found")
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 0


async def test_a_merge_patch_changes_only_what_it_names(api: ApiClient) -> None:
    server = await api.add("anna", priority=5, labels={"rack": "7", "room": "b"}, rise=4)
    patch = {"priority": None, "labels": {"rack": None, "row": "2"}, "rise": None, "fall": 9}
    patched = await api.ask(
        "PATCH",
        f"/api/servers/{server['id']}",
        json=patch,
        headers={"Content-Type": "application/merge-patch+json"},
    )
    assert patched.status == 200
    expected = server | {"priority": 0, "labels": {"room": "b", "row": "2"}, "rise": None, "fall": 9, "row_version": 2}
    expected["notices"] = []
    assert patched.body | {"updated_at": None} == expected | {"updated_at": None}


async def test_the_watch_of_a_server_is_switched_off_and_on(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    path = f"/api/servers/{server['id']}"
    assert server["connection_watch"] is True
    off = await api.ask("PATCH", path, json={"connection_watch": False})
    assert (off.body["connection_watch"], off.body["row_version"]) == (False, 2)
    assert (await api.ask("GET", path)).body["connection_watch"] is False
    assert (await api.ask("PATCH", path, json={"connection_watch": None})).body["connection_watch"] is True
    await api.ask("PATCH", path, json={"connection_watch": False})
    replaced = await api.ask("PUT", path, json={"name": "anna", "url": server["url"]})
    assert replaced.body["connection_watch"] is True
    assert await types(psql) == ["server.created", *["server.updated"] * 4]
    assert (await api.add("berta", connection_watch=False))["connection_watch"] is False


async def test_the_api_of_a_server_is_pinned_found_out_and_told(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    path = f"/api/servers/{server['id']}"
    assert (server["api"], server["api_pinned"]) == (None, False)
    await psql.execute("UPDATE ollama_servers SET status = 'up', api_seen = 'native'")
    assert (await api.ask("GET", path)).body["api"] == "native"
    pinned = await api.ask("PATCH", path, json={"api": "openai"})
    assert (pinned.body["api"], pinned.body["api_pinned"], pinned.body["row_version"]) == ("openai", True, 2)
    assert pinned.body["status"] == "up"
    moved = await api.ask("PATCH", path, json={"url": "http://elsewhere"})
    assert (moved.body["api"], moved.body["status"]) == ("openai", "unknown")
    await settle(api, psql)
    assert (await get(api, server_url="http://elsewhere")).body["server"]["api"] == "openai"
    for free in ("auto", None):
        freed = await api.ask("PATCH", path, json={"api": free})
        assert (freed.body["api"], freed.body["api_pinned"]) == ("openai", False)
        await api.ask("PATCH", path, json={"api": "openai"})
    replaced = await api.ask("PUT", path, json={"name": "anna", "url": "http://a"})
    assert (replaced.body["api"], replaced.body["api_pinned"]) == (None, False)
    assert (await api.add("berta", api="native"))["api"] == "native"
    for bad in ("both", "", "OPENAI", 1, ["native"]):
        refused = await api.ask("PATCH", path, json={"api": bad})
        assert (refused.status, refused.body["errors"][0]["field"]) == (422, "api")


async def test_null_for_all_labels_removes_them(api: ApiClient) -> None:
    server = await api.add("anna", labels={"rack": "7"}, capabilities=["chat"])
    patched = await api.ask("PATCH", f"/api/servers/{server['id']}", json={"labels": None, "capabilities": None})
    assert (patched.body["labels"], patched.body["capabilities"]) == ({}, [])


async def test_a_patch_cannot_remove_what_is_required(api: ApiClient) -> None:
    server = await api.add("anna")
    for field in ("name", "url"):
        answer = await api.ask("PATCH", f"/api/servers/{server['id']}", json={field: None})
        assert (answer.status, answer.body["code"]) == (422, "invalid")
        assert field in answer.body["detail"]


async def test_an_edit_that_changes_nothing_writes_nothing(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna", labels={"rack": "7"})
    path = f"/api/servers/{server['id']}"
    same = {"name": "anna", "url": server["url"] + "/", "labels": {"rack": "7"}}
    assert (await api.ask("PUT", path, json=same)).body["row_version"] == 1
    assert (await api.ask("PATCH", path, json={})).body["row_version"] == 1
    assert (await api.ask("PATCH", path, json={"labels": {"rack": "7"}})).body["row_version"] == 1
    assert await types(psql) == ["server.created"]


async def test_a_deleted_server_is_gone_with_its_models(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    await psql.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) VALUES ($1, 'm', 'm:latest')", uuid.UUID(server["id"])
    )
    assert (await api.ask("DELETE", f"/api/servers/{server['id']}")).status == 204
    assert (await api.ask("GET", f"/api/servers/{server['id']}")).body["code"] == "server_not_found"
    assert (await api.ask("DELETE", f"/api/servers/{server['id']}")).status == 404
    assert await psql.fetchval("SELECT count(*) FROM ollama_models") == 0


async def test_making_a_server_the_default_moves_the_mark(api: ApiClient, psql: Connection) -> None:
    first = await api.add("anna", is_default=True)
    second = await api.add("berta", is_default=True)
    third = await api.add("clara")
    defaults = "SELECT name FROM ollama_servers WHERE is_default"
    assert await psql.fetchval(defaults) == "berta"
    await api.ask("PATCH", f"/api/servers/{third['id']}", json={"is_default": True})
    assert [row["name"] for row in await psql.fetch(defaults)] == ["clara"]
    await api.ask("PUT", f"/api/servers/{first['id']}", json={"name": "anna", "url": first["url"], "is_default": True})
    assert [row["name"] for row in await psql.fetch(defaults)] == ["anna"]
    assert second["is_default"] is True


async def test_a_server_whose_checks_stopped_is_stale(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna", check_interval_seconds=10.0, check_timeout_seconds=2.0)
    path = f"/api/servers/{server['id']}"
    checked = "UPDATE ollama_servers SET last_checked_at = clock_timestamp() - make_interval(secs => $1)"
    await psql.execute(checked, 25.0)
    assert (await api.ask("GET", path)).body["stale"] is False
    await psql.execute(checked, 33.0)
    assert (await api.ask("GET", path)).body["stale"] is True
    await api.ask("PATCH", path, json={"is_active": False})
    assert (await api.ask("GET", path)).body["stale"] is False


async def test_a_server_that_was_never_checked_becomes_stale_too(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    await psql.execute(
        "UPDATE ollama_servers SET created_at = now() - interval '1 hour', updated_at = now() - interval '1 hour'"
    )
    assert (await api.ask("GET", f"/api/servers/{server['id']}")).body["stale"] is True


async def test_a_server_that_psql_wrote_can_be_read_and_patched(api: ApiClient, psql: Connection) -> None:
    await psql.execute(
        "INSERT INTO ollama_servers (name, url, labels, api_version) VALUES (' odd ', 'http://odd', $1, '')",
        {"a b": "c"},
    )
    server = (await api.ask("GET", "/api/servers")).body["items"][0]
    assert server["labels"] == {"a b": "c"}
    patched = await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 3})
    assert (patched.status, patched.body["priority"], patched.body["name"]) == (200, 3, " odd ")


async def test_a_server_that_flaps_is_shown_as_such(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    assert server["flapping_since"] is None
    await psql.execute("UPDATE ollama_servers SET flapping_since = '2030-01-01T00:00:00Z'")
    shown = await api.ask("GET", f"/api/servers/{server['id']}")
    assert shown.body["flapping_since"] == "2030-01-01T00:00:00Z"


@pytest.mark.parametrize(("latency", "now"), [("1.5", "answers now"), ("NULL", "does not answer now")])
async def test_of_a_server_that_flaps_it_is_told_whether_it_answers_now(
    api: ApiClient, psql: Connection, latency: str, now: str
) -> None:
    server = await api.add("anna")
    await psql.execute(
        "UPDATE ollama_servers SET status = 'down', status_reason = 'flapping', status_detail = '5 changes in 4 min', "
        f"latency_ms = {latency}"
    )
    shown = (await api.ask("GET", f"/api/servers/{server['id']}")).body
    assert (shown["status_reason"], shown["status_detail"]) == ("flapping", f"5 changes in 4 min; {now}")
    assert shown["cause"] == "It goes up and down too often"
    assert "keeps still" in shown["advice"] or "kept still" in shown["advice"]


async def test_a_server_that_is_down_says_what_is_wrong_and_what_helps(api: ApiClient, psql: Connection) -> None:
    server = await api.add("gpu 1", url="http://gpu-1:8000")
    path = f"/api/servers/{server['id']}"
    said = []
    for verdict in (
        "status = 'down', status_reason = 'auth'",
        "status = 'up', status_reason = 'ok'",
        "status = 'down', status_reason = 'gremlins'",
    ):
        await psql.execute(f"UPDATE ollama_servers SET {verdict}")
        body = (await api.ask("GET", path)).body
        said.append((body["cause"], body["advice"]))

    assert (server["cause"], server["advice"]) == (None, None)
    assert said[0][0] == "It wants a credential, or another one"
    assert "`ollama-fleet servers set 'gpu 1' --auth-type …`" in said[0][1]
    assert said[1:] == [(None, None)] * 2
