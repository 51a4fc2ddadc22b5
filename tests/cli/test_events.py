"""`events`: a stretch of the log or all that comes, and never a gap that nobody is told of."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.cli.conftest import CHECKOUT, PATIENCE, Typed

ADD_SERVER = "INSERT INTO ollama_servers (name, url) VALUES ($1, 'http://' || $1)"
SET_PRIORITY = "UPDATE ollama_servers SET priority = priority + 1"
ADD_EVENTS = """
DO $$ BEGIN
    FOR number IN 1..%d LOOP UPDATE ollama_servers SET priority = priority + 1; END LOOP;
END $$
"""

pytestmark = pytest.mark.usefixtures("on_fleet")


def numbers(printed: str) -> list[int]:
    return [json.loads(line)["seq"] for line in printed.splitlines()]


class Follower:
    """`events --follow` as a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line it prints."""
        assert self.process.stdout is not None
        return (await asyncio.wait_for(self.process.stdout.readline(), PATIENCE)).decode()

    async def event(self) -> dict[str, Any]:
        """The next event it prints as JSON."""
        event: dict[str, Any] = json.loads(await self.line())
        return event

    async def end(self) -> int:
        """Wait for its end, and return the exit code."""
        return await asyncio.wait_for(self.process.wait(), PATIENCE)


@asynccontextmanager
async def following(*arguments: str) -> AsyncIterator[Follower]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "events", "--follow", *arguments),
        cwd=CHECKOUT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Follower(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def typed_later(typed: Typed, *arguments: str) -> Any:
    """Run a command beside the test's own loop."""
    return await asyncio.to_thread(typed, *arguments)


