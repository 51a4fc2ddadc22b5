"""Suspicion in a running fleet: in the table from the first bad answer on, told once it lasts, never a verdict."""

import itertools
from datetime import timedelta

from monitor.domain.event import Event
from tests import fold
from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.fleet import FakeFleet

SUSPECT = "SELECT suspect_since IS NOT NULL AND status = 'up' AND is_available FROM ollama_servers WHERE url = $1"
CLEAR = "SELECT suspect_since IS NULL AND suspect_reason IS NULL AND NOT suspicion_told FROM ollama_servers"
ALL_UP = "SELECT count(*) = $1 FROM ollama_servers WHERE status = 'up'"
TOLD = "SELECT count(*) = 1 FROM fleet_events WHERE type = $1"
# Checks are asked for here; none comes by itself.
NEVER = timedelta(minutes=5)
ASK = "UPDATE ollama_servers SET check_requested_at = clock_timestamp() WHERE url = $1"


async def suspicions(observer: Observer) -> list[Event]:
    """What was told of suspicions."""
    types = {"server.suspected", "server.cleared"}
    return [event for event in await fold.read_events(observer.connection) if event.type in types]


async def test_a_bad_answer_makes_a_server_suspect_and_a_good_one_clears_it(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(1) as fleet, daemon(check_interval=NEVER, connection_watch=False, fall=5):
        await observer.add(fleet[0].url)
        await observer.until(ALL_UP, 1)
        fleet[0].behave(behaviours.status(500))
        await observer.value(ASK, fleet[0].url)
        await observer.until(SUSPECT, fleet[0].url)
        await observer.until(TOLD, "server.suspected")
        fleet[0].behave_well()
        await observer.until(TOLD, "server.cleared")
        await observer.until(CLEAR)
        assert await observer.value(ALL_UP, 1)
    suspected, cleared = await suspicions(observer)
    assert suspected.body["suspect_reason"] == "server_error"
    assert (cleared.body["suspect_since"], cleared.body["suspect_reason"]) == (None, None)
    assert cleared.body["lasted_seconds"] >= 0.3
    assert not [event for event in await fold.read_events(observer.connection) if event.type == "server.down"]
    await observer.check_history()


async def test_a_server_that_fails_every_other_time_is_told_of_once_in_ten_seconds_and_known_each_time(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeFleet(1) as fleet, daemon(check_interval=NEVER, connection_watch=False, fall=5):
        await observer.add(fleet[0].url)
        await observer.until(ALL_UP, 1)
        for _ in range(3):
            fleet[0].behave(behaviours.status(500))
            await observer.value(ASK, fleet[0].url)
            await observer.until(SUSPECT, fleet[0].url)
            await observer.until("SELECT count(*) > 0 FROM fleet_events WHERE type = 'server.suspected'")
            fleet[0].behave_well()
            await observer.until("SELECT suspect_since IS NULL FROM ollama_servers")
        await observer.until(CLEAR)
    told = await suspicions(observer)
    assert [event.type for event in told] == ["server.suspected", "server.cleared"] * (len(told) // 2)
    # However long the three took on a busy machine.
    begun = [event.at for event in told[::2]]
    assert all(later - earlier > timedelta(seconds=9.9) for earlier, later in itertools.pairwise(begun))
    await observer.check_history()


async def test_a_death_that_is_told_at_once_needs_no_word_of_suspicion(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(3) as fleet, daemon(check_interval=NEVER):
        for fake in fleet:
            await observer.add(fake.url, fake.host)
        await observer.until("SELECT count(*) = 3 FROM ollama_servers WHERE watch_state = 'watched'", within=30)
        await fleet.die(1)
        await observer.until("SELECT count(*) = 1 FROM ollama_servers WHERE status = 'down'")
        await observer.until(
            "SELECT count(*) = 0 FROM ollama_servers WHERE suspect_since IS NOT NULL OR suspicion_told"
        )
    assert "server.cleared" not in {event.type for event in await suspicions(observer)}
    await observer.check_history()


async def test_an_edit_of_the_address_ends_a_suspicion(observer: Observer, daemon: Daemon) -> None:
    async with FakeFleet(2) as fleet, daemon(check_interval=NEVER, connection_watch=False, fall=50):
        await observer.add(fleet[0].url)
        await observer.until(ALL_UP, 1)
        fleet[0].behave(behaviours.status(500))
        await observer.value(ASK, fleet[0].url)
        await observer.until(TOLD, "server.suspected")
        await observer.value("UPDATE ollama_servers SET url = $1", fleet[1].url)
        await observer.until(CLEAR)
        await observer.until(ALL_UP, 1)
    assert [event.type for event in await suspicions(observer)] == ["server.suspected", "server.cleared"]
    await observer.check_history()
