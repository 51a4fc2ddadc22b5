"""The event log over HTTP: pages, filters, the long poll, and cursors that lead nowhere."""

import asyncio
import uuid

import pytest

from api.fleet import wakeup
from monitor.postgres import listener
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving


async def test_a_reader_gets_every_event_once_and_in_order(api: ApiClient) -> None:
    for number in range(5):
        await api.add(f"s{number}")
    seqs: list[int] = []
    after = 0
    while True:
        page = (await api.ask("GET", f"/api/events?after={after}&limit=2")).body
        if not page["items"]:
            break
        seqs += [event["seq"] for event in page["items"]]
        after = page["last_seq"]
    assert seqs == [1, 2, 3, 4, 5]
    assert (after, page["head"], page["first_seq"]) == (5, 5, 1)


async def test_an_event_tells_what_happened_to_which_server(api: ApiClient) -> None:
    server = await api.add("anna")
    await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 7})
    created, updated = (await api.ask("GET", "/api/events")).body["items"]
    assert (created["type"], created["server_id"], created["model_id"]) == ("server.created", server["id"], None)
    assert updated["body"] == {"priority": 7, "row_version": 2, "actor": "local"}


async def test_filters_choose_events_and_the_cursor_still_moves_past_the_others(api: ApiClient) -> None:
    anna, berta = await api.add("anna"), await api.add("berta")
    await api.ask("DELETE", f"/api/servers/{berta['id']}")
    page = (await api.ask("GET", "/api/events?type=server.deleted&type=server.updated")).body
    assert [event["seq"] for event in page["items"]] == [3]
    page = (await api.ask("GET", f"/api/events?server_id={anna['id']}")).body
    assert [event["seq"] for event in page["items"]] == [1]
    assert page["last_seq"] == 3
    page = (await api.ask("GET", f"/api/events?server_id={uuid.uuid4()}")).body
    assert (page["items"], page["last_seq"]) == ([], 3)


async def test_every_long_poll_is_woken_by_the_commit_of_an_event(
    settings: Settings, dsn: str, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without its regular look, the listener has only the notification to go by.
    monkeypatch.setattr(listener, "PING_INTERVAL", 120.0)
    monkeypatch.setattr(wakeup, "LOOK_SECONDS", 120.0)
    async with serving(settings, dsn) as (api, _):
        await check_wake_up(api, psql)


async def check_wake_up(api: ApiClient, psql: Connection) -> None:
    polls = [asyncio.create_task(api.ask("GET", "/api/events?after=0&wait=25")) for _ in range(20)]
    answered, _ = await asyncio.wait(polls, timeout=0.3)
    assert not answered, "there was nothing to answer with yet"
    assert not any(poll.done() for poll in polls)
    await psql.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
    answers = await asyncio.gather(*polls)
    assert [[event["type"] for event in answer.body["items"]] for answer in answers] == [["server.created"]] * 20


async def test_a_long_poll_with_a_filter_sleeps_through_other_events(api: ApiClient) -> None:
    anna = await api.add("anna")
    path = f"/api/events?after=1&wait=25&type=server.deleted&server_id={anna['id']}"
    poll = asyncio.create_task(api.ask("GET", path))
    await api.add("berta")
    await api.ask("DELETE", f"/api/servers/{anna['id']}")
    assert [event["seq"] for event in (await poll).body["items"]] == [3]


async def test_a_long_poll_without_events_ends_with_an_empty_page(api: ApiClient) -> None:
    answer = await api.ask("GET", "/api/events?after=0&wait=0.2")
    assert (answer.status, answer.body["items"], answer.body["last_seq"]) == (200, [], 0)


async def test_a_long_poll_answers_at_once_when_the_api_stops(settings: Settings, dsn: str) -> None:
    async with serving(settings, dsn) as (api, stop):
        poll = asyncio.create_task(api.ask("GET", "/api/events?wait=60"))
        await asyncio.sleep(0.2)
        assert not poll.done()
        stop.set()
        answer = await asyncio.wait_for(poll, 4)
    assert (answer.status, answer.body["items"]) == (200, [])


async def test_a_cursor_older_than_the_log_is_told_where_the_log_begins(api: ApiClient, psql: Connection) -> None:
    for number in range(4):
        await api.add(f"s{number}")
    await psql.execute("DELETE FROM fleet_events WHERE seq <= 2")
    answer = await api.ask("GET", "/api/events?after=1")
    assert (answer.status, answer.body["code"], answer.body["first_seq"]) == (410, "cursor_expired", 3)
    assert [event["seq"] for event in (await api.ask("GET", "/api/events?after=2")).body["items"]] == [3, 4]
    assert [event["seq"] for event in (await api.ask("GET", "/api/events")).body["items"]] == [3, 4]
    await psql.execute("DELETE FROM fleet_events")
    assert (await api.ask("GET", "/api/events?after=3")).body["first_seq"] == 5
    assert (await api.ask("GET", "/api/events?after=4")).body["items"] == []


async def test_a_cursor_from_another_database_is_refused(api: ApiClient) -> None:
    answer = await api.ask("GET", "/api/events?after=7&wait=20")
    assert (answer.status, answer.body["code"], answer.body["head"]) == (409, "cursor_unknown", 0)


async def test_every_wrong_parameter_of_events_is_refused(api: ApiClient) -> None:
    for query in ("after=-1", "after=9223372036854775808", "wait=61", "wait=nan", "limit=0", "type=x", "server_id=7"):
        assert (await api.ask("GET", f"/api/events?{query}")).status == 422, query
