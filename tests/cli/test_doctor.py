"""`doctor`: every line is ok or says what to do, and what is wrong is found."""

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.postgres.database import Connection
from tests.api import stand_in
from tests.cli.conftest import Outcome, Typed

A_MONITOR_IS_AT_WORK = """
UPDATE monitor_leases SET owner = gen_random_uuid(), owner_name = 'rack:1', expires_at = now() + interval '1 hour'
"""
STATS = "INSERT INTO monitor_stats (shard, at, body) VALUES (0, clock_timestamp(), $1)"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The port that the API is to have; nobody listens there yet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        monkeypatch.setenv("OLLAMA_FLEET_API_PORT", str(listener.getsockname()[1]))
        yield listener


async def findings(typed: Typed) -> tuple[int, dict[str, dict[str, str]]]:
    outcome: Outcome = await asyncio.to_thread(typed, "doctor", "--json")
    return outcome.code, {one["subject"]: one for one in json.loads(outcome.out)}


@pytest.mark.usefixtures("on_database", "port")
async def test_a_fleet_that_is_well_is_ok_in_every_line(typed: Typed, connection: Connection) -> None:
    await connection.execute(A_MONITOR_IS_AT_WORK)
    code, found = await findings(typed)
    health = {subject: one["health"] for subject, one in found.items()}
    assert code == 0
    assert health.pop("port") == "warning"
    assert set(health) == {
        "database", "schema", "clock", "notify", "monitor", "verdicts", "keys", "tokens", "checks", "dns",
        "descriptors",
    }  # fmt: skip
    assert set(health.values()) == {"ok"}
    assert found["monitor"]["seen"] == "at work: rack:1"


@pytest.mark.usefixtures("on_database", "port")
async def test_a_monitor_that_holds_verdicts_is_found(typed: Typed, connection: Connection) -> None:
    await connection.execute(A_MONITOR_IS_AT_WORK)
    await stand_in.say(connection, "monitor.isolated")
    code, found = await findings(typed)
    assert (code, found["verdicts"]["health"]) == (1, "failed")
    assert "3 of 4 servers stopped answering at once (timeout)" in found["verdicts"]["seen"]
    assert found["verdicts"]["next"] == "see whether the monitor's host has lost its network."


@pytest.mark.usefixtures("on_database", "port")
async def test_what_is_wrong_is_found_with_what_to_do(typed: Typed, connection: Connection) -> None:
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('a', 'http://no-such-host.invalid:1')")
    await connection.execute("UPDATE ollama_servers SET last_checked_at = now() - interval '1 day'")
    code, found = await findings(typed)
    assert code == 1
    wrong = {subject for subject, one in found.items() if one["health"] == "failed"}
    assert wrong == {"monitor", "checks", "dns"}
    assert all(found[subject]["next"] for subject in wrong)
    assert "no-such-host.invalid" in found["dns"]["seen"]


@pytest.mark.usefixtures("on_database")
async def test_another_program_on_the_port_of_the_api_is_found(typed: Typed, port: socket.socket) -> None:
    port.listen()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        writer.close()

    async with await asyncio.start_server(answer, sock=port.dup()):
        _, found = await findings(typed)
    assert (found["port"]["health"], "another program" in found["port"]["seen"]) == ("failed", True)


@pytest.mark.usefixtures("on_database", "port")
@pytest.mark.parametrize(
    ("of_monitor", "is_at_work", "health", "seen", "advice"),
    [
        (1055, True, "failed", "the monitor at work may open 1055 files, about 1056 needed", "LimitNOFILE=1056"),
        (1056, True, "ok", "the monitor at work may open 1056 files, about 1056 needed", ""),
        (-1, True, "ok", "the monitor at work may open any number of files", ""),
        (1056, False, "warning", "no monitor tells what it may open; what this shell starts may open 1024", "`ulimit"),
        (None, True, "warning", "no monitor tells what it may open; what this shell starts may open 1024", "`ulimit"),
    ],
)
async def test_the_descriptors_are_those_of_the_monitor_if_it_tells(
    typed: Typed,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    *,
    of_monitor: int | None,
    is_at_work: bool,
    health: str,
    seen: str,
    advice: str,
) -> None:
    await connection.execute(
        "INSERT INTO ollama_servers (name, url) SELECT n, 'http://127.0.0.1:' || n FROM generate_series(1, 400) AS n"
    )
    told = {} if of_monitor is None else {"descriptors_allowed": of_monitor}
    await connection.execute(STATS, json.dumps(told))
    if is_at_work:
        await connection.execute(A_MONITOR_IS_AT_WORK)
    monkeypatch.setattr("resource.getrlimit", lambda _: (1024, 4096))
    _, found = await findings(typed)
    assert found["descriptors"]["health"] == health
    assert found["descriptors"]["seen"].startswith(seen)
    assert found["descriptors"]["next"].startswith(advice)
    assert bool(found["descriptors"]["next"]) is bool(advice)


@pytest.mark.usefixtures("port")
async def test_an_older_schema_is_found(typed: Typed, empty_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", empty_dsn)
    code, found = await findings(typed)
    assert (code, found["database"]["health"], found["schema"]["health"]) == (1, "ok", "failed")
    assert "ollama-fleet migrate" in found["schema"]["next"]
    assert {found[subject]["health"] for subject in ("notify", "monitor", "keys", "tokens", "checks")} == {"skipped"}


@pytest.mark.usefixtures("port")
async def test_a_database_that_is_away_is_found(
    typed: Typed, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", f"postgresql://u:secret-word@127.0.0.1:{unused_tcp_port}/d")
    code, found = await findings(typed)
    assert (code, found["database"]["health"]) == (1, "failed")
    assert {found[subject]["health"] for subject in ("schema", "keys", "tokens", "checks", "dns")} == {"skipped"}
    assert "secret-word" not in json.dumps(found)


@pytest.mark.usefixtures("port")
def test_an_embedded_database_that_does_not_run_is_not_started(typed: Typed, tmp_path: Path) -> None:
    outcome = typed("doctor")
    assert outcome.code == 1
    assert outcome.out.startswith("FAILED   database     the embedded PostgreSQL in ")
    assert not (tmp_path / "state").exists()


async def test_notifications_that_do_not_arrive_are_found(
    typed: Typed, on_database: str, other_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_database
    monkeypatch.setenv("OLLAMA_FLEET_LISTEN_DATABASE_URL", other_dsn)
    _, found = await findings(typed)
    assert (found["notify"]["health"], found["notify"]["seen"]) == ("failed", "nothing arrives within 3 s")


@pytest.fixture
def other_dsn(empty_dsn: str) -> str:
    """Another database on the same PostgreSQL: a listener there hears nothing of ours, as through a pooler."""
    return empty_dsn


@pytest.mark.parametrize("on_fleet", ["api"], indirect=True)
@pytest.mark.usefixtures("on_fleet")
async def test_a_fleet_elsewhere_is_looked_at_through_its_api(typed: Typed, connection: Connection) -> None:
    code, found = await findings(typed)
    assert (code, found["api"]["health"], found["readiness"]["health"]) == (1, "ok", "failed")
    await connection.execute(A_MONITOR_IS_AT_WORK)
    code, found = await findings(typed)
    assert (code, found["access"]["seen"]) == (0, "0 servers can be read")
