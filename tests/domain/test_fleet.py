"""The fleet in memory: whoever holds a replaced entry learns that it does not count any more."""

import uuid
from datetime import timedelta

from monitor.domain.availability import Availability
from monitor.domain.fleet import Fleet, Watched
from monitor.domain.server import Policy, Server, ServerId


def watched(server_id: ServerId | None = None) -> Watched:
    """An entry of a server."""
    policy = Policy(interval=timedelta(seconds=15), timeout=timedelta(seconds=5), rise=2, fall=3)
    server = Server(
        id=server_id or ServerId(uuid.uuid4()),
        name="gpu-1",
        url="http://gpu-1",
        api_version="native",
        row_version=1,
        policy=policy,
    )
    return Watched(server=server, availability=Availability())


def test_an_entry_is_current_until_it_is_replaced_or_removed() -> None:
    fleet, first = Fleet(), watched()
    server_id = first.server.id
    assert not fleet.is_current(first)
    fleet.put(first)
    assert fleet.is_current(first)
    second = watched(server_id)
    fleet.put(second)
    assert (fleet.is_current(first), fleet.is_current(second)) == (False, True)
    assert fleet.get(server_id) is second
    fleet.remove(server_id)
    fleet.remove(server_id)
    assert not fleet.is_current(second)
    assert fleet.get(server_id) is None


def test_the_fleet_may_change_while_somebody_walks_through_it() -> None:
    fleet = Fleet()
    for _ in range(3):
        fleet.put(watched())
    for entry in fleet:
        fleet.remove(entry.server.id)
    assert len(fleet) == 0
