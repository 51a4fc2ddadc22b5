"""`servers` and `models`: what goes in comes out, for a person and for a program."""

import asyncio
import json
import re
from typing import Any
from uuid import UUID

import pytest

from monitor.postgres.database import Connection
from tests.cli.conftest import OnTerminal, Typed

pytestmark = pytest.mark.usefixtures("on_fleet")

SUSPECT = """
INSERT INTO ollama_servers (name, url, status, status_reason, last_checked_at, suspect_since, suspect_reason)
VALUES ('gpu-1', 'http://gpu-1:11434', 'up', 'ok', now(), now() - interval '3 s', 'timeout')
"""
ESCAPE = re.compile(r"[^\n -~]")


def add(typed: Typed, name: str, *options: str) -> dict[str, Any]:
    outcome = typed("servers", "add", name, f"http://{name}.example:11434", *options, "--json")
    assert outcome.code == 0, outcome.err
    server: dict[str, Any] = json.loads(outcome.out)
    return server


def show(typed: Typed, reference: str) -> dict[str, Any]:
    server: dict[str, Any] = json.loads(typed("servers", "show", reference, "--json").out)
    return server


def names(typed: Typed, *filters: str) -> list[str]:
    return [server["name"] for server in json.loads(typed("servers", "list", "--json", *filters).out)]


def test_a_server_is_added_with_all_that_is_said_of_it(typed: Typed) -> None:
    words = "--priority 5 --default --inactive --max-concurrent 3 --rise 1 --fall 4 --interval 2m --timeout 500ms"
    labels = "--capability chat --capability embedding --label room=attic --label gpu= --api-version v2 --no-watch"
    server = add(typed, "gpu-1", *words.split(), *labels.split())
    expected = {
        "name": "gpu-1",
        "url": "http://gpu-1.example:11434",
        "priority": 5,
        "is_default": True,
        "is_active": False,
        "max_concurrent": 3,
        "rise": 1,
        "fall": 4,
        "check_interval_seconds": 120,
        "check_timeout_seconds": 0.5,
        "capabilities": ["chat", "embedding"],
        "labels": {"room": "attic", "gpu": ""},
        "api_version": "v2",
        "connection_watch": False,
    }
    assert server.items() >= expected.items()
    assert show(typed, "gpu-1") == server


def test_a_change_keeps_what_is_not_named_and_none_gives_back_to_the_settings(typed: Typed) -> None:
    given = "--interval 2m --rise 1 --priority 5 --capability chat --label a=1 --no-watch"
    add(typed, "gpu-1", *given.split())
    words = "--name gpu-2 --interval none --rise none --capability none --label b=2 --remove-label a --default --watch"
    outcome = typed("servers", "set", "gpu-1", *words.split(), "--json")
    server = json.loads(outcome.out)
    assert (server["name"], server["check_interval_seconds"], server["rise"]) == ("gpu-2", None, None)
    assert (server["capabilities"], server["labels"], server["is_default"]) == ([], {"b": "2"}, True)
    assert (server["priority"], server["connection_watch"]) == (5, True)


def test_a_change_is_told_in_one_line_with_what_was_before(typed: Typed) -> None:
    add(typed, "gpu-1", "--priority", "5", "--interval", "10s")
    outcome = typed("servers", "set", "gpu-1", "--priority", "7", "--interval", "none", "--label", "a=1", "--default")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == (
        "Changed gpu-1: is_default=yes (was no), priority=7 (was 5), labels=a=1 (was -), "
        "check_interval=default (was 10 s).\n"
    )
    assert typed("servers", "set", "gpu-1", "--name", "gpu-2").out == "Changed gpu-1: name=gpu-2 (was gpu-1).\n"
    again = typed("servers", "set", "gpu-2", "--priority", "7")
    assert (again.code, again.out) == (0, "gpu-2 is like that already; nothing was changed.\n")


