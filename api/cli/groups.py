"""Commands whose help reads like a page of a manual, groups of them, and groups that load a command when it is used."""

import difflib
import importlib
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

from api.cli import misuse

# How alike a word must be to the name of a command to be taken for a slip of the finger: one letter.
ALIKE = 0.75


class Manual(click.Command):
    """A command whose example can be copied: it is never broken in two."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the epilog line by line as it is."""
        if self.epilog:
            formatter.write_paragraph()
            for line in self.epilog.splitlines():
                formatter.write(f"  {line}\n" if line else "\n")


class OrderedGroup(Manual, click.Group):
    """Lists its commands in the order they were written in."""

    command_class = Manual

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; one that other tools have is told by our word for it."""
        if args[0] not in self.commands:
            self._refuse_foreign(ctx, args[0])
        return super().resolve_command(ctx, args)

    def names_below(self) -> Mapping[str, Collection[str]]:
        """Return the names of the commands of each group in this one."""
        return {name: below.commands for name, below in self.commands.items() if isinstance(below, click.Group)}

    def _refuse_foreign(self, ctx: click.Context, word: str) -> None:
        if (meant := misuse.command(word, names=self.commands, below=self.names_below())) is not None:
            ctx.fail(f"No such command {word!r}. Did you mean '{ctx.command_path} {meant}'?")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, as `module:attribute` inside `api.cli`, and its line in the list of commands.

    `below` are the names of its own commands, if it is a group.
    """

    target: str
    short_help: str
    below: tuple[str, ...] = ()

    def load(self) -> click.Command:
        """Import the command."""
        module, _, attribute = self.target.partition(":")
        command: click.Command = getattr(importlib.import_module(f"api.cli.{module}"), attribute)
        return command


class LazyCommands(MutableMapping[str, click.Command]):
    """The commands of a table by name, each imported when it is asked for."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        self._places = places
        self._loaded: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._loaded:
            self._loaded[name] = self._places[name].load()
        return self._loaded[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        raise TypeError(f"{name} goes into the table")

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{name} stays in the table")

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


class LazyGroup(OrderedGroup):
    """A group that knows of its commands by a table, so that its own help imports none of them."""

    def __init__(self, *arguments: Any, places: Mapping[str, Place], **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.places = places
        self.commands = LazyCommands(places)

    def names_below(self) -> Mapping[str, Collection[str]]:
        """Return the names of the commands of each group, from the table."""
        return {name: place.below for name, place in self.places.items()}

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.short_help) for name, place in self.places.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands and options that begin so."""
        begun = {name: place for name, place in self.places.items() if name.startswith(incomplete)}
        named = [CompletionItem(name, help=place.short_help) for name, place in begun.items()]
        # Not the one of `click.Group`, which asks every command for its help.
        return named + click.Command.shell_complete(self, ctx, incomplete)


class ListByDefault(OrderedGroup):
    """A group whose first word may be left out when it is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before what is no name of a command of ours; a name that is misspelt is refused."""
        known = {*self.commands, *ctx.help_option_names}
        if args and args[0] in known:
            return super().parse_args(ctx, args)
        if args and (meant := self._meant(args[0])) is not None:
            ctx.fail(
                f"No such command {args[0]!r}. Did you mean {meant!r}? What is really named {args[0]} goes after list: "
                f"`{ctx.command_path} list {args[0]}`."
            )
        if len(args) > 1 and not args[1].startswith("-"):
            self._refuse_foreign(ctx, args[0])
        return super().parse_args(ctx, ["list", *args])

    def _meant(self, word: str) -> str | None:
        near = difflib.get_close_matches(word, self.commands, n=1, cutoff=ALIKE)
        return next((name for name in near if abs(len(name) - len(word)) <= 1), None)
