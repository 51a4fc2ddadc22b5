"""Words for a person: nothing in them steers a terminal, and ages and sizes read well."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cli.screen import text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@given(st.text(st.characters()))
def test_whatever_a_server_says_of_itself_a_terminal_only_shows_it(said: str) -> None:
    assert text.printable(said).isprintable()
    assert all(char.isprintable() for char in text.word({said: [said]}))


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines", "two\\nlines"),
        ("\x9b5m", "\\x9b5m"),
        ("evil \u202etxt.exe", "evil \\u202etxt.exe"),
        ("grün [bold]", "grün [bold]"),
    ],
)
def test_characters_that_are_no_characters_are_written_out(said: str, shown: str) -> None:
    assert text.printable(said) == shown


@given(st.text(st.characters()))
def test_json_is_ascii_without_control_characters_and_says_the_same(said: str) -> None:
    document = text.to_json({"said": said}, indent=None)
    assert document.isascii()
    assert document.isprintable()
    assert json.loads(document) == {"said": said}


def test_json_gives_times_in_utc_with_a_z() -> None:
    document = text.to_json({"at": NOW.astimezone(), "id": UUID(int=1)}, indent=None)
    assert document == '{"at": "2026-03-01T12:00:00Z", "id": "00000000-0000-0000-0000-000000000001"}'


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0 s ago"),
        (-0.4, "0 s ago"),
        (12.4, "12 s ago"),
        (90, "90 s ago"),
        (150, "2 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
        (-3, "in 3 s"),
    ],
)
def test_an_age_is_given_in_the_unit_that_fits(seconds: float, shown: str) -> None:
    assert text.age(NOW - timedelta(seconds=seconds), now=NOW) == shown


@pytest.mark.parametrize(
    ("number", "shown"), [(None, "-"), (0, "0 B"), (316, "316 B"), (2_000_000_000, "2.0 GB"), (3 * 10**12, "3.0 TB")]
)
def test_a_size_is_given_as_ollama_shows_it(number: int | None, shown: str) -> None:
    assert text.size(number) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "-"), ("", "-"), ([], "-"), ({}, "-"), (0, "0"), (False, "no"), ({"room": "attic"}, "room=attic")],
)
def test_nothing_is_a_dash_but_zero_and_no_are_something(value: object, shown: str) -> None:
    assert text.word(value) == shown
