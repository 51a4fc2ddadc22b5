"""Lists of models that are meant to do harm: what is good of them is kept, and nobody else pays."""

from tests.daemon.conftest import Daemon
from tests.daemon.observer import Observer
from tests.fakes import behaviours
from tests.fakes.fleet import FakeFleet

# Written by hand: what is wrong here, no library would write.
POISONED = r"""{"models": [
    {"model": "good:1b", "size": 1},
    {"model": "good:1b", "size": 2},
    {"model": "huge:1b", "size": 9223372036854775808, "details": {"parameter_size": NaN}},
    {"model": "nul\u0000:1b"},
    {"model": "lone\ud800:1b"},
    {"model": "endless:1b", "size": 111111111111111111111111111111111111111111111111111111111111},
    [], null, 7
]}"""
MANY = '{"models": [' + ",".join(["{}"] * 400_000) + ', {"model": "last:1b"}]}'
NAMES = "SELECT array_agg(model_name ORDER BY model_name) = $2 FROM ollama_models WHERE server_id = $1"


async def test_the_good_entries_are_kept_and_the_lists_of_others_are_written(
    observer: Observer, daemon: Daemon
) -> None:
    async with FakeFleet(4) as fleet, daemon():
        poisoned, many, nested, healthy = fleet
        poisoned.behave(behaviours.document(POISONED), path="/api/tags")
        many.behave(behaviours.document(MANY), path="/api/tags")
        nested.behave(behaviours.document('{"models": ' + "[" * 100_000 + "]" * 100_000 + "}"), path="/api/tags")
        ids = [await observer.add(fake.url, fake.host) for fake in fleet]
        await observer.until(NAMES, ids[0], ["endless:1b", "good:1b", "huge:1b"])
        await observer.until(NAMES, ids[1], ["last:1b"])
        await observer.until_status(ids[2], "degraded")
        healthy.add_model("new:1b")
        await observer.until(
            "SELECT count(*) = 1 FROM ollama_models WHERE server_id = $1 AND model_name = 'new:1b'", ids[3]
        )
        assert await observer.value("SELECT count(*) FROM ollama_servers WHERE status = 'up'") == 3
    await observer.check_history()