def test_the_api_of_a_server_is_pinned_told_and_found_out_again(typed: Typed) -> None:
    server = add(typed, "gpu-1", "--api", "openai")
    assert (server["api"], server["api_pinned"]) == ("openai", True)
    shown = typed("servers", "show", "gpu-1").out
    assert re.search(r"^api +openai$", shown, re.MULTILINE)
    assert re.search(r"^api_pinned +yes$", shown, re.MULTILINE)
    changed = typed("servers", "set", "gpu-1", "--api", "native")
    assert changed.out == "Changed gpu-1: api=native (was openai).\n"
    # What it spoke last stays until a check has found out more.
    assert typed("servers", "set", "gpu-1", "--api", "auto").out == "Changed gpu-1: api_pinned=no (was yes).\n"
    wrong = typed("servers", "set", "gpu-1", "--api", "both")
    assert (wrong.code, "'native', 'openai'" in wrong.err) == (2, True)


def test_a_site_is_given_told_and_taken_away(typed: Typed) -> None:
    assert add(typed, "gpu-1", "--site", "berlin")["site"] == "berlin"
    moved = typed("servers", "set", "gpu-1", "--site", "oslo")
    assert moved.out == "Changed gpu-1: site=oslo (was berlin).\n"
    assert typed("servers", "set", "gpu-1", "--site", "none").out == "Changed gpu-1: site=- (was oslo).\n"
    assert show(typed, "gpu-1")["site"] is None


async def test_a_suspect_server_is_told_in_the_list_and_with_since_when_among_its_fields(
    typed: Typed, connection: Connection
) -> None:
    await connection.execute(SUSPECT)
    listed = (await asyncio.to_thread(typed, "servers", "list")).out.splitlines()[-1]
    assert re.match(r"gpu-1 +up +suspect: timeout  ", listed)
    shown = (await asyncio.to_thread(typed, "servers", "show", "gpu-1")).out
    assert re.search(r"^suspect_since +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \([34] s ago\)$", shown, re.MULTILINE)
    assert re.search(r"^suspect_reason +timeout$", shown, re.MULTILINE)


def test_a_server_is_removed_without_a_question_where_nobody_could_answer(typed: Typed) -> None:
    add(typed, "gpu-1")
    outcome = typed("servers", "remove", "gpu-1")
    assert (outcome.code, outcome.out) == (0, "Removed gpu-1 at http://gpu-1.example:11434.\n")
    assert names(typed) == []


@pytest.mark.parametrize("kind", ["name", "id", "beginning of the id", "url", "url as pasted"])
def test_a_server_is_meant_by(typed: Typed, kind: str) -> None:
    server = add(typed, "gpu-1")
    add(typed, "gpu-2")
    references = {
        "name": "gpu-1",
        "id": server["id"].upper(),
        "beginning of the id": server["id"][:8],
        "url": server["url"],
        "url as pasted": "HTTP://GPU-1.example:11434/v1/",
    }
    assert show(typed, references[kind]) == server


def test_a_beginning_that_fits_two_ids_names_both(typed: Typed) -> None:
    rows = ", ".join(f"('{UUID(int=number)}', 'gpu-{number}', 'http://gpu-{number}')" for number in (1, 2))
    assert typed("db", "psql", "--", "-qc", f"INSERT INTO ollama_servers (id, name, url) VALUES {rows}").code == 0
    outcome = typed("servers", "show", "00000000")
    assert outcome.code == 1
    assert "fits several servers: gpu-1, gpu-2" in outcome.err


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("gpu1", "Did you mean gpu-1?"),
        ("GPU-1", "Did you mean gpu-1?"),
        ("http://gpu-1.example:11435", "Did you mean gpu-1?"),
        ("xyz", "`ollama-fleet servers list` shows those there are."),
        ("\x1b[2J", "There is no server \\x1b[2J."),
        ("llama3.2:3b", "There is no server llama3.2:3b; `ollama-fleet models where llama3.2:3b` shows who has the "),
    ],
)
def test_a_server_that_is_not_there_ends_with_1_and_what_may_be_meant(typed: Typed, reference: str, hint: str) -> None:
    add(typed, "gpu-1")
    outcome = typed("servers", "show", reference)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("ollama-fleet: There is no server ")
    assert hint in outcome.err
    assert not ESCAPE.search(outcome.err)


