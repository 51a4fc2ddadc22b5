"""Credentials in the memory of the API: asked for once, and gone with their server."""

import gc
from uuid import UUID

from api.fleet.resolution.outgoing import OutgoingHeaders
from monitor.domain.credential import Bearer
from tests import boxes
from tests.boxes import Box

SECRET = "canary-of-a-server-that-goes"


def secrets_in_memory() -> int:
    gc.collect()
    return sum(type(each) is Bearer and each.token == SECRET for each in gc.get_objects())


async def test_a_credential_is_read_once_and_leaves_the_memory_with_its_server() -> None:
    reads = 0

    async def read(_server_id: UUID, _url: str) -> Bearer:
        nonlocal reads
        reads += 1
        return Bearer(token=SECRET)

    fleet = boxes.directory((Box("anna", {"auth_type": "bearer"}),))
    (server_id,) = fleet.servers
    outgoing = OutgoingHeaders(read)
    for _ in range(2):
        assert await outgoing.of(fleet.servers[server_id]) == {"Authorization": f"Bearer {SECRET}"}
    assert (reads, secrets_in_memory()) == (1, 1)
    fleet.remove(server_id)
    assert secrets_in_memory() == 0
