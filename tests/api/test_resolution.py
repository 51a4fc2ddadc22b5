"""What the desk writes down once and remembers is what it would say afresh, whatever happens in between."""

import json
import random
import uuid
from typing import Any

from api.fleet.resolution.mirror import Snapshot
from api.fleet.resolution.service import ResolverService
from monitor.domain import folding, resolver
from monitor.domain.directory import Directory
from monitor.domain.selection import Request
from monitor.domain.tie_break import TieBreak
from monitor.settings import Settings
from tests import boxes
from tests.boxes import LOADED, UP, Box, Has

REQUESTS = [
    Request(),
    Request(model="m"),
    Request(model="n"),
    Request(server_url="http://b:11434", model="m"),
    Request(server_url="http://nobody:1"),
    Request(model="m", explain=True),
    Request(model="m", candidates=3),
    Request(model="n", labels=(("room", "attic"),)),
]


def change(fleet: Directory, chance: random.Random) -> None:
    """Do one thing to the fleet, the kind of thing that events tell of."""
    entry = chance.choice(list(fleet.servers.values()))
    copies = list(entry.copies.values())
    match chance.randrange(6):
        case 0:
            fleet.change(entry, {"priority": chance.randrange(3)})
        case 1:
            fleet.change(entry, {"status_detail": f"said {chance.randrange(9)}"})
        case 2 if copies:
            fleet.change_copy(chance.choice(copies), {"size_vram": chance.choice([None, 5])})
        case 3 if copies:
            fleet.remove_copy(entry, chance.choice(copies).id)
        case 4:
            columns = boxes.model_columns(Has(chance.choice(["m:latest", "M:latest", "n:latest"])))
            folding.add_model(fleet, entry.id, uuid.uuid4(), columns)
        case _:
            fleet.change(entry, {"is_flapping": not entry.is_flapping, "max_concurrent": 1 + chance.randrange(3)})


def told(desk: ResolverService, request: Request, snapshot: Snapshot, tie: TieBreak) -> Any:
    """Return what is written."""
    key = resolver.key_of_plain(request)
    first = None if key is None else desk.write_first(key, snapshot, tie)
    return json.loads((first or desk.write(request, snapshot, tie)).json)


def test_what_is_remembered_never_differs_from_a_fresh_answer() -> None:
    chance = random.Random(3)
    settings = Settings()
    desk = ResolverService(settings.policy, settings.allowed_networks)
    models = (Has("m:latest", LOADED), Has("n:latest"))
    # Always there, so that each question has an answer.
    steady = Box("z", {**UP, "labels": {"room": "attic"}}, models)
    fleet = boxes.directory((*(Box(name, UP, models) for name in "abc"), steady))
    kept = {entry.name: entry for entry in fleet.servers.values()}.pop("z")
    for seq in range(600):
        snapshot = Snapshot(fleet=fleet, seq=seq, age_seconds=0.0, is_stale=False, at=boxes.NOW.timestamp() + seq)
        for request in REQUESTS:
            tie = TieBreak(chance.getrandbits(63), is_session=chance.random() < 0.5)
            assert told(desk, request, snapshot, tie) == json.loads(json.dumps(desk.resolve(request, snapshot, tie)))
        change(fleet, chance)
        for name in ("m:latest", "n:latest"):
            if not any(copy.model_name == name for copy in kept.copies.values()):
                folding.add_model(fleet, kept.id, uuid.uuid4(), boxes.model_columns(Has(name)))
