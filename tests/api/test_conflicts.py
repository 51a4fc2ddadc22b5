"""Two who want the same: names, URLs, the default mark, and edits of one row version."""

import asyncio
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.api.client import ApiClient


@pytest.mark.parametrize(
    ("taken", "code"),
    [
        ({"name": "anna", "url": "http://other.example"}, "name_taken"),
        ({"name": "other", "url": "http://GPU-anna.example:11434/v1"}, "url_taken"),
    ],
)
async def test_what_is_taken_is_refused_with_the_id_that_has_it(
    api: ApiClient, taken: dict[str, Any], code: str
) -> None:
    anna = await api.add("anna", url="http://gpu-anna.example:11434")
    berta = await api.add("berta")
    answers = [
        await api.ask("POST", "/api/servers", json=taken),
        await api.ask("PUT", f"/api/servers/{berta['id']}", json=taken),
        await api.ask("PATCH", f"/api/servers/{berta['id']}", json=taken),
    ]
    for answer in answers:
        assert (answer.status, answer.body["code"]) == (409, code)
        assert answer.body["existing_id"] == anna["id"]
        assert anna["id"] in answer.body["detail"]


async def test_of_many_who_create_one_name_at_once_one_succeeds(api: ApiClient, psql: Connection) -> None:
    bodies = [{"name": "anna", "url": f"http://gpu-{number}.example"} for number in range(20)]
    answers = await asyncio.gather(*(api.ask("POST", "/api/servers", json=body) for body in bodies))
    assert sorted(answer.status for answer in answers) == [201, *[409] * 19]
    winner = next(answer.body["id"] for answer in answers if answer.status == 201)
    assert {answer.body["existing_id"] for answer in answers if answer.status == 409} == {winner}
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 1


async def test_of_many_who_take_the_default_mark_at_once_all_succeed_in_turn(api: ApiClient, psql: Connection) -> None:
    servers = [await api.add(f"s{number}") for number in range(8)]
    patches = (api.ask("PATCH", f"/api/servers/{server['id']}", json={"is_default": True}) for server in servers)
    answers = await asyncio.gather(*patches)
    assert {answer.status for answer in answers} == {200}
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers WHERE is_default") == 1


async def test_concurrent_patches_of_different_labels_all_stay(api: ApiClient) -> None:
    path = f"/api/servers/{(await api.add('anna'))['id']}"
    await asyncio.gather(*(api.ask("PATCH", path, json={"labels": {f"k{n}": str(n)}}) for n in range(10)))
    assert (await api.ask("GET", path)).body["labels"] == {f"k{n}": str(n) for n in range(10)}


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_if_match_lets_only_the_row_version_through_that_it_names(api: ApiClient, method: str) -> None:
    server = await api.add("anna")
    path = f"/api/servers/{server['id']}"
    options: dict[str, Any] = {} if method == "DELETE" else {"json": {"name": "new", "url": server["url"]}}
    for tag in ('"2"', 'W/"1"', '"abc"', '""'):
        refused = await api.ask(method, path, headers={"If-Match": tag}, **options)
        assert (refused.status, refused.body["code"]) == (412, "precondition_failed"), tag
    assert (await api.ask("GET", path)).body == server
    assert (await api.ask(method, path, headers={"If-Match": "nonsense"}, **options)).status == 422
    assert (await api.ask(method, path, headers={"If-Match": '"1"'}, **options)).status in {200, 204}


async def test_if_match_star_takes_any_row_version(api: ApiClient) -> None:
    server = await api.add("anna")
    answer = await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 1}, headers={"If-Match": "*"})
    assert (answer.status, answer.headers["ETag"]) == (200, '"2"')


async def test_of_many_edits_with_one_tag_one_succeeds(api: ApiClient) -> None:
    path = f"/api/servers/{(await api.add('anna'))['id']}"
    edits = (api.ask("PATCH", path, json={"priority": n}, headers={"If-Match": '"1"'}) for n in range(1, 9))
    statuses = sorted(answer.status for answer in await asyncio.gather(*edits))
    assert statuses == [200, *[412] * 7]
