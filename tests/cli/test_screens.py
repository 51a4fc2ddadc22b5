"""What a person sees on a narrow screen and a wide one, and a reader that has read enough."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable

import pytest

from api.cli.screen import output
from api.cli.screen.output import Column
from monitor.postgres.database import Connection
from tests.cli.conftest import PATIENCE, OnTerminal, Typed

Started = Callable[..., subprocess.Popen[str]]

ESCAPE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ADD = """
INSERT INTO ollama_servers (name, url, status, status_reason, status_detail, last_checked_at)
SELECT 'gpu-' || number, 'http://10.0.0.' || number || ':11434', 'down', 'refused', 'Nothing is there.', now()
FROM generate_series(1, $1::int) AS number
"""
LONG_NEXT = "is Ollama running there, and does OLLAMA_HOST make it listen on that address, not only on 127.0.0.1?"
MORE_THAN_A_PIPE_HOLDS = 2000
WORDS = [f"word-{number}" for number in range(40)]


@pytest.fixture
async def sick(on_fleet: None, connection: Connection) -> None:
    """A server that is down, for a cause with a long advice."""
    await connection.execute(ADD, 1)


def plain(shown: str) -> list[str]:
    return ESCAPE.sub("", shown).replace("\r", "").splitlines()


@pytest.mark.usefixtures("sick")
@pytest.mark.parametrize("columns", [80, 200])
async def test_the_status_breaks_at_the_edge_of_the_screen_and_indents(on_terminal: OnTerminal, columns: int) -> None:
    code, shown = await asyncio.to_thread(on_terminal, "status", columns=columns)
    lines = plain(shown)
    first = next(number for number, line in enumerate(lines) if "    Next: Nothing listens on port" in line)
    second = lines[first + 1]
    assert code == 1
    assert max(map(len, lines)) <= min(columns, 120)
    assert second.startswith(" " * 10)
    assert not second[10].isspace()
    assert LONG_NEXT in " ".join(" ".join(lines).split())


@pytest.mark.usefixtures("sick")
async def test_the_status_in_a_pipe_breaks_no_line(typed: Typed) -> None:
    outcome = await asyncio.to_thread(typed, "status")
    assert any(line.startswith("    Next: ") and line.endswith(LONG_NEXT) for line in outcome.out.splitlines())


@pytest.mark.usefixtures("sick")
@pytest.mark.parametrize("columns", [40, 80, 200])
async def test_the_list_leaves_columns_out_rather_than_cut_what_matters(on_terminal: OnTerminal, columns: int) -> None:
    _, shown = await asyncio.to_thread(on_terminal, "servers", "list", columns=columns)
    *_, heading, row = plain(shown)
    assert max(len(heading), len(row)) <= columns
    assert row.split()[:3] == ["gpu-1", "down", "refused"]
    assert "…" not in heading + row
    assert ("http://10.0.0.1:11434" in row) is (columns >= 80)
    assert heading.rstrip().endswith("ID") is (columns >= 80)


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(("columns", "under"), [(70, "TIME"), (80, "TIME"), (100, "WHAT"), (140, "WHAT")])
@pytest.mark.parametrize("no_color", ["", "1"])
async def test_an_event_that_is_longer_than_the_screen_is_indented(
    on_terminal: OnTerminal, connection: Connection, *, columns: int, under: str, no_color: str
) -> None:
    url = f"http://{'long.' * 20}example:11434"
    await connection.execute("INSERT INTO ollama_servers (name, url) VALUES ('gpu-1', 'http://gpu-1')")
    await connection.execute("UPDATE ollama_servers SET capabilities = $1", json.dumps(WORDS))
    await connection.execute("UPDATE ollama_servers SET url = $1", url)
    _, shown = await asyncio.to_thread(on_terminal, "events", columns=columns, no_color=no_color)
    lines = plain(shown)
    heading = next(number for number, line in enumerate(lines) if "WHAT" in line)
    indent = lines[heading].index(under)
    events = "\n".join(lines[heading + 1 :])
    firsts = [line for line in events.splitlines() if line.lstrip()[:1].isdigit()]
    rest = [line for line in events.splitlines() if not line.lstrip()[:1].isdigit()]
    assert len(firsts) == 3
    assert len(rest) >= 2
    assert all(line[:indent].isspace() and not line[indent].isspace() for line in rest)
    assert [line for line in events.splitlines() if len(line) > columns and url not in line] == []
    assert url in events
    assert all(word in events for word in WORDS)


@pytest.mark.usefixtures("sick")
@pytest.mark.parametrize(("columns", "marks"), [(40, 30), (80, 45), (200, 90)])
async def test_the_strip_of_a_history_is_one_line(on_terminal: OnTerminal, columns: int, marks: int) -> None:
    _, shown = await asyncio.to_thread(on_terminal, "servers", "history", "gpu-1", columns=columns)
    lines = plain(shown)
    strips = [line for line in lines if line and set(line) <= set("=+x.")]
    assert [len(strip) for strip in strips] == [marks]
    assert max(len(line.rstrip()) for line in lines if "opening" not in line) <= max(columns, 40)


def test_a_table_without_a_spare_column_keeps_all_of_them() -> None:
    columns = [Column(title="A"), Column(title="B", spare=1), Column(title="C", spare=2)]
    assert output.fitting(columns, [10, 10, 10], screen=34) == [0, 1, 2]
    assert output.fitting(columns, [10, 10, 10], screen=33) == [0, 1]
    assert output.fitting(columns, [10, 10, 10], screen=21) == [0]
    assert output.fitting(columns, [10, 10, 10], screen=5) == [0]


@pytest.mark.usefixtures("on_database")
@pytest.mark.parametrize(
    "words", ["servers list", "servers list --json", "events", "events --json --after 0", "models"]
)
async def test_a_reader_that_has_read_enough_is_no_failure(
    started: Started, connection: Connection, words: str
) -> None:
    await connection.execute(ADD, MORE_THAN_A_PIPE_HOLDS)
    await connection.execute(
        "INSERT INTO ollama_models (server_id, name, model_name) SELECT id, 'tiny', 'tiny:latest' FROM ollama_servers"
    )
    reading, writing = os.pipe()
    process = started(*words.split(), stdout=writing)
    os.close(writing)
    assert await asyncio.to_thread(os.read, reading, 1)
    os.close(reading)
    _, err = await asyncio.to_thread(process.communicate, timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize("words", ["--help", "servers add --help", "completion bash"])
def test_a_help_that_nobody_reads_is_no_failure(started: Started, words: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = started(*words.split(), stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (0, "")


@pytest.mark.usefixtures("on_database")
def test_a_full_disk_is_one_line_and_1(started: Started) -> None:
    with open("/dev/full", "w") as full:
        process = started("servers", "list", "--json", stdout=full)
        _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert err == "ollama-fleet: [Errno 28] No space left on device\n"
