"""A server whose models and version are other ones each time: nobody else pays, and in the end it is told truly."""

import itertools
import json
import time

import pytest

from monitor.domain import noise
from monitor.domain.noise import Allowance
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.exchange import Behaviour, Connection, Request
from tests.fakes.fleet import FakeFleet

MODELS = 200
MOST = 500
EVENTS = "SELECT count(*) FROM fleet_events WHERE server_id = $1 AND model_id IS NOT NULL"
VERDICT = "SELECT status || ' ' || status_reason = $2 FROM ollama_servers WHERE id = $1"
HAS = "SELECT count(*) = $3 FROM ollama_models WHERE server_id = $1 AND is_active AND model_name LIKE $2"


def other_models_each_time() -> Behaviour:
    """List models whose digests are never the same, of an Ollama that does not tell what they can do."""
    turns = itertools.count()

    async def behave(connection: Connection, request: Request) -> None:
        turn = next(turns)
        entries = [{"model": f"m{number}:1b", "digest": f"{turn * MODELS + number:064x}"} for number in range(MODELS)]
        connection.answer(200, json.dumps({"models": entries}).encode(), behaviours.JSON)

    return behave


def other_version_each_time() -> Behaviour:
    """Be upgraded, and the other way round, with each answer."""
    turns = itertools.count()

    async def behave(connection: Connection, request: Request) -> None:
        version = f"0.9.{next(turns) % 2}"
        connection.answer(200, json.dumps({"version": version}).encode(), behaviours.JSON)

    return behave


async def test_a_server_that_changes_without_end_harms_nobody_and_is_told_truly_once_it_is_quiet(
    observer: Observer, daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise, "CHANGES", Allowance(most=MOST, each_second=0))
    monkeypatch.setattr(noise, "QUIET", 2.0)
    began = time.monotonic()
    async with FakeFleet(2) as fleet, daemon():
        hostile, other = fleet
        hostile.behave(other_models_each_time(), path="/api/tags")
        hostile.behave(other_version_each_time(), path="/api/version")
        noisy = await observer.add(hostile.url, "hostile")
        good = await observer.add(other.url, "good")
        await observer.until(VERDICT, noisy, "degraded noisy", within=60)
        told, heard = await observer.value(EVENTS, noisy), hostile.requests["/api/tags"]
        assert MODELS <= told <= MOST

        async def asked_more() -> bool:
            return hostile.requests["/api/tags"] > heard + 6

        await observer.until_true(asked_more, within=60)
        other.add_model("new:1b")
        await observer.until(HAS, good, "new:1b", 1)
        assert await observer.value(EVENTS, noisy) == told
        assert hostile.requests["/api/show"] <= noise.SHOWS.most + (time.monotonic() - began) * noise.SHOWS.each_second

        hostile.behave_well()
        await observer.until(VERDICT, noisy, "up ok", within=60)
        await observer.until(HAS, noisy, "%", len(hostile.models), within=60)
        await observer.until(HAS, noisy, "m%:1b", 0)
        assert [each for each in await observer.types(noisy) if each in {"server.degraded", "server.down"}] == [
            "server.degraded"
        ]
    await observer.check_history()
