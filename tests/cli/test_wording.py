"""Refusals in the words of the command line: options and settings, where the API speaks of fields and headers."""

import asyncio
import time
from datetime import timedelta

import pytest

from api.cli.screen import wording
from api.fleet import edits
from api.fleet.refusals import Next
from api.web import problems
from api.web.problems import CODES
from monitor.postgres import database
from monitor.settings import Settings
from tests.api import token_maker
from tests.api.serving import serving_beside
from tests.cli.conftest import PATIENCE, Typed

TOKEN = "OLLAMA_FLEET_API_TOKEN"


@pytest.mark.usefixtures("on_fleet")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resolve", "--url", "ftp://a"], "--url: The URL must begin with http:// or https://"),
        (["resolve", "a b c"], "MODEL: "),
        (["servers", "add", "b", "b:1"], "URL: The URL must begin with http://"),
        (["servers", "set", "a", "--rise", "1000", "--interval", "1ms"], "--interval: "),
        (["servers", "set", "a", "--rise", "1000", "--interval", "1ms"], "; --rise: "),
        (["servers", "check", "a"], "No monitor is at work, so the check waits for one"),
        (["models", "disable", "a", "tiny"], "`ollama-fleet models a` lists those it has."),
        (["servers", "check", "c"], "`ollama-fleet servers set c --active` activates it."),
        (["servers", "discover", "c"], "`ollama-fleet servers set c --active` activates it."),
        (["servers", "add", "b", "http://a"], "The URL 'http://a' is taken by server a ("),
        (
            ["servers", "add", "b", "http://x:y@b"],
            "URL: The URL must not carry a user name or password; give them with --auth-type ",
        ),
        (["servers", "add", "", "http://b"], "NAME: must have at least 1 character."),
    ],
)
def test_a_refusal_names_what_was_typed(typed: Typed, arguments: list[str], said: str) -> None:
    assert typed("servers", "add", "a", "http://a").code == 0
    assert typed("servers", "add", "c", "http://c", "--inactive").code == 0
    outcome = typed(*arguments)
    assert outcome.code == 1
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
    for foreign in ("server_url", "_seconds", "GET ", "is_active", "Authorization"):
        assert foreign not in outcome.err


@pytest.mark.usefixtures("on_fleet")
def test_only_of_an_edit_it_is_said_that_nothing_was_changed(typed: Typed) -> None:
    assert typed("servers", "add", "a", "b:1").err.endswith(" Nothing was changed.\n")
    for reading in (["resolve", "--url", "b:1"], ["resolve", "a b"], ["servers", "list", "--label", "a=\x01"]):
        outcome = typed(*reading)
        assert outcome.code == 1
        assert "Nothing was changed" not in outcome.err


@pytest.mark.usefixtures("on_fleet")
def test_an_empty_fleet_is_resolved_to_advice(typed: Typed) -> None:
    for arguments in (["resolve"], ["resolve", "llama3.2"]):
        outcome = typed(*arguments)
        assert outcome.err == "ollama-fleet: No server is registered. Add one, or name one with --url.\n"


@pytest.mark.usefixtures("on_fleet")
def test_a_server_that_is_asked_for_as_a_model_is_told_from_one(typed: Typed) -> None:
    assert typed("servers", "add", "gpu-1", "http://a").code == 0
    # An API hears of the new server a moment later, by its event.
    deadline = time.monotonic() + PATIENCE
    while "No server is registered" in typed("resolve").err:
        assert time.monotonic() < deadline
    assert typed("resolve", "gpu-1").err == (
        "ollama-fleet: No active server has the model gpu-1. That is the name of a server; ask for a model, "
        "or name one with --url.\n"
    )


@pytest.mark.usefixtures("on_fleet")
def test_a_log_without_events_is_told_from_one_without_those_that_are_wanted(typed: Typed) -> None:
    assert typed("events").err == "There is no event yet.\n"
    assert typed("servers", "add", "gpu-1", "http://a").code == 0
    assert typed("events", "--type", "server.down").err == "There is no such event yet.\n"


async def _tokens(dsn: str) -> dict[str, str]:
    connection = await database.connect(dsn, name="psql")
    try:
        made = {"reads": await token_maker.make(connection, "reads", "read")}
        made["expired"] = await token_maker.make(connection, "expired", "read", lifetime=timedelta(seconds=-1))
        made["revoked"] = await token_maker.make(connection, "revoked", "read")
        await connection.execute("UPDATE api_tokens SET revoked_at = now() WHERE name = 'revoked'")
    finally:
        await connection.close()
    return made


def test_a_token_that_is_not_good_is_told_by_its_setting(
    typed: Typed, on_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = asyncio.run(_tokens(on_database))
    with serving_beside(Settings.model_validate({"api_port": "0"}), on_database) as address:
        monkeypatch.setenv("OLLAMA_FLEET_API_URL", address)

        def said(*arguments: str, token: str | None = None) -> str:
            with monkeypatch.context() as patch:
                if token is not None:
                    patch.setenv(TOKEN, token)
                outcome = typed(*arguments)
            assert outcome.code == 1
            assert token is None or token not in outcome.err
            return outcome.err.removeprefix("ollama-fleet: ")

        create = "on the machine of the fleet `ollama-fleet token create NAME --scope {}` makes one"
        read, write = create.format("read"), create.format("write")
        assert said("servers", "list") == f"The API wants a token: set {TOKEN} to one; {read}.\n"
        assert said("events", token="wrong").startswith(f"The API does not know the token in {TOKEN}: ")
        assert said("models", token=tokens["expired"]) == f"The token in {TOKEN} has expired; {read}.\n"
        assert said("status", token=tokens["revoked"]) == f"The token in {TOKEN} was revoked; {read}.\n"
        assert said("servers", "add", "a", "http://a", token=tokens["reads"]) == (
            f"This needs a token with the scope write, and {TOKEN} has none with it; {write} that has it.\n"
        )


def test_there_are_words_for_each_next_step_and_for_codes_that_are_told() -> None:
    assert set(wording.NEXT) == set(problems.NEXT) == set(Next)
    assert wording.NOTICES.keys() == {edits.CREDENTIAL_DROPPED}
    assert wording.SENTENCES.keys() <= CODES.keys()
