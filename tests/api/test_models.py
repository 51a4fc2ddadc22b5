"""Models over HTTP: the list, the operator's word, and names that hold slashes and colons."""

import uuid
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.api.client import ApiClient

ADD = """
INSERT INTO ollama_models (server_id, name, model_name, capabilities, capabilities_source)
VALUES ($1, $2, $2, '["completion"]', 'tags') RETURNING id
"""

SPELLINGS = [
    ("llama3:latest", "llama3"),
    ("llama3:latest", "LLAMA3:Latest"),
    ("hf.co/acme/tiny:Q4_K_M", "hf.co/acme/tiny:Q4_K_M"),
    ("hf.co/acme/tiny:Q4_K_M", "hf.co%2Facme%2Ftiny%3AQ4_K_M"),
    ("localhost:5000/team/coder:7b", "localhost:5000/team/coder:7b"),
    ("team/models:1b", "team/models:1b"),
]


async def with_model(api: ApiClient, psql: Connection, model_name: str) -> str:
    """Add a server with one model; return the path of its models."""
    server = await api.add("anna")
    await psql.execute(ADD, uuid.UUID(server["id"]), model_name)
    return f"/api/servers/{server['id']}/models"


async def test_the_list_shows_models_by_name_and_removed_ones_when_asked(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b")
    server_id = uuid.UUID(path.split("/")[3])
    await psql.execute(ADD, server_id, "gemma3:12b")
    await psql.execute("UPDATE ollama_models SET removed_at = now() WHERE model_name = 'qwen3:8b'")
    assert [model["model_name"] for model in (await api.ask("GET", path)).body["items"]] == ["gemma3:12b"]
    everything = (await api.ask("GET", path + "?include_removed=true")).body["items"]
    assert [(model["model_name"], model["is_active"]) for model in everything] == [
        ("gemma3:12b", True),
        ("qwen3:8b", False),
    ]


async def test_a_listed_model_was_last_seen_when_its_server_was_last_listed(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b")
    await psql.execute("UPDATE ollama_servers SET models_listed_at = '2099-01-01T00:00:00Z'")
    assert (await api.ask("GET", path)).body["items"][0]["last_seen_at"] == "2099-01-01T00:00:00Z"
    await psql.execute("UPDATE ollama_models SET removed_at = now()")
    removed = (await api.ask("GET", path + "?include_removed=true")).body["items"][0]
    assert not removed["last_seen_at"].startswith("2099")


async def test_a_model_is_found_by_each_spelling_of_its_name(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    for stored, asked in SPELLINGS:
        await psql.execute("DELETE FROM ollama_models")
        await psql.execute(ADD, uuid.UUID(server["id"]), stored)
        answer = await api.ask("PATCH", f"/api/servers/{server['id']}/models/{asked}", json={"is_active": False})
        assert (answer.status, answer.body.get("model_name")) == (200, stored), asked


async def test_a_model_switched_off_stays_off_until_it_is_switched_on(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b") + "/qwen3:8b"
    off = (await api.ask("PATCH", path, json={"is_active": False})).body
    assert (off["is_active"], off["disabled_at"] is not None) == (False, True)
    again = (await api.ask("PATCH", path, json={"is_active": False})).body
    assert again["disabled_at"] == off["disabled_at"]
    on = (await api.ask("PATCH", path, json={"is_active": True})).body
    assert (on["is_active"], on["disabled_at"]) == (True, None)


async def test_a_removed_model_can_be_switched_off_for_when_it_comes_back(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b") + "/qwen3:8b"
    await psql.execute("UPDATE ollama_models SET removed_at = now()")
    await api.ask("PATCH", path, json={"is_active": False})
    await psql.execute("UPDATE ollama_models SET removed_at = NULL")
    assert await psql.fetchval("SELECT is_active FROM ollama_models") is False


async def test_the_operators_word_on_capabilities_is_marked_as_such(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b") + "/qwen3:8b"
    for capabilities in (["vision"], ["completion"], []):
        model = (await api.ask("PATCH", path, json={"capabilities": capabilities, "name": "Qwen"})).body
        assert (model["capabilities"], model["capabilities_source"]) == (capabilities, "operator")
        assert model["name"] == "Qwen"
    back = (await api.ask("PATCH", path, json={"capabilities": None, "name": None})).body
    assert (back["capabilities"], back["capabilities_source"], back["name"]) == ([], "none", "qwen3:8b")


async def test_a_patch_of_a_model_that_changes_nothing_makes_no_event(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b") + "/qwen3:8b"
    head = await psql.fetchval("SELECT seq FROM fleet_event_head")
    for patch in ({}, {"is_active": True}, {"name": "qwen3:8b"}, {"name": None}):
        assert (await api.ask("PATCH", path, json=patch)).status == 200
    assert await psql.fetchval("SELECT seq FROM fleet_event_head") == head


async def test_bad_words_on_a_model_are_refused(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b") + "/qwen3:8b"
    before = await psql.fetchrow("SELECT * FROM ollama_models")
    bad: list[Any] = [{"is_active": "no"}, {"name": "\0"}, {"name": ""}, {"capabilities": [1]}, {"digest": "x"}, []]
    for body in bad:
        assert (await api.ask("PATCH", path, json=body)).status == 422, body
    assert await psql.fetchrow("SELECT * FROM ollama_models") == before


async def test_an_unknown_model_or_server_is_not_found(api: ApiClient, psql: Connection) -> None:
    path = await with_model(api, psql, "qwen3:8b")
    for name in ("llama3", "qwen3", "%00", "%FF", "a%0Ab", "%25"):
        answer = await api.ask("PATCH", f"{path}/{name}", json={"is_active": False})
        assert answer.status == 404, name
    unknown = f"/api/servers/{uuid.uuid4()}/models"
    assert (await api.ask("GET", unknown)).body["code"] == "server_not_found"
    assert (await api.ask("PATCH", unknown + "/m", json={})).body["code"] == "server_not_found"
    assert (await api.ask("GET", "/api/servers/anna/models")).body["code"] == "server_not_found"


@pytest.mark.parametrize(
    ("status", "expires_at", "is_loaded"),
    [
        ("up", "now() + interval '1 hour'", True),
        ("degraded", "NULL", True),
        ("unknown", "NULL", True),
        ("up", "now() - interval '1 second'", False),
        ("down", "now() + interval '1 hour'", False),
        ("down", "NULL", False),
    ],
)
async def test_a_model_is_in_memory_until_its_time_passes_or_its_server_dies(
    api: ApiClient, psql: Connection, status: str, expires_at: str, is_loaded: bool
) -> None:
    path = await with_model(api, psql, "qwen3:8b")
    await psql.execute("UPDATE ollama_servers SET status = $1", status)
    await psql.execute(f"UPDATE ollama_models SET size_vram = 7, loaded_size_bytes = 9, expires_at = {expires_at}")
    shown = (await api.ask("GET", path)).body["items"][0]
    assert (shown["size_vram"], shown["loaded_size_bytes"]) == ((7, 9) if is_loaded else (None, None))
    assert is_loaded or shown["expires_at"] is None
    assert await psql.fetchval("SELECT fleet_is_loaded(model) FROM ollama_models AS model") is is_loaded
    async with api.session.get(f"{api.base_url}/metrics") as metrics:
        assert f"\nollama_fleet_models_loaded {int(is_loaded)}.0\n" in await metrics.text()


async def test_a_model_that_never_was_in_memory_is_not_there(api: ApiClient, psql: Connection) -> None:
    await with_model(api, psql, "qwen3:8b")
    assert await psql.fetchval("SELECT fleet_is_loaded(model) FROM ollama_models AS model") is False
