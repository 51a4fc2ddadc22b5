"""What every server store and result store keeps to: nothing is missed, and only what is still wanted is taken."""

import uuid
from dataclasses import replace

from monitor.domain.availability import Status
from monitor.domain.event import EventType
from monitor.domain.lease import Lease
from monitor.domain.probe import Reason
from monitor.domain.record import ServerRecord
from monitor.domain.server import Server, ServerId
from tests.ports.worlds import World


def up(server: Server) -> ServerRecord:
    """A good check."""
    return ServerRecord(
        server_id=server.id, row_version=server.row_version, status=Status.UP, reason=Reason.OK, detail=""
    )


async def test_a_snapshot_and_the_changes_after_it_miss_nothing(world: World) -> None:
    store = world.servers()
    assert await store.snapshot() == ([], 0)
    one, two = await world.add(1), await world.add(2)
    servers, seq = await store.snapshot()
    assert {each.server.id for each in servers} == {one.id, two.id}
    assert {each.availability.status for each in servers} == {Status.UNKNOWN}
    assert (await store.changes_after(seq, limit=10)) == ([], [])
    await world.edit(one)
    await world.delete(two)
    events, _ = await store.changes_after(seq, limit=10)
    assert [(event.seq, event.type, event.server_id) for event in events] == [
        (seq + 1, EventType.SERVER_UPDATED, one.id),
        (seq + 2, EventType.SERVER_DELETED, two.id),
    ]
    assert [event.seq for event in (await store.changes_after(seq, limit=1))[0]] == [seq + 1]


async def test_of_the_servers_asked_for_those_that_are_there_are_read_as_they_are(world: World) -> None:
    store = world.servers()
    one, two = await world.add(1), await world.add(2)
    await world.edit(one)
    await world.delete(two)
    (read,) = await store.read([one.id, two.id, ServerId(uuid.uuid4())])
    assert read.server == replace(one, row_version=2)


async def test_a_request_stands_until_it_is_answered(world: World, lease: Lease) -> None:
    store, server = world.servers(), await world.add(1)
    asked = await world.ask(server)
    assert (await store.changes_after(99, limit=1))[1] == [server.id]
    (read,) = await store.read([server.id])
    assert read.check_requested_at == asked
    answered = replace(up(server), answered_at=asked, answer={"reason": "ok"})
    assert (await world.results(lease).write([answered])).count == 1
    assert (await store.changes_after(99, limit=1))[1] == []
    (read,) = await store.read([server.id])
    assert read.check_requested_at is None


async def test_a_result_that_is_written_is_read_back(world: World, lease: Lease) -> None:
    server = await world.add(1)
    record = replace(up(server), status=Status.DOWN, reason=Reason.TLS, detail="expired")
    assert (await world.results(lease).write([record])).count == 1
    ((read,), _) = await world.servers().snapshot()
    found = read.availability
    assert (found.status, found.reason, found.detail) == (Status.DOWN, Reason.TLS, "expired")


async def test_results_of_servers_that_were_edited_or_deleted_meanwhile_are_dropped(world: World, lease: Lease) -> None:
    same, edited, deleted = [await world.add(number) for number in (1, 2, 3)]
    await world.edit(edited)
    await world.delete(deleted)
    assert (await world.results(lease).write([up(same), up(edited), up(deleted)])).count == 1
    read = await world.servers().read([same.id, edited.id])
    assert {each.server.id: each.availability.status for each in read} == {
        same.id: Status.UP,
        edited.id: Status.UNKNOWN,
    }
    assert (await world.results(lease).write([])).count == 0


async def test_results_under_a_stale_lease_are_dropped(world: World, stale: Lease) -> None:
    server = await world.add(1)
    assert (await world.results(stale).write([up(server)])).count == 0
    (read,) = await world.servers().read([server.id])
    assert read.availability.status is Status.UNKNOWN
