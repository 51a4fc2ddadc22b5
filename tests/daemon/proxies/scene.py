"""What a test does to a server behind a proxy, and what it asks of the fleet and of the proxy afterwards."""

import uuid
from datetime import timedelta
from typing import Any

from tests.api.client import ApiClient
from tests.daemon.observer import Observer
from tests.daemon.proxies.running import Asked, Proxy
from tests.fakes.ollama import FakeOllama

# Checks come only at the start, when they are asked for, and fast after a bad answer, so that they can be counted.
RARELY = timedelta(minutes=10)
# A proxy may try for seconds to reach what is dead, before it answers.
PATIENT = timedelta(seconds=15)
LONG = 60.0
FALL = 3
ASK = "UPDATE ollama_servers SET check_requested_at = clock_timestamp() WHERE id = $1"
SHOWN = "SELECT status = $2 AND ($3::text IS NULL OR status_reason = $3) FROM ollama_servers WHERE id = $1"
DOWN_AT = """
SELECT extract(epoch FROM at)::float8 FROM fleet_events WHERE server_id = $1 AND type = 'server.down'
ORDER BY seq DESC LIMIT 1
"""
# What is between a check and the next one, as far as it was planned.
PAUSE = "SELECT extract(epoch FROM next_check_at - last_checked_at)::float8 FROM ollama_servers WHERE id = $1"
LISTED = "SELECT count(*) > 0 FROM ollama_models WHERE server_id = $1"
CLAIMED_RESTARTS = """
SELECT count(*) FROM fleet_events WHERE type = 'server.updated' AND body::text LIKE '%restarted_at%'
"""
BESIDES = {"server.updated", "server.suspected", "server.cleared"}


class Scene:
    """One server behind one proxy."""

    def __init__(self, api: ApiClient, observer: Observer) -> None:
        self.api = api
        self.observer = observer
        self.id = uuid.UUID(int=0)

    async def add(self, url: str, **fields: Any) -> None:
        """Register it over REST."""
        created = await self.api.add("gpu-1", url=url, **fields)
        self.id = uuid.UUID(created["id"])

    async def edit(self, **fields: Any) -> None:
        """Edit it over REST."""
        answer = await self.api.ask("PATCH", f"/api/servers/{self.id}", json=fields)
        assert answer.status == 200, answer.body

    async def check(self) -> None:
        """Have it checked now, without waiting for the answer."""
        await self.observer.connection.execute(ASK, self.id)

    async def until(self, status: str, reason: str | None = None) -> None:
        """Wait until it is shown so."""
        await self.observer.until(SHOWN, self.id, status, reason, within=LONG)

    async def until_known(self, fake: FakeOllama) -> None:
        """Wait until it is up and was asked for all that a new server is asked for."""
        await self.until("up")
        await self.observer.until(LISTED, self.id, within=LONG)

        async def asked() -> bool:
            return fake.requests["/api/ps"] > 0

        await self.observer.until_true(asked, within=LONG)

    async def shown(self) -> dict[str, Any]:
        """What the API shows of it."""
        answer = await self.api.ask("GET", f"/api/servers/{self.id}")
        assert answer.status == 200, answer.body
        server: dict[str, Any] = answer.body
        return server

    async def told(self) -> list[str]:
        """The verdicts in the event log, in order."""
        types = await self.observer.types(self.id)
        return [name.removeprefix("server.") for name in types if name not in BESIDES]

    async def types(self) -> set[str]:
        """Every type of event that the server has had."""
        return set(await self.observer.types(self.id))

    async def restarts_claimed(self) -> int:
        """How many events say that the server was started again."""
        count: int = await self.observer.value(CLAIMED_RESTARTS)
        return count

    async def pause(self) -> float:
        """The seconds from the last check to the next one, as they are planned."""
        pause: float = await self.observer.value(PAUSE, self.id)
        return pause

    async def bad_answers(self, proxy: Proxy) -> list[Asked]:
        """Requests that the proxy had before the last verdict `down`, and answered with anything but 200."""
        down_at: float = await self.observer.value(DOWN_AT, self.id)
        return [asked for asked in proxy.asked if asked.status != 200 and asked.at <= down_at]
