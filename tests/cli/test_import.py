"""`import-env`, from a file to the registry: what is printed, what is stored, what it ends with."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.postgres.database import Connection
from tests.cli.conftest import Typed

ENV = """\
# The servers of the lab
OLLAMA_HOST=gpu-1.example
OLLAMA_MODEL=llama3

OLLAMA_SERVER_2_URL="http://GPU-2.example:11434/v1"
OLLAMA_SERVER_2_NAME='the big one'
OLLAMA_SERVER_2_PRIORITY=10
OLLAMA_KEEP_ALIVE=5m
PATH_TO_NOTHING=/dev/null
"""
REPORT = """\
LINE  VARIABLE                  VALUE                       RESULT
   2  OLLAMA_HOST               http://gpu-1.example:11434  taken: server gpu-1.example
   3  OLLAMA_MODEL              -                           not stored: the name of a model; which models there are \
the fleet finds out by itself
   5  OLLAMA_SERVER_2_URL       http://gpu-2.example:11434  taken: server the big one
   6  OLLAMA_SERVER_2_NAME      the big one                 taken: server the big one
   7  OLLAMA_SERVER_2_PRIORITY  10                          taken: priority of server the big one
   8  OLLAMA_KEEP_ALIVE         -                           not stored: a setting of the Ollama server itself, \
not an address
4 taken, 2 not stored; 1 variable is about something else.
"""
Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file and return its path."""

    def write(text: str) -> str:
        path = tmp_path / "program.env"
        path.write_text(text)
        return str(path)

    return write


def servers(typed: Typed) -> Mapping[str, dict[str, Any]]:
    return {server["name"]: server for server in json.loads(typed("servers", "list", "--json").out)}


@pytest.mark.usefixtures("on_fleet")
def test_servers_are_taken_and_a_second_time_changes_nothing(typed: Typed, write: Write) -> None:
    path = write(ENV)
    outcome = typed("import-env", path)
    assert (outcome.code, outcome.out, outcome.err) == (0, REPORT, "")
    before = servers(typed)
    assert {name: (one["url"], one["priority"]) for name, one in before.items()} == {
        "gpu-1.example": ("http://gpu-1.example:11434", 0),
        "the big one": ("http://gpu-2.example:11434", 10),
    }
    again = typed("import-env", path)
    assert (again.code, again.out.splitlines()[-1]) == (
        0,
        "4 already there, 2 not stored; 1 variable is about something else.",
    )
    assert typed("import-env", path, "--update").code == 0
    assert servers(typed) == before


@pytest.mark.usefixtures("on_fleet")
def test_a_rehearsal_says_the_same_and_writes_nothing(typed: Typed, write: Write) -> None:
    outcome = typed("import-env", write(ENV), "--dry-run")
    assert outcome.code == 0
    assert outcome.out.replace("would be taken", "taken") == REPORT.replace("else.\n", "else. Nothing was written.\n")
    assert servers(typed) == {}