async def test_without_a_number_the_last_ones_are_shown_in_order(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute(ADD_EVENTS % 30)
    last = await typed_later(typed, "events", "--json")
    three = await typed_later(typed, "events", "--json", "--limit", "3")
    assert numbers(last.out) == list(range(12, 32))
    assert numbers(three.out) == [29, 30, 31]


async def test_a_rare_type_is_found_however_long_ago_it_was(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute(ADD_EVENTS % 300)
    outcome = await typed_later(typed, "events", "--json", "--type", "server.created")
    assert numbers(outcome.out) == [1]


async def test_after_a_number_all_the_rest_is_shown(
    typed: Typed, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.cli.events.PAGE", 4)
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute(ADD_EVENTS % 10)
    assert numbers((await typed_later(typed, "events", "--json", "--after", "0")).out) == list(range(1, 12))
    assert numbers((await typed_later(typed, "events", "--json", "--after", "2", "--limit", "6")).out) == [*range(3, 9)]
    nothing = await typed_later(typed, "events", "--after", "11")
    assert (nothing.code, nothing.out) == (0, "")
    assert nothing.err == "Nothing of that has happened since 11.\n"


async def test_a_person_reads_names_and_what_changed(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute("UPDATE ollama_servers SET status = 'down', status_reason = 'refused', priority = 7")
    await connection.execute(
        "INSERT INTO ollama_models (server_id, name, model_name, size_bytes) "
        "SELECT id, 'tiny', 'tiny:latest', 1000 FROM ollama_servers"
    )
    await connection.execute("DELETE FROM ollama_servers")
    lines = (await typed_later(typed, "events")).out.splitlines()
    assert lines[0].split() == ["SEQ", "TIME", "TYPE", "SERVER", "WHAT"]
    assert [line.split(maxsplit=5)[3:] for line in lines[1:]] == [
        ["server.created", "anna", "http://anna  by fleet"],
        ["server.updated", "anna", "priority=7  by fleet"],
        ["server.down", "anna", "was unknown; refused"],
        ["model.added", "anna", "tiny:latest  1.0 kB  by fleet"],
        ["server.deleted", "anna", "http://anna  by fleet"],
        ["model.removed", "anna", "tiny:latest  by fleet"],
    ]


async def test_events_that_are_no_longer_kept_are_not_passed_over(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute(ADD_EVENTS % 5)
    await connection.execute("DELETE FROM fleet_events WHERE seq <= 3")
    outcome = await typed_later(typed, "events", "--after", "2")
    assert (outcome.code, outcome.out) == (1, "")
    assert "the oldest one held is 4" in outcome.err
    assert "--after 3" in outcome.err
    assert numbers((await typed_later(typed, "events", "--json", "--after", "3")).out) == [4, 5, 6]
    assert numbers((await typed_later(typed, "events", "--json")).out) == [4, 5, 6]


async def test_a_number_that_was_never_given_is_of_another_database(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    outcome = await typed_later(typed, "events", "--after", "2")
    assert (outcome.code, outcome.out) == (1, "")
    assert "There is no event 2 yet, the newest one is 1" in outcome.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_follower_prints_what_psql_does_and_ends_in_order(connection: Connection, number: int) -> None:
    await connection.execute(ADD_SERVER, "anna")
    async with following("--json") as follower:
        assert (await follower.event())["seq"] == 1
        await connection.execute(SET_PRIORITY)
        event = await follower.event()
        assert (event["seq"], event["type"], event["body"]["priority"]) == (2, "server.updated", 1)
        follower.process.send_signal(number)
        assert await follower.end() == 0
        assert follower.process.stderr is not None
        assert await follower.process.stderr.read() == b""


async def test_a_follower_knows_the_names_of_servers_it_has_seen_no_event_of(connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute(SET_PRIORITY)
    async with following("--after", "1") as follower:
        assert (await follower.line()).split()[0] == "SEQ"
        assert "anna" in await follower.line()


async def test_a_follower_survives_the_loss_of_its_sessions_without_a_gap(connection: Connection) -> None:
    lost = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'ollama-fleet%'"
    )
    await connection.execute(ADD_SERVER, "anna")
    async with following("--json") as follower:
        assert (await follower.event())["seq"] == 1
        for number in range(2, 5):
            await connection.execute(SET_PRIORITY)
            await connection.execute(lost)
            assert (await follower.event())["seq"] == number


async def test_a_follower_ends_by_itself_when_nobody_reads_on(connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "api.cli", "events", "--follow", "--json"), cwd=CHECKOUT, stdout=writing
    )
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1000)
    os.close(reading)
    # Nothing happens in the fleet, so there is nothing whose printing could fail.
    assert await asyncio.wait_for(process.wait(), PATIENCE) == 0


async def test_a_server_that_flaps_is_told_in_words(typed: Typed, connection: Connection) -> None:
    await connection.execute(ADD_SERVER, "anna")
    await connection.execute("UPDATE ollama_servers SET flapping_since = now()")
    outcome = await typed_later(typed, "events", "--type", "server.flapping")
    assert "anna              goes up and down too often, so its changes are held back" in outcome.out


async def test_only_the_events_of_one_server_are_shown_even_after_it_was_removed(
    typed: Typed, connection: Connection
) -> None:
    for name in ("anna", "berta"):
        await connection.execute(ADD_SERVER, name)
    anna = await connection.fetchval("SELECT id FROM ollama_servers WHERE name = 'anna'")
    await connection.execute(SET_PRIORITY)

    async def seqs(server: str) -> list[int]:
        return numbers((await asyncio.to_thread(typed, "events", "--json", "--server", server)).out)

    of_anna = [
        row["seq"]
        for row in await connection.fetch("SELECT seq FROM fleet_events WHERE server_id = $1 ORDER BY seq", anna)
    ]
    assert len(of_anna) == 2
    assert await seqs("anna") == await seqs("http://anna") == of_anna
    await connection.execute("DELETE FROM ollama_servers WHERE name = 'anna'")
    assert await seqs(str(anna)) == [*of_anna, 5]
    outcome = await asyncio.to_thread(typed, "events", "--server", "bertha")
    assert (outcome.code, outcome.err) == (1, "ollama-fleet: There is no server bertha. Did you mean berta?\n")
