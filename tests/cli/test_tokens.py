"""`token`: made and shown once, listed, revoked; what is wrong is said in a line."""

import asyncio
import json

import pytest

from api.fleet.access import tokens
from api.fleet.access.tokens import TokenTable
from monitor.postgres.database import Database
from tests.cli.conftest import Typed


@pytest.fixture(autouse=True)
def _on_database(on_database: str) -> None:
    assert on_database


def test_the_token_alone_goes_to_standard_output(typed: Typed) -> None:
    made = typed("token", "create", "ci", "--scope", "read", "--scope", "write", "--expires", "90d")
    assert made.code == 0
    assert made.out.count("\n") == 1
    assert tokens.public_id(made.out.strip()) is not None
    assert made.out.strip() not in made.err
    assert "not shown again" in made.err


def test_a_token_is_listed_with_its_scopes_and_state(typed: Typed) -> None:
    secret = typed("token", "create", "ci", "--scope", "read", "--expires", "90d").out.strip()
    typed("token", "create", "ops", "--scope", "admin")
    typed("token", "revoke", "ops")
    listed = typed("token", "list")
    assert [line.split()[:3] for line in listed.out.splitlines()] == [
        ["NAME", "STATE", "SCOPES"],
        ["ci", "active", "read"],
        ["ops", "revoked", "admin"],
    ]
    assert secret[-20:] not in listed.out
    assert "in 90 d" in listed.out


@pytest.mark.parametrize(
    ("end", "state", "expires"), [("infinity", "active", "never"), ("-infinity", "expired", "ago")]
)
def test_an_end_that_was_written_by_hand_may_be_infinite(
    typed: Typed, on_database: str, end: str, state: str, expires: str
) -> None:
    token = typed("token", "create", "ci", "--scope", "read").out.strip()
    assert typed("db", "psql", "--", "-qc", f"UPDATE api_tokens SET expires_at = '{end}'").code == 0
    listed = typed("token", "list").out.splitlines()[1]
    assert (listed.split()[1], expires in listed) == (state, True)
    assert asyncio.run(_is_good(on_database, token)) is (state == "active")


async def _is_good(dsn: str, token: str) -> bool:
    database = Database(dsn, name="ollama-fleet test")
    await database.open()
    table = TokenTable(database, open_when_empty=False)
    await table.refresh()
    found = table.find(token)
    await database.close()
    return found is not None and found.grant.refusal() is None


def test_json_has_everything_but_the_secret(typed: Typed) -> None:
    made = json.loads(typed("token", "create", "ci", "--scope", "read", "--json").out)
    assert (made["name"], made["scopes"]) == ("ci", ["read"])
    (listed,) = json.loads(typed("token", "list", "--json").out)
    assert set(listed) == {
        "name", "scopes", "state", "created_at", "expires_at", "last_used_at", "revoked_at"
    }  # fmt: skip
    assert (listed["state"], listed["expires_at"], listed["last_used_at"]) == ("active", None, None)


def test_a_name_in_use_is_refused_and_one_that_was_revoked_is_free(typed: Typed) -> None:
    first = typed("token", "create", "ci", "--scope", "read").out
    taken = typed("token", "create", "ci", "--scope", "read")
    assert (taken.code, taken.out) == (1, "")
    assert "token revoke ci" in taken.err
    assert typed("token", "revoke", "ci").out == "The token ci is revoked.\n"
    again = typed("token", "create", "ci", "--scope", "read")
    assert again.code == 0
    assert again.out != first


def test_what_is_not_there_cannot_be_revoked(typed: Typed) -> None:
    for _ in range(2):
        outcome = typed("token", "revoke", "nobody")
        assert outcome.code == 1
        assert "token list" in outcome.err
    assert "open to this machine" in typed("token", "list").err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ci", "--scope", "root"], "'root' is not one of 'read', 'write', 'credentials', 'admin'"),
        (["ci"], "Missing option '--scope'"),
        (["ci", "--scope", "read", "--expires", "soon"], "as in 90d or 12h"),
        (["ci", "--scope", "read", "--expires", "0s"], "more than nothing"),
        (["ci", "--scope", "read", "--expires", "40000d"], "at most 36500d"),
        (["two words", "--scope", "read"], "A name is letters"),
        (["--scope", "read", "--", "-x"], "A name is letters"),
        (["x" * 65, "--scope", "read"], "A name is letters"),
    ],
)
def test_wrong_usage_ends_with_2(typed: Typed, arguments: list[str], said: str) -> None:
    outcome = typed("token", "create", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert said in " ".join(outcome.err.split())


def test_events_of_the_command_line_are_local(typed: Typed) -> None:
    typed("servers", "add", "anna", "http://anna.example")
    (event,) = [json.loads(line) for line in typed("events", "--json").out.splitlines()]
    assert event["body"]["actor"] == "local"


def test_tokens_of_a_fleet_elsewhere_are_not_made_here(typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_FLEET_API_URL", "http://fleet.example:8420")
    outcome = typed("token", "create", "ci", "--scope", "read")
    assert (outcome.code, outcome.out) == (78, "")
    assert "OLLAMA_FLEET_API_URL" in outcome.err