async def test_a_rehearsal_needs_no_right_to_write(
    typed: Typed, write: Write, on_database: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_DATABASE_URL", f"{on_database}&options=-cdefault_transaction_read_only%3Don")
    path = write(ENV)
    assert (await asyncio.to_thread(typed, "import-env", path, "--dry-run")).code == 0
    outcome = await asyncio.to_thread(typed, "import-env", path)
    assert outcome.code == 1
    assert "read-only" in outcome.err
    assert await connection.fetchval("SELECT count(*) FROM ollama_servers") == 0


def test_a_rehearsal_without_any_database_brings_none_into_being(typed: Typed, write: Write, tmp_path: Path) -> None:
    assert typed("import-env", write(ENV), "--dry-run").code == 0
    assert not (tmp_path / "state").exists()


@pytest.mark.usefixtures("on_fleet")
def test_update_overwrites_what_the_file_says_and_an_inactive_server_stays_so(typed: Typed, write: Write) -> None:
    typed("servers", "add", "mine", "http://gpu-2.example:11434", "--inactive", "--label", "room=attic")
    path = write(ENV)
    kept = typed("import-env", path)
    assert "already there: server mine (inactive, and stays so) keeps its own; --update takes this one" in kept.out
    assert servers(typed)["mine"]["priority"] == 0
    outcome = typed("import-env", path, "--update", "--json")
    assert outcome.code == 0
    assert [one["outcome"] for one in json.loads(outcome.out)["findings"]].count("updated") == 2
    changed = servers(typed)["the big one"]
    assert (changed["priority"], changed["is_active"], changed["labels"]) == (10, False, {"room": "attic"})


@pytest.mark.usefixtures("on_fleet")
def test_what_is_refused_ends_with_1_and_costs_the_others_nothing(typed: Typed, write: Write) -> None:
    outcome = typed("import-env", write("OLLAMA_BASE_URLS=http://169.254.169.254;http://gpu-1\nOLLAMA_TOKEN=hunter2\n"))
    assert outcome.code == 1
    assert outcome.err == ("ollama-fleet: Not all that the file says of servers could be taken; the report says why.\n")
    assert "not taken: the address 169.254.169.254 is a link-local address" in outcome.out
    assert list(servers(typed)) == ["gpu-1"]
    assert "hunter2" not in outcome.out


@pytest.mark.usefixtures("on_fleet")
def test_a_slip_in_a_name_is_asked_about(typed: Typed, write: Write) -> None:
    outcome = typed("import-env", write("OLAMA_HOST=gpu-1\n"))
    assert "not understood: did you mean OLLAMA_HOST?" in outcome.out
    assert servers(typed) == {}


@pytest.mark.usefixtures("on_fleet")
def test_other_names_are_mapped(typed: Typed, write: Write) -> None:
    path = write("LLM_BACKEND=gpu-1:1\nLLM_TITLE=anna\n")
    outcome = typed("import-env", path, "--map", "LLM_BACKEND=host@x", "--map", "LLM_TITLE=name@x")
    assert (outcome.code, list(servers(typed))) == (0, ["anna"])


@pytest.mark.usefixtures("on_database")
async def test_a_writer_who_was_faster_is_reported_and_undoes_nothing_else(
    typed: Typed, write: Write, connection: Connection, eventually: Callable[..., Awaitable[None]]
) -> None:
    path = write("OLLAMA_BASE_URLS=http://a;http://b;http://c\n")
    writing = connection.transaction()
    await writing.start()
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('faster', 'http://b')")
    importing = asyncio.create_task(asyncio.to_thread(typed, "import-env", path))

    async def somebody_waits_for_us() -> bool:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid"
        return bool(await connection.fetchval(waiting))

    await eventually(somebody_waits_for_us, what="the wait for the other writer")
    await writing.commit()
    outcome = await importing
    assert outcome.code == 1
    assert "not taken: The URL 'http://b' is taken by server" in outcome.out
    found = await connection.fetch("SELECT name FROM ollama_servers ORDER BY name")
    assert [row["name"] for row in found] == ["a", "c", "faster"]


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "cannot be read: No such file or directory."),
        (b"A=" + b"x" * 10_000_000, "is bigger than 1024 KiB"),
        (b"OLLAMA_HOST=a\n\xff", "is not UTF-8 text (line 2)"),
        (b"\x7fELF\0\0", "holds a zero byte (line 1)"),
    ],
)
def test_a_file_that_is_none_is_refused_with_one_line(
    typed: Typed, tmp_path: Path, data: bytes | None, said: str
) -> None:
    path = tmp_path / "odd.env"
    if data is not None:
        path.write_bytes(data)
    outcome = typed("import-env", str(path))
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    assert servers(typed) == {}


def test_a_mapping_that_is_none_is_wrong_usage(typed: Typed, write: Write) -> None:
    for mapping, said in {
        "X:url": "A mapping is written NAME=ROLE or NAME=ROLE@GROUP, not 'X:url'.",
        "X=address": "'address' in --map X=address is no role. The roles are host, url, urls,",
        "X=key@a": "'key' in --map X=key@a is no role; did you mean api_key?",
        "LLM_BACKND=url": "The file has no variable LLM_BACKND, which --map speaks of. Did you mean LLM_BACKEND?",
    }.items():
        outcome = typed("import-env", write("LLM_BACKEND=a"), "--map", mapping)
        assert (outcome.code, outcome.out) == (2, "")
        assert said in " ".join(outcome.err.split())


@pytest.mark.usefixtures("on_database")
def test_a_file_about_something_else_is_no_failure(typed: Typed, write: Write) -> None:
    outcome = typed("import-env", write("A=b\n"))
    assert outcome.code == 0
    assert outcome.out == "Nothing about Ollama; 1 variable is about something else.\n"
    assert "--map" in outcome.err
