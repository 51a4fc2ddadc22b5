"""Two kinds of command groups: one in the order a newcomer needs, one with a command that goes without saying."""

import click


class OrderedGroup(click.Group):
    """Lists its commands in the order they were written in."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)


class ListByDefault(OrderedGroup):
    """A group whose first word may be left out when it is `list`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `list` before what is no name of a command of ours."""
        known = {*self.commands, *ctx.help_option_names}
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])
