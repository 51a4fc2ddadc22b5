"""Checks and discoveries on demand: answered, refused, and left standing."""

import uuid
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.api import stand_in
from tests.api.client import ApiClient

DISCOVERED: dict[str, Any] = {
    "reason": "ok",
    "detail": "",
    "added": ["llama3:latest"],
    "changed": [],
    "removed": ["old:1b"],
    "unchanged": 4,
    "dropped": 0,
}


async def test_a_check_answers_the_verdict_and_the_probe(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    probe = {"reason": "ok", "detail": "", "latency_ms": 1.5}
    async with stand_in.at_work(psql, check=probe):
        answer = await api.ask("POST", f"/api/servers/{server['id']}/check")
    assert answer.status == 200
    assert answer.body["probe"] == probe
    assert (answer.body["server"]["status"], answer.body["server"]["is_available"]) == ("up", True)


async def test_a_second_check_is_not_answered_with_the_first_result(api: ApiClient, psql: Connection) -> None:
    path = f"/api/servers/{(await api.add('anna'))['id']}/check"
    for reason in ("ok", "refused"):
        async with stand_in.at_work(psql, check={"reason": reason, "detail": "", "latency_ms": None}):
            assert (await api.ask("POST", path)).body["probe"]["reason"] == reason


async def test_a_discovery_answers_what_it_changed(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    async with stand_in.at_work(psql, discovery=DISCOVERED):
        answer = await api.ask("POST", f"/api/servers/{server['id']}/discover")
    assert (answer.status, answer.body) == (200, DISCOVERED)


async def test_a_discovery_that_failed_says_why(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna")
    failed = DISCOVERED | {"reason": "list_failed", "detail": "HTTP 500", "added": [], "removed": [], "unchanged": 0}
    async with stand_in.at_work(psql, discovery=failed):
        answer = await api.ask("POST", f"/api/servers/{server['id']}/discover")
    assert (answer.status, answer.body["code"], answer.body["reason"]) == (502, "discovery_failed", "list_failed")
    assert "HTTP 500" in answer.body["detail"]


@pytest.mark.parametrize(("route", "column"), [("check", "check"), ("discover", "discovery")])
async def test_without_a_monitor_the_request_is_written_and_the_answer_comes_at_once(
    api: ApiClient, psql: Connection, route: str, column: str
) -> None:
    server = await api.add("anna")
    answer = await api.ask("POST", f"/api/servers/{server['id']}/{route}")
    assert (answer.status, answer.body["code"]) == (503, "monitor_absent")
    assert "Retry-After" in answer.headers
    assert await psql.fetchval(f"SELECT {column}_requested_at IS NOT NULL FROM ollama_servers")


async def test_a_request_that_is_not_answered_in_time_stands(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna", check_timeout_seconds=0.1)
    async with stand_in.at_work(psql):
        answer = await api.ask("POST", f"/api/servers/{server['id']}/check")
    assert (answer.status, answer.body["code"]) == (504, "not_answered_in_time")
    assert await psql.fetchval("SELECT check_requested_at > '-infinity' FROM ollama_servers")


async def test_nobody_asks_an_inactive_or_unknown_server(api: ApiClient, psql: Connection) -> None:
    server = await api.add("anna", is_active=False)
    async with stand_in.at_work(psql):
        inactive = await api.ask("POST", f"/api/servers/{server['id']}/check")
        unknown = await api.ask("POST", f"/api/servers/{uuid.uuid4()}/discover")
    assert (inactive.status, inactive.body["code"]) == (409, "server_inactive")
    assert (unknown.status, unknown.body["code"]) == (404, "server_not_found")
    assert await psql.fetchval("SELECT check_requested_at FROM ollama_servers") is None
