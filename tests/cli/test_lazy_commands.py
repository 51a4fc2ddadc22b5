"""The table of commands, which stands in for the commands until one of them is used."""

import click
import pytest

from api.cli.commands import PLACES, ollama_fleet

WIDE = 1000


@pytest.mark.parametrize("name", PLACES)
def test_the_table_names_each_command_and_tells_of_it_what_the_command_itself_tells(name: str) -> None:
    command = PLACES[name].load()
    assert isinstance(command, click.Command)
    assert command.name == name
    assert command.get_short_help_str(limit=WIDE) == PLACES[name].short_help
    assert (tuple(command.commands) if isinstance(command, click.Group) else ()) == PLACES[name].below


def test_a_command_is_completed_with_its_line_and_without_being_loaded() -> None:
    context = click.Context(ollama_fleet, info_name="ollama-fleet")
    completed = {item.value: item.help for item in ollama_fleet.shell_complete(context, "")}
    assert completed == {name: place.short_help for name, place in PLACES.items()}


def test_the_table_is_closed() -> None:
    with pytest.raises(TypeError, match="goes into the table"):
        ollama_fleet.add_command(click.Command("late"))
