"""The life of a token over real HTTP: new, noted when used, changed, expired, revoked, and with the database away."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from api.fleet.access import grant, tokens
from monitor.embedded.postgres import EmbeddedServer
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient, serving, told
from tests.api.event_source import listening
from tests.api.token_maker import bearer, make
from tests.fakes import database_proxy
from tests.fakes.database_proxy import through

SERVERS = "/api/servers"
Eventually = Callable[..., Awaitable[None]]

pytestmark = pytest.mark.usefixtures("tokens_read_often")


async def test_expired_and_revoked_tokens_are_told_so_only_to_who_has_them(
    settings: Settings, dsn: str, psql: Connection
) -> None:
    expired = await make(psql, "old", "admin", lifetime=timedelta(seconds=-1))
    revoked = await make(psql, "lost", "admin")
    await psql.execute("UPDATE api_tokens SET revoked_at = now() WHERE name = 'lost'")
    async with serving(settings, dsn) as (api, _):
        assert await told(api, headers=bearer(expired)) == (401, "token_expired")
        assert await told(api, headers=bearer(revoked)) == (401, "token_revoked")
        for token in (expired, revoked):
            assert await told(api, headers=bearer(token[:-3] + "AAA")) == (401, "token_unknown")
        assert await told(api) == (401, "token_missing"), "an API whose tokens all ended must not be open"


async def test_a_token_expires_by_the_clock_of_the_database_also_while_ours_stands_still(
    guarded: ApiClient, psql: Connection, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a machine that was asleep for as long.
    asleep = grant.now()
    monkeypatch.setattr(grant, "now", lambda: asleep)
    token = await make(psql, "short", "read", lifetime=timedelta(seconds=2))
    # Has it read; on a busy machine perhaps not before its end.
    await told(guarded, headers=bearer(token))

    async def is_over() -> bool:
        return await told(guarded, headers=bearer(token)) == (401, "token_expired")

    await eventually(is_over)


async def test_a_new_token_is_good_at_once_and_an_open_api_closes(
    api: ApiClient, psql: Connection, eventually: Eventually
) -> None:
    assert await told(api) == (200, "")
    await make(psql, "first", "read")

    async def is_closed() -> bool:
        return await told(api) == (401, "token_missing")

    await eventually(is_closed)
    second = await make(psql, "second", "read")
    assert await told(api, headers=bearer(second)) == (200, "")


async def test_a_token_that_was_good_all_day_is_refused_soon_after_it_is_revoked(
    guarded: ApiClient, psql: Connection, eventually: Eventually
) -> None:
    headers = bearer(await make(psql, "lost", "read"))
    for _ in range(3):
        assert await told(guarded, headers=headers) == (200, "")
    await psql.execute("UPDATE api_tokens SET revoked_at = now() WHERE name = 'lost'")

    async def is_refused() -> bool:
        return await told(guarded, headers=headers) == (401, "token_revoked")

    await eventually(is_refused)


async def test_a_revoked_token_ends_its_streams_and_polls_and_no_others(guarded: ApiClient, psql: Connection) -> None:
    lost, kept = bearer(await make(psql, "lost", "read")), bearer(await make(psql, "kept", "read"))
    async with (
        bearing(guarded, lost) as loser,
        bearing(guarded, kept) as keeper,
        listening(loser) as ending,
        listening(keeper) as going_on,
    ):
        poll = asyncio.create_task(loser.ask("GET", "/api/events?after=0&wait=60"))
        await psql.execute("UPDATE api_tokens SET revoked_at = now() WHERE name = 'lost'")
        message = await ending.next()
        assert (message.name, message.data["code"]) == ("error", "token_revoked")
        await ending.end()
        answer = await asyncio.wait_for(poll, 20)
        assert (answer.status, answer.body["code"]) == (401, "token_revoked")
        await psql.execute("INSERT INTO ollama_servers (name, url) VALUES ('anna', 'http://anna')")
        assert (await going_on.next()).name == "server.created"


async def test_the_first_token_ends_streams_that_were_open_to_everybody(api: ApiClient, psql: Connection) -> None:
    async with listening(api) as source:
        await make(psql, "first", "read")
        message = await source.next()
        assert (message.name, message.data["code"]) == ("error", "token_missing")


async def test_with_the_database_away_known_tokens_are_good_and_unknown_ones_get_503(
    settings: Settings, postgres: EmbeddedServer, admin: str, dsn: str
) -> None:
    async with (
        database_proxy.between(postgres) as proxy,
        serving(settings, through(proxy, dsn)) as (api, _),
    ):
        assert await told(api, headers=bearer(admin)) == (200, "")
        await proxy.refuse()
        proxy.cut()
        # Nothing is at this path, which is found out without the database, but only by who is let in.
        assert await told(api, path="/api/nothing", headers=bearer(admin)) == (404, "not_found")
        stranger = bearer(tokens.make(uuid.uuid4()))
        assert await told(api, path="/api/nothing", headers=stranger) == (503, "database_unavailable")
        assert await told(api, path="/api/nothing") == (401, "token_missing")


async def test_the_last_use_is_noted_now_and_then_and_at_the_end(
    settings: Settings, dsn: str, psql: Connection, admin: str
) -> None:
    last_use = "SELECT last_used_at FROM api_tokens WHERE name = 'admin'"
    async with serving(settings, dsn) as (api, _):
        assert await told(api, headers=bearer(admin)) == (200, "")
        assert await psql.fetchval(last_use) is None
    assert await psql.fetchval(f"SELECT ({last_use}) BETWEEN now() - interval '1 min' AND clock_timestamp()")


@asynccontextmanager
async def bearing(api: ApiClient, headers: dict[str, str]) -> AsyncIterator[ApiClient]:
    """A client of the same API that sends a token with everything."""
    async with type(api.session)(headers=headers) as session:
        yield ApiClient(session, api.base_url)