def test_a_name_that_is_taken_ends_with_1_and_says_by_whom(typed: Typed) -> None:
    server = add(typed, "gpu-1")
    outcome = typed("servers", "add", "gpu-1", "http://other.example")
    assert outcome.code == 1
    assert server["id"] in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_value_that_the_rules_refuse_ends_with_1_and_names_it(typed: Typed) -> None:
    outcome = typed("servers", "add", "gpu-1", "gpu-1:11434")
    assert outcome.code == 1
    assert "must begin with http:// or https://" in outcome.err


def test_filters_leave_out_what_does_not_fit(typed: Typed) -> None:
    add(typed, "one", "--label", "room=attic", "--capability", "chat")
    add(typed, "two", "--inactive")
    assert names(typed) == ["one", "two"]
    assert names(typed, "--active") == ["one"]
    assert names(typed, "--inactive") == ["two"]
    assert names(typed, "--available") == []
    assert names(typed, "--status", "unknown", "--status", "up") == ["one", "two"]
    assert names(typed, "--label", "room=attic", "--capability", "chat") == ["one"]
    assert names(typed, "--label", "room=cellar") == []


def test_more_servers_than_one_page_are_all_listed(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.cli.listing.PAGE", 2)
    for number in range(5):
        add(typed, f"gpu-{number}")
    assert names(typed) == [f"gpu-{number}" for number in range(5)]


def test_a_list_in_a_pipe_is_plain_and_cuts_nothing(typed: Typed) -> None:
    server = add(typed, "gpu-1")
    long_name = "a-name-that-is-rather-longer-than-others" * 3
    assert typed("servers", "add", long_name, "http://long.example", "--default").code == 0
    outcome = typed("servers", "list")
    heading, first, second = outcome.out.splitlines()
    assert heading.split() == ["NAME", "STATUS", "WHY", "CHECKED", "LATENCY", "PRIO", "URL", "ID"]
    assert first.split()[:3] == [long_name, "unknown", "default"]
    assert second.split()[-2:] == [server["url"], server["id"]]
    assert heading.index("URL") == first.index("http") == second.index("http")
    assert not ESCAPE.search(outcome.out)


def test_an_empty_list_says_what_to_do_but_not_into_the_pipe(typed: Typed) -> None:
    outcome = typed("servers", "list")
    assert (outcome.code, outcome.out) == (0, "")
    assert "ollama-fleet servers add NAME URL" in outcome.err
    assert json.loads(typed("servers", "list", "--json").out) == []


def test_a_terminal_gets_colours_unless_it_wants_none(typed: Typed, on_terminal: OnTerminal) -> None:
    add(typed, "gpu-1")
    code, coloured = on_terminal("servers", "list")
    _, plain = on_terminal("servers", "list", no_color="1")
    assert code == 0
    assert "\x1b[2munknown" in coloured
    assert "gpu-1" in plain
    assert "\x1b[2m" not in plain
    assert "\x1b[1m" not in plain


def test_at_a_terminal_removing_asks_first(typed: Typed, on_terminal: OnTerminal) -> None:
    add(typed, "gpu-1")
    code, written = on_terminal("servers", "remove", "gpu-1", keys="n\n")
    assert code == 1
    assert "Nothing was removed." in written
    assert "Remove gpu-1 at http://gpu-1.example:11434, and its models? [y/N]" in written
    assert names(typed) == ["gpu-1"]
    assert on_terminal("servers", "remove", "gpu-1", keys="y\n")[0] == 0
    assert names(typed) == []


async def test_nothing_that_a_server_says_steers_the_terminal(connection: Connection, on_terminal: OnTerminal) -> None:
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('gpu-1', 'http://gpu-1')")
    await connection.execute(
        "UPDATE ollama_servers SET status = 'down', status_reason = $1, status_detail = $1", "\x1b]0;owned\x07[bold]"
    )
    for command in (["servers", "list"], ["servers", "show", "gpu-1"], ["events"], ["events", "--json"]):
        code, written = await asyncio.to_thread(on_terminal, *command)
        assert code == 0
        assert "owned" in written
        assert "\x1b]" not in written
        assert "\x07" not in written


def test_without_a_monitor_a_check_ends_with_1_and_says_so(typed: Typed) -> None:
    add(typed, "gpu-1")
    for word in ("check", "discover"):
        outcome = typed("servers", word, "gpu-1")
        assert outcome.code == 1
        assert "No monitor is at work" in outcome.err
        assert outcome.err.count("\n") == 1
