"""While the monitor takes itself to be cut off, `/readyz` says so: what fell silent, what waits, and where to look."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.api import stand_in
from tests.api.client import ApiClient

PLAN = """
EXPLAIN SELECT type, body FROM fleet_events WHERE type LIKE 'monitor.%' ORDER BY seq DESC LIMIT 1
"""


@pytest.fixture
async def at_work(psql: Connection) -> AsyncIterator[None]:
    """A monitor holds the lease."""
    async with stand_in.at_work(psql):
        yield


async def readiness(api: ApiClient) -> tuple[dict[str, Any], list[str]]:
    """What `/readyz` says, and its reasons that are about servers; the API is ready whatever they are."""
    answer = await api.ask("GET", "/readyz")
    assert (answer.status, answer.body["ready"]) == (200, True)
    return answer.body, [reason for reason in answer.body["reasons"] if " servers " in reason]


@pytest.mark.usefixtures("at_work")
async def test_held_verdicts_are_told_until_the_monitor_has_recovered(api: ApiClient, psql: Connection) -> None:
    assert (await readiness(api))[0]["checks"]["verdicts"] == "ok"

    await stand_in.say(psql, "monitor.isolated")
    report, (reason,) = await readiness(api)

    assert report["checks"]["verdicts"] == "held"
    assert re.fullmatch(
        r"3 of 4 servers stopped answering at once \(timeout\) and nothing else answers, so verdicts are held until "
        r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d UTC: see whether the monitor's host has lost its network\.",
        reason,
    )
    assert {name: report["isolation"][name] for name in ("cause", "servers", "of")} == {
        "cause": "timeout", "servers": 3, "of": 4,
    }  # fmt: skip
    assert report["isolation"]["since"] < report["isolation"]["until"]

    await stand_in.say(psql, "monitor.recovered", outage=False)
    report, reasons = await readiness(api)

    assert (report["checks"]["verdicts"], report["isolation"], reasons) == ("ok", None, [])


@pytest.mark.parametrize(
    ("cause", "begins", "ends"),
    [
        (
            "local",
            "3 of 4 servers could not be asked, by faults of the monitor's own host (local), so verdicts are held",
            "check network, memory and open files (ulimit -n) of the monitor's host.",
        ),
        (
            "dns",
            "The names of 3 of 4 servers are not found any more (dns), so verdicts are held",
            "see whether the resolver of the monitor's host works.",
        ),
    ],
)
@pytest.mark.usefixtures("at_work")
async def test_the_cause_says_where_to_look(
    api: ApiClient, psql: Connection, cause: str, begins: str, ends: str
) -> None:
    await stand_in.say(psql, "monitor.isolated", cause=cause)
    _, (reason,) = await readiness(api)
    assert reason.startswith(begins)
    # What `status` takes for what comes next.
    assert reason.partition(": ")[2] == ends


@pytest.mark.usefixtures("at_work")
async def test_an_isolation_that_lasts_holds_no_verdict_any_more(api: ApiClient, psql: Connection) -> None:
    await stand_in.say(psql, "monitor.isolated", cause="local", since_seconds=200_000)
    report, (reason,) = await readiness(api)
    assert report["checks"]["verdicts"] == "ok"
    # Two days ago, so the day is told.
    assert re.search(r"; verdicts are held no more since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, but the monitor", reason)


@pytest.mark.usefixtures("at_work")
async def test_an_event_of_an_older_version_has_no_end_and_is_told_all_the_same(
    api: ApiClient, psql: Connection
) -> None:
    await stand_in.say(psql, "monitor.isolated", {"cause": "timeout", "servers": 3, "of": 4})
    report, (reason,) = await readiness(api)
    assert (report["checks"]["verdicts"], report["isolation"]["until"]) == ("held", None)
    assert "so verdicts are held: see whether" in reason


async def test_what_a_monitor_that_is_gone_has_said_last_is_told_no_more(api: ApiClient, psql: Connection) -> None:
    async with stand_in.at_work(psql):
        await stand_in.say(psql, "monitor.isolated")
    await psql.execute("UPDATE monitor_leases SET expires_at = '-infinity'")
    report, reasons = await readiness(api)
    assert (report["checks"]["monitor"], report["checks"]["verdicts"]) == ("absent", "unknown")
    assert (report["isolation"], reasons) == (None, [])


async def test_the_newest_word_of_a_monitor_is_found_by_its_index(psql: Connection) -> None:
    await psql.execute("SET enable_seqscan = off")
    plan = "\n".join(line for (line,) in await psql.fetch(PLAN))
    assert "ix_fleet_events_of_monitors" in plan
