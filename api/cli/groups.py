"""Commands whose help reads like a page of a manual, groups of them, and the group whose `list` goes without saying."""

import difflib

import click

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

    def _refuse_foreign(self, ctx: click.Context, word: str) -> None:
        if (meant := misuse.command(self, word)) is not None:
            ctx.fail(f"No such command {word!r}. Did you mean '{ctx.command_path} {meant}'?")


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
