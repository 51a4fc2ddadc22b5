"""Where the API may listen: nowhere that others reach, unless they need a token."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from api import app
from api.fleet.access import hosts, tokens
from api.fleet.access.tokens import TokenTable
from monitor.domain.errors import ConfigurationError
from monitor.postgres.database import Connection, Database
from monitor.settings import Settings
from tests.api.client import serving
from tests.api.token_maker import bearer, make

OPEN_ADDRESSES = ["0.0.0.0", "::", "192.0.2.7", "fleet.example", "::ffff:192.0.2.7"]


@pytest.mark.parametrize("host", OPEN_ADDRESSES)
async def test_an_address_that_others_reach_is_refused_without_a_token(settings: Settings, dsn: str, host: str) -> None:
    with pytest.raises(ConfigurationError, match="ollama-fleet token create"):
        await app.serve(settings.model_copy(update={"api_host": host}), dsn=dsn, stop=asyncio.Event())


async def test_a_name_for_others_is_refused_without_a_token_like_an_address_that_others_reach(dsn: str) -> None:
    settings = Settings.model_validate({"api_port": "0", "api_hostnames": "fleet.lan"})
    with pytest.raises(ConfigurationError) as caught:
        await app.serve(settings, dsn=dsn, stop=asyncio.Event())
    assert str(caught.value) == (
        "OLLAMA_FLEET_API_HOSTNAMES is fleet.lan, a name for others to ask by, and there is no token that is good: "
        "make one with `ollama-fleet token create NAME --scope read --scope write`, or leave that setting out."
    )


async def test_tokens_that_are_good_no_more_do_not_count(settings: Settings, dsn: str, psql: Connection) -> None:
    await make(psql, "old", "admin", lifetime=timedelta(seconds=-1))
    await make(psql, "lost", "admin")
    await psql.execute("UPDATE api_tokens SET revoked_at = now() WHERE name = 'lost'")
    with pytest.raises(ConfigurationError, match="no token that is good"):
        await app.serve(settings.model_copy(update={"api_host": "0.0.0.0"}), dsn=dsn, stop=asyncio.Event())


async def test_with_a_token_it_is_allowed(dsn: str, psql: Connection) -> None:
    await make(psql, "first", "read")
    database = Database(dsn, name="tests")
    await database.open()
    await hosts.require_token(TokenTable(database, open_when_empty=False), "0.0.0.0", ())
    await database.close()


@pytest.mark.parametrize("host", OPEN_ADDRESSES)
def test_addresses_that_others_reach_are_no_loopback(host: str) -> None:
    assert not hosts.is_loopback(host)


def test_a_url_of_all_addresses_is_asked_at_one_of_them() -> None:
    assert hosts.from_here("http://0.0.0.0:8420") == "http://127.0.0.1:8420"
    assert hosts.from_here("http://[::]:8420") == "http://[::1]:8420"
    assert hosts.from_here("http://192.0.2.7:8420") == "http://192.0.2.7:8420"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_is_known_in_every_spelling(host: str) -> None:
    assert hosts.is_loopback(host)


async def test_on_such_an_address_it_never_is_open_even_when_the_last_token_is_gone(
    settings: Settings,
    dsn: str,
    psql: Connection,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Callable[..., Awaitable[None]],
) -> None:
    monkeypatch.setattr(tokens, "RELOAD_SECONDS", 0.05)
    # 127.0.0.3 stands for an address that others reach, so that the test reaches nobody.
    monkeypatch.setattr(hosts, "is_loopback", lambda host: host != "127.0.0.3")
    headers = bearer(await make(psql, "first", "read"))
    async with serving(settings.model_copy(update={"api_host": "127.0.0.3"}), dsn) as (api, _):
        assert (await api.ask("GET", "/api/servers", headers=headers)).status == 200
        await psql.execute("DELETE FROM api_tokens")

        async def is_unknown() -> bool:
            return (await api.ask("GET", "/api/servers", headers=headers)).status == 401

        await eventually(is_unknown)
        assert (await api.ask("GET", "/api/servers")).status == 401


async def test_a_stop_ends_the_wait_for_a_database_that_could_tell(settings: Settings) -> None:
    stop = asyncio.Event()
    away = "postgresql://fleet@127.0.0.1:9/fleet"
    serve = asyncio.create_task(app.serve(settings.model_copy(update={"api_host": "0.0.0.0"}), dsn=away, stop=stop))
    await asyncio.sleep(0)
    stop.set()
    await asyncio.wait_for(serve, 20)
