"""The event stream over HTTP: what it sends, where it begins, what its filters hold back, and where it ends."""

import asyncio

import pytest
from yarl import URL

from api import app
from api.web.stream import streams
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving
from tests.api.event_source import PATH, listening

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"


async def test_a_stream_begins_at_once_with_headers_that_no_proxy_buffers(api: ApiClient) -> None:
    async with listening(api) as source:
        headers = source.response.headers
        assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert headers["Cache-Control"] == "no-cache, no-transform"
        assert headers["X-Accel-Buffering"] == "no"
        assert (source.retry, source.comments) == ("2000", 1)


async def test_an_event_comes_as_the_poll_shows_it_with_its_number_and_type(api: ApiClient) -> None:
    await api.add("earlier")
    async with listening(api) as source:
        server = await api.add("anna\N{LATIN SMALL LETTER U WITH DIAERESIS}")
        await api.ask("PATCH", f"/api/servers/{server['id']}", json={"labels": {"a": "x"}})
        created, updated = await source.take(2)
    page = (await api.ask("GET", "/api/events?after=1")).body
    assert [created.data, updated.data] == page["items"]
    assert (created.id, created.name) == ("2", "server.created")
    assert (updated.id, updated.name) == ("3", "server.updated")


async def test_a_stream_goes_on_after_the_last_id_and_the_header_wins_over_the_parameter(api: ApiClient) -> None:
    for number in range(4):
        await api.add(f"s{number}")
    async with listening(api, "after=3") as source:
        assert await source.seqs(4) == [4]
    async with listening(api, "after=0", last_id="2") as source:
        assert await source.seqs(4) == [3, 4]
    async with listening(api, "after=0") as source:
        await api.add("more")
        assert await source.seqs(5) == [1, 2, 3, 4, 5]


async def test_a_stream_that_was_cut_before_any_event_knows_where_to_go_on(api: ApiClient) -> None:
    await api.add("anna")
    async with listening(api) as source:
        await source.quiet_block()
        assert source.last_id == "1"


async def test_filters_hold_back_old_and_new_events_alike(api: ApiClient) -> None:
    anna, berta = await api.add("anna"), await api.add("berta")
    query = f"after=0&type=server.created&type=server.deleted&server_id={berta['id']}"
    async with listening(api, query) as source, listening(api, f"server_id={anna['id']}&after=2") as other:
        assert (await source.next()).id == "2"
        for server in (anna, berta):
            await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 1})
            await api.ask("DELETE", f"/api/servers/{server['id']}")
        assert (await source.next()).id == "6"
        assert [message.id for message in await other.take(2)] == ["3", "4"]


async def test_a_heartbeat_moves_the_cursor_of_a_filtered_stream_without_an_event(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.05)
    async with serving(settings, dsn) as (api, _), listening(api, "type=server.deleted") as source:
        await api.add("anna")
        await api.add("berta")
        async with asyncio.timeout(20):
            while source.last_id != "2":
                await source.quiet_block()
    async with serving(settings, dsn) as (api, _), listening(api) as source:
        for _ in range(3):
            await source.quiet_block()
        assert source.comments >= 3


@pytest.mark.parametrize("query", ["after=1", "after=1&type=server.deleted"])
async def test_a_cursor_older_than_the_log_is_refused_before_the_stream_begins(
    api: ApiClient, psql: Connection, query: str
) -> None:
    for number in range(4):
        await api.add(f"s{number}")
    await psql.execute("DELETE FROM fleet_events WHERE seq <= 2")
    answer = await api.ask("GET", f"{PATH}?{query}")
    assert (answer.status, answer.body["code"], answer.body["first_seq"]) == (410, "cursor_expired", 3)
    answer = await api.ask("GET", PATH, headers={"Last-Event-ID": "0"})
    assert (answer.status, answer.body["code"]) == (410, "cursor_expired")
    async with listening(api, "after=2") as source:
        assert await source.seqs(4) == [3, 4]


async def test_a_cursor_from_another_database_is_refused(api: ApiClient) -> None:
    answer = await api.ask("GET", PATH, headers={"Last-Event-ID": "7"})
    assert (answer.status, answer.body["code"], answer.body["head"]) == (409, "cursor_unknown", 0)
    answer = await api.ask("GET", f"{PATH}?after=9223372036854775807")
    assert (answer.status, answer.body["code"]) == (409, "cursor_unknown")


async def test_every_wrong_parameter_of_a_stream_is_refused(api: ApiClient) -> None:
    for query in ("after=-1", "after=x", "type=x", "server_id=7", "snapshot=1", "wait=1", "after=0&snapshot=true"):
        assert (await api.ask("GET", f"{PATH}?{query}")).status == 422, query
    for last_id in ("x", "-1", "1.5", "9223372036854775808", "9" * 5000, "\xb2"):
        answer = await api.ask("GET", PATH, headers={"Last-Event-ID": last_id})
        assert (answer.status, answer.body["errors"][0]["field"]) == (422, "Last-Event-ID"), last_id


async def test_a_stream_is_guarded_like_the_rest_and_has_no_head(api: ApiClient) -> None:
    answer = await api.ask("GET", PATH, headers={"Host": "evil.example"})
    assert (answer.status, answer.body["code"]) == (403, "host_not_allowed")
    async with api.session.head(api.base_url + PATH) as response:
        assert response.status == 405


async def test_no_more_streams_begin_than_there_is_room_for(
    settings: Settings, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "MOST_STREAMS", 1)
    async with serving(settings, dsn) as (api, _), listening(api):
        answer = await api.ask("GET", PATH)
        assert (answer.status, answer.body["code"]) == (503, "too_many_streams")


async def test_a_client_of_http_1_0_gets_a_stream_without_chunks(api: ApiClient, psql: Connection) -> None:
    url = URL(api.base_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(f"GET {PATH}?after=0 HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(20):
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"chunked" not in head.lower()
        await reader.readuntil(b"id: 0\n\n")
        await psql.execute(ADD, "anna")
        assert (await reader.readline(), await reader.readline()) == (b"id: 1\n", b"event: server.created\n")
    writer.close()
    await writer.wait_closed()
