"""A small matrix of faults in virtual time: what may never take a server down, and that real deaths do."""

import statistics
from collections import Counter

import pytest

from tests.virtual import day
from tests.virtual.day import OURS, Tally
from tests.virtual.rows import ROWS

SIZES = (3, 20)
HARMLESS = (
    *("stall 0.1 s", "stall 1 s", "stall 5 s", "stall 30 s", "clock step"),
    *("loss 1%", "loss 5%", "loss 10%", "delay 0.2 s", "delay 1 s", "delay 3 s"),
    *("dns 10 s, all named", "half-open", "one-way 10 s, all", "one-way 10 s, one network"),
    *("429 storm", "paused 1 s", "paused 3 s"),
)
# Seconds until our verdict: of a process that is gone, and of a host that is silent.
DEATHS = {"kill -9, some": 1, "kill -9, 60 %": 1, "power loss, some": 15, "power loss, a third": 15}


def live(name: str, servers: int) -> Tally:
    """Live through one incident, always the same."""
    return day.live(ROWS[name], servers=servers, seed=f"{name} {servers}")


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_not_the_servers_fault_takes_none_down(name: str) -> None:
    for servers in SIZES:
        tally = live(name, servers)
        assert (tally.false[OURS], tally.true[OURS]) == (0, 0), servers


def test_a_resolver_that_is_away_for_half_of_a_fleet_takes_none_down() -> None:
    # Fewer than three names are too few to doubt the resolver.
    assert live("dns 10 s, half named", 20).false[OURS] == 0


@pytest.mark.parametrize(("name", "within"), DEATHS.items())
def test_servers_that_die_are_said_to_be_down_and_no_others(name: str, within: float) -> None:
    for servers in SIZES:
        tally = live(name, servers)
        assert (tally.false[OURS], tally.missed[OURS]) == (0, 0), servers
        assert tally.detection[OURS]
        assert max(tally.detection[OURS]) < within


def test_a_host_that_is_silent_is_known_sooner_than_by_its_first_failure_at_a_fixed_interval() -> None:
    found = live("power loss, some", 1000).detection
    assert statistics.median(found[OURS]) < statistics.median(found["gatus"])


def test_thresholds_of_one_failure_take_servers_down_by_the_same_faults() -> None:
    false: Counter[str] = sum((live(name, 20).false for name in ("half-open", "429 storm")), Counter())
    assert false == {"gatus": 40}


def test_the_same_seed_makes_the_same_day() -> None:
    assert live("loss 30%", 5) == live("loss 30%", 5)
