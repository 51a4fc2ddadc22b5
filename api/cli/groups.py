"""Commands whose help reads like a page of a manual, groups of them, and groups that load a command when it is used.

A word that is no command or option is answered with what a person may have meant: other tools have other words.
"""

import difflib
import importlib
from collections.abc import Collection, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

import click
from click.shell_completion import CompletionItem

# How alike a word must be to the name of a command or an option to be taken for a slip of the finger: one letter.
ALIKE = 0.75
# Words of other tools, and ours for them; what has several is told by what the group has.
ALSO_CALLED: Mapping[str, tuple[str, ...]] = {
    "change": ("set",),
    "create": ("add",),
    "del": ("remove", "revoke"),
    "delete": ("remove", "revoke"),
    "describe": ("show",),
    "edit": ("set",),
    "find": ("where",),
    "get": ("show", "list"),
    "import": ("import-env",),
    "info": ("show",),
    "log": ("events",),
    "logs": ("events",),
    "ls": ("list",),
    "new": ("add", "create"),
    "ping": ("check",),
    "probe": ("check",),
    "rm": ("remove", "revoke"),
    "run": ("up",),
    "serve": ("up",),
    "show": ("list",),
    "start": ("up",),
    "test": ("check",),
    "update": ("set",),
    "which": ("where", "resolve"),
}
# Options of the name of a setting need no line here.
SETTINGS_OF_UP = {"--port": "API_PORT", "--host": "API_HOST", "--database": "DATABASE_URL"}


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
        if (meant := _meant_by(word, names=self.commands, below=self.names_below())) is not None:
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


def _meant_by(word: str, *, names: Collection[str], below: Mapping[str, Collection[str]]) -> str | None:
    """Return our word for a command of `names`, or with the group it is in if it is in one `below`."""
    for meant in (word, *ALSO_CALLED.get(word, ())):
        if meant in names:
            return meant
        for name, words in below.items():
            if meant in words:
                return f"{name} {meant}"
    return None


def unknown_option(error: click.NoSuchOption) -> click.UsageError:
    """Return what to say instead to an option that is not there."""
    name = error.option_name
    if error.ctx is not None and name == "--config":
        words = error.ctx.command_path.split(" ", 1)
        told = f"--config goes before the command: `{words[0]} --config FILE {words[-1]}`."
        return click.UsageError(told, ctx=error.ctx)
    if error.ctx is not None and error.ctx.info_name in {"up", "api", "monitor"}:
        setting = f"OLLAMA_FLEET_{SETTINGS_OF_UP.get(name, name.strip('-').replace('-', '_').upper())}"
        told = f"No such option {name!r}: settings are variables, as in {setting}=… before `{error.ctx.command_path}`."
        return click.UsageError(told, ctx=error.ctx)
    near = difflib.get_close_matches(name, error.possibilities or (), cutoff=ALIKE)
    return click.NoSuchOption(name, possibilities=near, ctx=error.ctx)
