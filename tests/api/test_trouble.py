"""When the API cannot do its work: no database, a foreign schema, no port, an open address."""

import asyncio
import socket
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest

from api import app
from api.fleet import readiness
from api.fleet.queries.diagnosis import DatabaseServer
from monitor.domain.errors import ConfigurationError, SchemaMismatchError
from monitor.postgres import database
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api import stand_in
from tests.api.client import ApiClient, serving
from tests.api.token_maker import bearer, make
from tests.fakes.database_guest import TROUBLE, DatabaseGuest
from tests.fakes.database_proxy import through
from tests.fakes.tcp_proxy import TcpProxy


@pytest.fixture
def nobodys_dsn() -> str:
    """An address where no database answers."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"postgresql://fleet@127.0.0.1:{closed.getsockname()[1]}/fleet"


async def test_without_a_database_requests_get_503_and_the_process_lives(settings: Settings, nobodys_dsn: str) -> None:
    async with serving(settings, nobodys_dsn) as (api, _):
        assert (await api.ask("GET", "/livez")).body == {"status": "ok"}
        for method, path in (("GET", "/api/servers"), ("GET", "/api/events")):
            answer = await api.ask(method, path)
            assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert "fleet@" not in answer.body["detail"]
        created = await api.ask("POST", "/api/servers", json={"name": "anna", "url": "http://anna.example"})
        assert created.status == 503
        async with api.session.get(api.base_url + "/readyz") as response:
            report = await response.json()
        assert (response.status, report["ready"]) == (503, False)
        unknown = dict.fromkeys(("writes", "schema", "monitor", "verdicts"), "unknown")
        assert report["checks"] == {"database": "failed", "listener": "failed", **unknown}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_a_database_that_refuses_for_a_moment_is_away_and_comes_back(
    settings: Settings, guest: DatabaseGuest, eventually: Callable[..., Awaitable[None]], trouble: str
) -> None:
    async with serving(settings, guest.dsn) as (api, _):
        await api.add("anna")

        async def resolves() -> bool:
            answer = await api.session.get(api.base_url + "/api/resolve", params={"server_url": "http://x"})
            return answer.status == HTTPStatus.OK

        await eventually(resolves)
        async with guest.locked_out(trouble):
            answer = await api.ask("GET", "/api/servers")
            assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
            assert int(answer.headers["Retry-After"]) > 0

            async with api.session.get(api.base_url + "/readyz") as response:
                report = await response.json()
            assert (response.status, report["checks"]["database"]) == (503, "failed")
            assert len(report["reasons"]) == 1
            # From memory.
            assert (await api.ask("GET", "/api/resolve", params={"server_url": "http://x"})).status == 200

        async def answers() -> bool:
            return (await api.ask("GET", "/api/servers")).status == 200

        await eventually(answers)


async def test_a_login_that_is_refused_at_the_first_start_is_a_wrong_setting(
    settings: Settings, guest: DatabaseGuest
) -> None:
    async with guest.locked_out("a role that may not log in"):
        with pytest.raises(BaseExceptionGroup) as caught:
            await asyncio.wait_for(app.serve(settings, dsn=guest.dsn, stop=asyncio.Event()), 20)
        (error,) = caught.value.exceptions
    assert isinstance(error, ConfigurationError)
    assert "is not permitted to log in" in str(error)


@pytest.mark.parametrize("path", ["/readyz", "/api/servers", "/api/resolve?model=m", "/metrics"])
async def test_who_is_not_known_is_not_told_which_database_is_away(
    settings: Settings, nobodys_dsn: str, path: str
) -> None:
    """Neither host nor database nor role; it may be that there are tokens."""
    host = nobodys_dsn.partition("@")[2].partition("/")[0]
    address = nobodys_dsn.replace("/fleet", "/secretbase").replace("fleet@", "chief@")
    async with (
        serving(settings, address) as (api, _),
        api.session.get(api.base_url + path, headers={"Authorization": "Bearer wrong"}) as response,
    ):
        told = await response.text()
    assert response.status == 503
    assert "The log of the API says why" in told
    assert not [word for word in (host, "127.0.0.1", "secretbase", "chief") if word in told]


async def test_who_may_read_is_told_which_database_is_away(
    settings: Settings, dsn: str, psql: Connection, proxy: TcpProxy, eventually: Callable[..., Awaitable[None]]
) -> None:
    address = through(proxy, dsn)
    where = database.describe(address)
    tokens = {name: bearer(await make(psql, name, name)) for name in ("read", "credentials")}
    async with serving(settings, address) as (api, _):
        assert (await api.ask("GET", "/api/servers", headers=tokens["read"])).status == 200
        await proxy.refuse()
        proxy.cut()

        async def told(headers: dict[str, str]) -> bool:
            async with api.session.get(api.base_url + "/readyz", headers=headers) as response:
                return where in await response.text()

        async def is_told() -> bool:
            return await told(tokens["read"])

        await eventually(is_told, what="the address of the database")
        answer = await api.ask("GET", "/api/servers", headers=tokens["read"])
        assert (answer.status, where in answer.body["detail"]) == (503, True)
        assert not await told({})
        assert not await told(tokens["credentials"])


async def test_an_open_api_tells_its_own_machine_which_database_is_away(
    settings: Settings, dsn: str, proxy: TcpProxy, eventually: Callable[..., Awaitable[None]]
) -> None:
    address = through(proxy, dsn)
    async with serving(settings, address) as (api, _):
        assert (await api.ask("GET", "/api/servers")).status == 200
        await proxy.refuse()
        proxy.cut()

        async def is_told() -> bool:
            async with api.session.get(api.base_url + "/readyz") as response:
                return database.describe(address) in await response.text()

        await eventually(is_told, what="the address of the database")


async def test_ready_tells_whether_a_monitor_is_at_work_and_changes_are_heard_of(
    api: ApiClient, psql: Connection, eventually: Callable[..., Awaitable[None]]
) -> None:
    async def hears() -> bool:
        return bool((await api.ask("GET", "/readyz")).body["checks"]["listener"] == "ok")

    await eventually(hears)
    absent = await api.ask("GET", "/readyz")
    assert (absent.status, absent.body["ready"], absent.body["checks"]["monitor"]) == (200, True, "absent")
    assert "monitor" in absent.body["reasons"][0]
    async with stand_in.at_work(psql):
        there = await api.ask("GET", "/readyz")
    assert there.body["checks"] == dict.fromkeys(
        ("database", "writes", "schema", "monitor", "verdicts", "listener"), "ok"
    )
    assert (there.body["ready"], there.body["reasons"]) == (True, [])


async def test_a_database_that_takes_no_writes_is_told_with_what_to_do(
    api: ApiClient, psql: Connection, eventually: Callable[..., Awaitable[None]]
) -> None:
    name = await psql.fetchval("SELECT quote_ident(current_database())")
    await psql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'ollama-fleet api'"
    await psql.execute(end)

    async def is_told() -> bool:
        report = (await api.ask("GET", "/readyz")).body
        return bool(report["checks"]["writes"] == "failed") and "read only, so nothing can be" in report["reasons"][0]

    await eventually(is_told)
    answer = await api.ask("POST", "/api/servers", json={"name": "anna", "url": "http://anna.example"})
    assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
    assert "Point OLLAMA_FLEET_DATABASE_URL to the primary" in answer.body["detail"]


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({}, None),
        ({"queue_usage": 0.09}, None),
        ({"queue_usage": 0.5}, "queue of notifications is full to 50%"),
        ({"is_read_only": True}, "is read only"),
        ({"is_standby": True, "is_read_only": True}, "is a standby"),
    ],
)
def test_what_keeps_a_database_from_writing_is_named(facts: dict[str, Any], said: str | None) -> None:
    server = DatabaseServer(version="17.2", now=datetime.now(UTC), **facts)
    told = readiness.write_trouble(server)
    assert (told is None) if said is None else (said in (told or ""))


async def test_a_cut_session_is_replaced_without_a_restart(api: ApiClient, psql: Connection) -> None:
    await api.add("anna")
    await psql.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%api%'")
    answers = [await api.ask("GET", "/api/servers") for _ in range(12)]
    assert answers[-1].status == 200
    assert {answer.status for answer in answers} <= {200, 503}


async def test_events_still_wake_a_long_poll_after_the_listener_lost_its_session(
    api: ApiClient, psql: Connection
) -> None:
    poll = asyncio.create_task(api.ask("GET", "/api/events?after=0&wait=25"))
    await asyncio.sleep(0.2)
    await psql.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '%listener'")
    await psql.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
    assert [event["seq"] for event in (await poll).body["items"]] == [1]


async def test_a_schema_that_is_not_known_ends_the_api(settings: Settings, psql: Connection, dsn: str) -> None:
    await psql.execute("UPDATE ollama_fleet_alembic_version SET version_num = '999'")
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(app.serve(settings, dsn=dsn, stop=asyncio.Event()), 20)
    assert caught.group_contains(SchemaMismatchError, match="newer")


async def test_a_database_without_the_schema_ends_the_api_and_names_the_command(
    settings: Settings, empty_dsn: str
) -> None:
    with pytest.raises(BaseExceptionGroup) as caught:
        await asyncio.wait_for(app.serve(settings, dsn=empty_dsn, stop=asyncio.Event()), 20)
    (error,) = caught.value.exceptions
    assert isinstance(error, SchemaMismatchError)
    assert "ollama-fleet migrate" in str(error)


async def test_a_port_that_is_taken_is_named_with_the_way_out(settings: Settings, dsn: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"port {port}.*OLLAMA_FLEET_API_PORT"):
            await app.serve(settings.model_copy(update={"api_port": port}), dsn=dsn, stop=asyncio.Event())


async def test_a_stop_leaves_no_session_behind(settings: Settings, dsn: str, psql: Connection) -> None:
    async with serving(settings, dsn) as (api, _):
        await api.add("anna")
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'ollama-fleet api%'"
    deadline = asyncio.get_running_loop().time() + 10
    while await psql.fetchval(count):
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.02)


async def test_literal_addresses_outside_the_allowed_networks_are_refused(settings: Settings, dsn: str) -> None:
    narrow = Settings.model_validate({"api_port": "0", "allowed_networks": "10.1.0.0/16"})
    async with serving(narrow, dsn) as (api, _):
        await api.add("inside", url="http://10.1.2.3:11434")
        await api.add("named", url="http://gpu.example")
        answer = await api.ask("POST", "/api/servers", json={"name": "outside", "url": "http://10.2.0.1"})
    assert (answer.status, answer.body["errors"][0]["field"]) == (422, "url")


async def test_a_statement_that_waits_too_long_is_given_up_with_503(
    settings: Settings, dsn: str, psql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "STATEMENT_TIMEOUT_MS", "300")
    async with serving(settings, dsn) as (api, _):
        server = await api.add("anna")
        async with psql.transaction():
            await psql.execute("UPDATE ollama_servers SET priority = 1")
            answer = await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 2})
        assert (answer.status, answer.body["code"]) == (503, "database_unavailable")
        assert (await api.ask("PATCH", f"/api/servers/{server['id']}", json={"priority": 2})).status == 200


async def test_a_value_that_only_the_database_refuses_is_the_clients_fault(api: ApiClient, psql: Connection) -> None:
    await psql.execute("ALTER TABLE ollama_servers ADD CONSTRAINT modest CHECK (priority < 100)")
    answer = await api.ask("POST", "/api/servers", json={"name": "a", "url": "http://a.example", "priority": 100})
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert "modest" in answer.body["detail"]


async def test_a_fault_of_the_api_is_told_without_its_inside(api: ApiClient, psql: Connection) -> None:
    # Only this table is locked: a DROP would lock its neighbours too, and meet the API's own reading in a deadlock.
    await psql.execute("ALTER TABLE ollama_models RENAME TO hidden")
    answer = await api.ask("GET", f"/api/servers/{uuid.uuid4()}/models")
    assert (answer.status, answer.body["code"]) == (500, "internal")
    assert "ollama_models" not in str(answer.body)
