"""Three ways for much of a fleet to go down, each with a fleet and a monitor of its own: who hears of it, and when."""

import argparse
import asyncio
import random
import time
from contextlib import suppress
from typing import Any
from uuid import UUID

from tests.benchmarks import deaths, stage, victims
from tests.benchmarks.deaths import Deaths
from tests.benchmarks.victims import Victim, Victims

ADD = "INSERT INTO ollama_servers (name, url) VALUES ($1, $1) RETURNING id"
WATCHED = """
SELECT count(*) = $1 FROM ollama_servers
WHERE status = 'up' AND watch_state = 'watched' AND models_listed_at IS NOT NULL
"""
SIZES = (6, 10, 100)
DEATHS = 10
ROLLING_PAUSE = 8.0


class Outage:
    """Kills servers of one fleet, and notes when."""

    def __init__(self, fleet: Victims, ids: dict[str, UUID], heard: Deaths, options: argparse.Namespace) -> None:
        self._fleet = fleet
        self._ids = ids
        self._heard = heard
        self._options = options

    async def one_by_one(self) -> None:
        """Kill some servers at an even pace; none comes back."""
        began, chosen = time.monotonic(), self._chosen()
        for number, victim in enumerate(chosen):
            await _until(began + number * self._options.within / len(chosen))
            await self._kill(victim)

    async def all_at_once(self) -> None:
        """Kill all servers."""
        # Noted before: the first may be known before the last process is gone.
        self._heard.died.update(dict.fromkeys(self._ids.values(), time.monotonic()))
        await self._fleet.die_at_once()

    async def rolling(self) -> None:
        """Restart some servers, one after the other."""
        pause = ROLLING_PAUSE if self._options.pause is None else self._options.pause
        began = time.monotonic()
        for number, victim in enumerate(self._chosen()):
            await _until(began + number * pause)
            await self._kill(victim)
            await asyncio.sleep(self._options.back_after)
            await victim.come_back()

    def _chosen(self) -> list[Victim]:
        """Return as many as are to die; those that are a process each come first."""
        wanted = DEATHS if self._options.deaths is None else self._options.deaths
        chosen = self._fleet.all[:wanted]
        return random.sample(chosen, len(chosen))

    async def _kill(self, victim: Victim) -> None:
        server_id = self._ids[victim.url]
        self._heard.died[server_id] = time.monotonic()
        self._heard.died[server_id] = await victim.die()


SCENARIOS = {
    "one-by-one": Outage.one_by_one,
    "all-at-once": Outage.all_at_once,
    "rolling": Outage.rolling,
}


async def measure(scenario: str, count: int, options: argparse.Namespace) -> dict[str, Any]:
    """Let one fleet live through one scenario; `missed` are deaths that no `server.down` told of."""
    heard = Deaths()
    async with (
        stage.database() as dsn,
        victims.running(count, singles=options.kill) as fleet,
        stage.session(dsn) as connection,
        stage.session(dsn) as subscriber,
    ):
        ids = {victim.url: await connection.fetchval(ADD, victim.url) for victim in fleet.all}
        await heard.follow(subscriber)
        environment = {"OLLAMA_FLEET_DATABASE_URL": dsn, "OLLAMA_FLEET_CHECK_INTERVAL": str(options.interval)}
        async with stage.process("-m", "monitor", environment=environment), asyncio.timeout(600):
            while not await connection.fetchval(WATCHED, count):  # noqa: ASYNC110  (another process's doing)
                await asyncio.sleep(0.1)
            await SCENARIOS[scenario](Outage(fleet, ids, heard, options))
            with suppress(TimeoutError):
                await heard.all_known(within=options.interval * 4)
    return {
        "scenario": scenario,
        "servers": count,
        "deaths": len(heard.died),
        **deaths.spread("known_ms", heard.delays()),
        "missed": heard.missed(),
        "false_downs": heard.false,
    }


async def _until(moment: float) -> None:
    await asyncio.sleep(moment - time.monotonic())
