"""Choice over HTTP: sessions, shares, candidates, selectors and suspects."""

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from monitor.postgres.database import Connection
from tests.api.client import ApiClient
from tests.api.resolving import PATH, get, make
from tests.boxes import DOWN, SUSPECT, UP, Box, Has

Eventually = Callable[..., Awaitable[None]]
SIX = tuple(Box(f"gpu-{number}", UP, (Has("m:latest"),)) for number in range(6))
SESSIONS = [f"session-{number}" for number in range(60)]


async def chosen(api: ApiClient, **query: str | list[str]) -> str:
    """Return the name of the server that is chosen."""
    name: str = (await get(api, model="m", **query)).body["server"]["name"]
    return name


async def test_equal_servers_share_requests_and_sessions_keep_their_server(api: ApiClient, psql: Connection) -> None:
    await make(api, psql, *SIX)
    assert len(Counter([await chosen(api) for _ in range(150)])) == 6
    first = {session: await chosen(api, session=session) for session in SESSIONS}
    assert len(set(first.values())) == 6
    assert {session: await chosen(api, session=session) for session in SESSIONS} == first
    posted = await api.ask("POST", PATH, json={"model": "m", "session": SESSIONS[0]})
    assert posted.body["server"]["name"] == first[SESSIONS[0]]


@pytest.mark.parametrize("spelling", ["a b", "a+b", "ü/é", "a&b=c", "x" * 512])
async def test_a_session_may_be_any_text(api: ApiClient, psql: Connection, spelling: str) -> None:
    await make(api, psql, *SIX)
    posted = await api.ask("POST", PATH, json={"model": "m", "session": spelling})
    assert await chosen(api, session=spelling) == posted.body["server"]["name"]


@pytest.mark.parametrize(
    "query", ["server_url=http://h:1/?session=abc", "mysession=a", "session=a&sess%69on=b", "model=m&x?session=b"]
)
async def test_a_session_is_a_parameter_and_nothing_that_looks_like_one(api: ApiClient, query: str) -> None:
    assert (await api.ask("GET", f"{PATH}?{query}")).status == 422


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("session=", "session"),
        ("session=a&session=b", "session"),
        (f"session={'x' * 513}", "session"),
        ("candidates=0", "candidates"),
        ("candidates=21", "candidates"),
        ("candidates=two", "candidates"),
        ("api=both", "api"),
        ("label=berlin", "label"),
        ("site=", "site"),
        ("capability=", "capability"),
    ],
)
async def test_what_cannot_be_meant_is_refused_by_name(api: ApiClient, query: str, field: str) -> None:
    answer = await api.ask("GET", f"{PATH}?model=m&{query}")
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert answer.body["errors"][0]["field"].startswith(field)


async def test_candidates_are_the_next_best_each_as_complete_as_the_first(api: ApiClient, psql: Connection) -> None:
    boxes = (
        Box("best", {**UP, "priority": 2}, (Has("m:latest"),)),
        Box("next", {**UP, "priority": 1}, (Has("M:latest"),)),
        Box("last", {**UP, **SUSPECT, "priority": 9}, (Has("m:latest"),)),
        Box("gone", DOWN, (Has("m:latest"),)),
    )
    await make(api, psql, *boxes)
    body = (await get(api, model="m", candidates="10")).body
    names = [candidate["server"]["name"] for candidate in body["candidates"]]
    assert (body["server"]["name"], names) == ("best", ["next", "last"])
    shown = body.keys() - {"snapshot"}
    assert all(candidate.keys() == shown for candidate in body["candidates"])
    assert [candidate["model_name"] for candidate in body["candidates"]] == ["M:latest", "m:latest"]
    assert [candidate["suspect"] for candidate in body["candidates"]] == [False, True]
    assert (await get(api, model="m", candidates="2")).body["candidates"][0]["server"]["name"] == "next"
    assert (await get(api, model="m")).body["candidates"] == []
    assert len((await get(api, candidates="3")).body["candidates"]) == 2
    assert (await get(api, server_url="http://gone:11434", candidates="3")).body["candidates"] == []


async def test_a_suspect_is_passed_over_as_soon_as_its_row_says_so(
    api: ApiClient, psql: Connection, eventually: Eventually
) -> None:
    await make(api, psql, *SIX[:2])

    async def suspect(name: str, since: str) -> None:
        change = f"UPDATE ollama_servers SET suspect_since = {since}, suspect_reason = 'timeout' WHERE name = $1"
        await psql.execute(change, name)

    async def only(name: str) -> None:
        async def is_so() -> bool:
            return {await chosen(api) for _ in range(12)} == {name}

        await eventually(is_so)

    head = await psql.fetchval("SELECT seq FROM fleet_event_head")
    await suspect("gpu-0", "now()")
    await only("gpu-1")
    await suspect("gpu-1", "now()")
    await suspect("gpu-0", "NULL")
    await only("gpu-0")
    answer = (await get(api, server_url="http://gpu-1:11434")).body
    assert (answer["suspect"], answer["available"]) == (True, True)
    # Only what is told makes events; this was not.
    assert await psql.fetchval("SELECT seq FROM fleet_event_head") == head


async def test_an_explanation_names_the_selector_and_the_step(api: ApiClient, psql: Connection) -> None:
    boxes = (
        Box("here", {**UP, "site": "berlin"}, (Has("m:latest"),)),
        Box("late", {**UP, **SUSPECT, "site": "berlin"}, (Has("m:latest"),)),
        Box("there", UP, (Has("m:latest"),)),
    )
    await make(api, psql, *boxes)
    explained = (await get(api, model="m", site="berlin", explain="true")).body["explanation"]
    assert {one["name"]: (one["step"], one["reason"]) for one in explained["passed_over"]} == {
        "late": ("suspect", "is suspect (timeout)"),
        "there": ("selector", "does not fit site=berlin"),
    }
    refused = await get(api, model="m", site="attic", label=["room=a", "room2:b"])
    assert refused.body["code"] == "model_not_found"
    assert "label=room:a label=room2:b site=attic" in refused.body["detail"]
