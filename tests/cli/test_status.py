"""`status`: what is wrong now, since when, why and what next; and an exit code for scripts."""

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest

from monitor.domain.probe import Reason
from monitor.postgres.database import Connection
from tests.api import stand_in
from tests.cli.conftest import OnTerminal, Outcome, Typed

pytestmark = pytest.mark.usefixtures("on_fleet")

ADD = """
INSERT INTO ollama_servers (name, url, status, status_reason, status_detail, last_checked_at)
VALUES ($1, 'http://' || $1 || ':11434', $2, $3, $4, now() - $5::interval)
"""
SUSPECT = """
UPDATE ollama_servers SET suspect_since = now() - interval '3 s', suspect_reason = 'timeout' WHERE name = $1
"""
A_MONITOR_IS_AT_WORK = "UPDATE monitor_leases SET owner = gen_random_uuid(), expires_at = now() + interval '1 hour'"


@pytest.fixture(autouse=True)
async def _monitor_at_work(on_fleet: None, connection: Connection) -> None:
    await connection.execute(A_MONITOR_IS_AT_WORK)


async def add(connection: Connection, name: str, status: str, reason: Reason | None = None, **more: Any) -> None:
    age = more.get("checked_ago", timedelta(seconds=1))
    await connection.execute(ADD, name, status, None if reason is None else reason.value, more.get("detail"), age)


async def status(typed: Typed, *options: str) -> Outcome:
    return await asyncio.to_thread(typed, "status", *options)


async def test_nothing_wrong_is_one_line_and_0(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "up", Reason.OK)
    await add(connection, "berta", "up", Reason.OK)
    await connection.execute("UPDATE ollama_servers SET is_active = false WHERE name = 'berta'")
    outcome = await status(typed)
    assert (outcome.code, outcome.out) == (0, "2 servers: 1 up, 1 inactive; nothing is wrong.\n")


async def test_an_empty_fleet_says_what_to_do(typed: Typed) -> None:
    outcome = await status(typed)
    assert (outcome.code, outcome.out) == (0, "There is no server yet. Add one: ollama-fleet servers add NAME URL\n")


async def test_what_is_down_comes_first_with_its_cause_and_what_to_do(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "degraded", Reason.LIST_FAILED, detail="It answered 500.")
    await add(connection, "berta", "down", Reason.REFUSED, detail="Nothing listens on the port.")
    outcome = await status(typed)
    lines = outcome.out.splitlines()
    assert (outcome.code, lines[0]) == (1, "2 servers: 1 degraded, 1 down; 2 to look at.")
    assert lines[2].startswith("berta is down since ")
    assert lines[3] == "    refused: Nothing listens on the port."
    assert lines[4].startswith("    Next: Nothing listens on port 11434 of berta:")
    assert lines[6].startswith("anna is degraded since ")


async def test_what_was_not_checked_lately_is_not_called_well(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "up", Reason.OK, checked_ago=timedelta(hours=1))
    outcome = await status(typed)
    assert outcome.code == 1
    assert "anna is stale since " in outcome.out
    assert "It was up then, and has not been checked since." in outcome.out


async def test_a_suspect_server_is_something_to_look_at_after_the_verdicts(
    typed: Typed, connection: Connection
) -> None:
    await add(connection, "anna", "up", Reason.OK)
    await add(connection, "berta", "degraded", Reason.LIST_FAILED)
    await connection.execute(SUSPECT, "anna")
    outcome = await status(typed)
    lines = outcome.out.splitlines()
    assert (outcome.code, lines[0]) == (1, "2 servers: 1 up, 1 degraded; 2 to look at.")
    assert lines[2].startswith("berta is degraded since ")
    suspect = lines.index(next(line for line in lines if line.startswith("anna is suspect since ")))
    assert re.search(r"\([34] s\)$", lines[suspect])
    assert lines[suspect + 1] == "    timeout: bad answers have been seen, and there is no verdict yet."
    assert lines[suspect + 2].startswith("    Next: A verdict comes within seconds, or the suspicion clears by itself;")
    await connection.execute("UPDATE ollama_servers SET status = 'up', suspect_since = NULL")
    assert (await status(typed)).code == 0


async def test_nobody_waits_for_a_verdict_on_a_suspicion_of_the_past(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "up", Reason.OK, checked_ago=timedelta(hours=1))
    await connection.execute(SUSPECT, "anna")
    document = json.loads((await status(typed, "--json")).out)
    assert [trouble["what"] for trouble in document["troubles"]] == ["stale"]


async def test_held_verdicts_come_first_with_where_to_look(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "down", Reason.REFUSED)
    await stand_in.say(connection, "monitor.isolated")
    outcome = await status(typed)
    lines = outcome.out.splitlines()
    assert outcome.code == 1
    assert lines[2] == "The fleet"
    assert lines[3].startswith("    3 of 4 servers stopped answering at once (timeout) and nothing else answers, so ")
    assert lines[4] == "    Next: see whether the monitor's host has lost its network."


async def test_a_fleet_without_a_monitor_says_so_first(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "down", Reason.TIMEOUT)
    await connection.execute("UPDATE monitor_leases SET expires_at = '-infinity'")
    document = json.loads((await status(typed, "--json")).out)
    assert [trouble["what"] for trouble in document["troubles"]] == ["fleet", "down"]
    assert "No monitor is at work" in document["troubles"][0]["why"]
    assert (document["ok"], document["servers"]["down"]) == (False, 1)


async def test_a_default_that_is_inactive_is_told(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "up", Reason.OK)
    await connection.execute("UPDATE ollama_servers SET is_active = false, is_default = true")
    outcome = await status(typed)
    assert (outcome.code, "anna is inactive since " in outcome.out) == (1, True)


async def test_a_reason_of_a_later_version_is_shown_without_advice(typed: Typed, connection: Connection) -> None:
    await add(connection, "anna", "down")
    await connection.execute("UPDATE ollama_servers SET status_reason = 'gremlins'")
    outcome = await status(typed)
    assert "    gremlins\n" in outcome.out
    assert "Next" not in outcome.out


async def test_more_than_a_screen_holds_is_counted(typed: Typed, connection: Connection) -> None:
    for number in range(23):
        await add(connection, f"gpu-{number:02}", "down", Reason.REFUSED)
    outcome = await status(typed)
    assert outcome.out.splitlines()[-1] == "… and 3 more: `ollama-fleet servers list --unavailable`."


async def test_a_name_cannot_steer_the_terminal(on_terminal: OnTerminal, connection: Connection) -> None:
    await add(connection, "right\u202eleft", "down", Reason.REFUSED)
    _, shown = await asyncio.to_thread(on_terminal, "status")
    assert "right\\u202eleft is down" in shown
