"""`ETag` and `If-None-Match`: who has an answer already is not sent it again, and is never kept from a newer one."""

import pytest

from monitor.postgres.database import Connection
from tests.api import resolving
from tests.api.client import Answer, ApiClient
from tests.boxes import DOWN, UP, Box, Has

BOX = Box("anna", {"site": "attic", **UP}, (Has("m:latest"),))
SUSPECTED = "UPDATE ollama_servers SET suspect_since = now(), suspect_reason = 'timeout' WHERE name = 'anna'"
LASTING = (
    "/api/servers",
    "/api/events",
    "/api/models",
    "/api/models/m",
    "/api/resolve",
    "/api/resolve?model=m&candidates=3&explain=true",
    "/livez",
    "/openapi.json",
)


async def again(api: ApiClient, path: str, before: Answer) -> Answer:
    """Ask once more, with the tag of an answer."""
    return await api.ask("GET", path, headers={"If-None-Match": before.headers["ETag"]})


@pytest.mark.parametrize("path", LASTING)
async def test_an_answer_that_is_known_is_not_sent_again(api: ApiClient, psql: Connection, path: str) -> None:
    await resolving.make(api, psql, BOX)
    first = await api.ask("GET", path)
    known = await again(api, path, first)
    assert (first.status, known.status, known.body) == (200, 304, None)
    assert known.headers["ETag"] == first.headers["ETag"]
    assert (await api.ask("GET", path, headers={"If-None-Match": '"other"'})).body is not None


async def test_what_has_changed_is_sent(api: ApiClient, psql: Connection) -> None:
    await resolving.make(api, psql, BOX)
    (server_id,) = [row["id"] for row in await psql.fetch("SELECT id FROM ollama_servers")]
    of_one, of_list, place = f"/api/servers/{server_id}", f"/api/servers?id={server_id}", "/api/resolve?model=m"
    before = {path: await api.ask("GET", path) for path in (of_one, of_list, place)}

    # Another server changes the number of the event that the answer is true at, and nothing else of it.
    await psql.execute("INSERT INTO ollama_servers (name, url) VALUES ('berta', 'http://berta:11434')")
    await resolving.settle(api, psql)
    assert {path: (await again(api, path, answer)).status for path, answer in before.items()} == dict.fromkeys(
        before, 304
    )

    # What a check finds is not part of the tag of one server, but of that of the list.
    await psql.execute(
        "UPDATE ollama_servers SET suspect_since = now(), suspect_reason = 'timeout' WHERE name = 'anna'"
    )
    await resolving.settle(api, psql)
    suspected = {path: (await again(api, path, answer)).status for path, answer in before.items()}
    assert suspected == {of_one: 304, of_list: 200, place: 200}

    await psql.execute("UPDATE ollama_servers SET priority = 7 WHERE name = 'anna'")
    assert (await again(api, of_one, before[of_one])).body["priority"] == 7


async def test_an_answer_that_chance_decided_has_no_tag_but_one_for_a_session_has(
    api: ApiClient, psql: Connection
) -> None:
    await resolving.make(api, psql, BOX, Box("berta", UP, (Has("m:latest"),)))
    by_chance = await api.ask("GET", "/api/resolve?model=m", headers={"If-None-Match": "*"})
    assert by_chance.status == 200
    assert "ETag" not in by_chance.headers
    place = "/api/resolve?model=m&session=s"
    assert (await again(api, place, await api.ask("GET", place))).status == 304


async def test_a_refusal_has_no_tag(api: ApiClient, psql: Connection) -> None:
    await resolving.make(api, psql, Box("anna", DOWN, (Has("m:latest"),)))
    refusal = await api.ask("GET", "/api/resolve?model=m", headers={"If-None-Match": "*"})
    assert refusal.status == 503
    assert "ETag" not in refusal.headers
