"""`resolve` and `models where`: the owner's table once more, and what a person gets to read."""

import asyncio
import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import asyncpg
import pytest

from monitor.postgres.database import Connection
from tests import boxes, rules
from tests.boxes import CLOUD, DOWN, LOADED, UP, Box, Has
from tests.cli.conftest import OnTerminal, Typed
from tests.rules import Row

Write = Callable[..., None]


@pytest.fixture
def write(on_fleet: None, dsn: str) -> Write:
    """Put a fleet where the commands find it: in the database at hand, then behind an API elsewhere."""

    def put(*fleet: Box) -> None:
        seq = asyncio.run(write_all(fleet))
        address = os.environ.get("OLLAMA_FLEET_API_URL")
        while address is not None and _known(address) < seq:
            pass
        # That a server is suspect comes another way.
        doubted = [box for box in fleet if box.fields.get("suspect_since")]
        while address is not None and not all(_is_suspect(address, box.url) for box in doubted):
            pass

    async def write_all(fleet: tuple[Box, ...]) -> int:
        connection: Connection = await asyncpg.connect(dsn)
        try:
            return await boxes.write(connection, fleet)
        finally:
            await connection.close()

    return put


def _known(address: str) -> int:
    with urlopen(f"{address}/api/models?limit=1", timeout=30) as answer:
        seq: int = json.load(answer)["snapshot"]["seq"]
        return seq


def _is_suspect(address: str, url: str) -> bool:
    with urlopen(f"{address}/api/resolve?server_url={quote(url, safe='')}", timeout=30) as answer:
        return bool(json.load(answer)["suspect"])


def command(row: Row) -> list[str]:
    """Return how a person would ask for this row."""
    words = ["resolve", "--json"]
    if row.request.server_url is not None:
        words += ["--url", row.request.server_url]
    if row.request.cloud:
        words += ["--cloud"]
    for option in ("site", "api"):
        if (value := getattr(row.request, option)) is not None:
            words += [f"--{option}", value]
    words += [f"--label={key}={value}" for key, value in row.request.labels]
    words += [f"--capability={capability}" for capability in row.request.capabilities]
    words += ["--candidates", str(row.request.candidates)]
    if row.request.model is not None:
        words += [row.request.model]
    return words


def test_the_rules_row_by_row(write: Write, typed: Typed) -> None:
    for row in rules.TABLE:
        write(*row.boxes)
        outcome = typed(*command(row))
        answer: dict[str, Any] = json.loads(outcome.out)
        rules.check(row, answer)
        assert outcome.code == (1 if "code" in answer else 0), row
        if "code" in answer:
            assert outcome.err == f"ollama-fleet: {typed_words(answer['detail'])}\n"


def typed_words(detail: str) -> str:
    """The refusal of the API as the command tells it."""
    words = {
        "cloud=true": "--cloud",
        "ask with server_url": "name one with --url",
        "server_url: ": "--url: ",
        "model: ": "MODEL: ",
        " Nothing was changed.": "",
    }
    for theirs, ours in words.items():
        detail = detail.replace(theirs, ours)
    return detail


def test_a_person_reads_where_to_go_and_by_which_rule(write: Write, typed: Typed) -> None:
    write(Box("anna", UP, (Has("m:latest", LOADED),)), Box("berta", DOWN, (Has("m:latest"),)))
    outcome = typed("resolve", "M")
    assert (outcome.code, outcome.err) == (0, "")
    assert dict(line.split(maxsplit=1) for line in outcome.out.splitlines()) == {
        "base_url": "http://anna:11434",
        "server": "anna (up)",
        "model": "m:latest (in memory)",
        "max_concurrent": "4",
        "rule": "2, the best server for the model",
    }


def test_an_explanation_follows_the_answer_and_precedes_a_refusal(write: Write, typed: Typed) -> None:
    write(Box("anna", UP, (Has("m:latest"),)), Box("berta", DOWN, (Has("m:latest"), Has("n:latest"))))
    outcome = typed("resolve", "m", "--explain")
    assert "Rule 2: only the model m was asked for, and anna comes first of those that have it." in outcome.out
    assert ["berta", "is", "down", "(refused)"] in [line.split() for line in outcome.out.splitlines()]
    refused = typed("resolve", "n", "--explain")
    assert refused.code == 1
    assert ["anna", "does", "not", "have", "the", "model"] in [line.split() for line in refused.out.splitlines()]
    assert refused.err == "ollama-fleet: No server that has the model n is available: berta is down (refused).\n"


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        ("--url http://other:1", "No registered server has this URL, so nobody checks it; it was not saved."),
        ("--url http://berta:11434", "berta is not available now: down."),
        ("--url http://anna:11434 --model x", "anna is not known to have this model."),
        ("c:cloud --cloud", "The model runs at https://ollama.com:443: prompts go there."),
    ],
)
def test_what_a_person_should_know_is_said_beside_the_answer(
    write: Write, typed: Typed, words: str, warning: str
) -> None:
    write(Box("anna", UP, (Has("c:cloud", CLOUD),)), Box("berta", DOWN))
    outcome = typed("resolve", *words.split())
    assert outcome.code == 0
    assert warning in outcome.err.splitlines()


def test_a_miss_has_the_servers_listed(on_database: str, typed: Typed) -> None:
    async def write() -> None:
        connection: Connection = await asyncpg.connect(on_database)
        await boxes.write(connection, (Box("anna", UP), Box("berta", DOWN)))
        await connection.close()

    asyncio.run(write())
    assert typed("resolve", "m").code == 1

    async def requested() -> list[str]:
        connection: Connection = await asyncpg.connect(on_database)
        try:
            rows = await connection.fetch("SELECT name FROM ollama_servers WHERE discovery_requested_at IS NOT NULL")
            return [row["name"] for row in rows]
        finally:
            await connection.close()

    assert asyncio.run(requested()) == ["anna"]


@pytest.mark.usefixtures("on_fleet")
def test_a_denied_address_and_two_models_are_refused(typed: Typed) -> None:
    assert typed("resolve", "--url", "http://169.254.169.254").code == 1
    assert typed("resolve", "a", "--model", "b").code == 2


def test_where_shows_the_servers_of_a_model_and_says_when_they_differ(write: Write, typed: Typed) -> None:
    write(
        Box("anna", UP, (Has("m:latest", {"digest": "a" * 64}),)),
        Box("berta", UP, (Has("M:latest", {"digest": "b" * 64, **LOADED}),)),
    )
    outcome = typed("models", "where", "m")
    assert [line.split()[:3] for line in outcome.out.splitlines()[1:]] == [
        ["berta", "up", "M:latest"],
        ["anna", "up", "m:latest"],
    ]
    assert "2 different models" in outcome.err
    assert json.loads(typed("models", "where", "m", "--json").out)["digest_drift"] is True
    missing = typed("models", "where", "mm")
    assert (missing.code, "No server lists the model 'mm'" in missing.err) == (1, True)


def test_where_without_a_name_shows_every_model_once(write: Write, typed: Typed, on_terminal: OnTerminal) -> None:
    write(Box("anna", UP, (Has("m:latest"), Has("n:latest"))), Box("berta", DOWN, (Has("m:latest"),)))
    assert [line.split()[:3] for line in typed("models", "where").out.splitlines()[1:]] == [
        ["m:latest", "2", "yes"],
        ["n:latest", "1", "yes"],
    ]
    assert len(json.loads(typed("models", "where", "--json").out)) == 2
    code, shown = on_terminal("models", "where", "m")
    assert (code, "anna" in shown) == (0, True)
