"""`ollama-fleet completion`: what a shell needs to complete commands, options and names of servers."""

import os

import click
from click import shell_completion

from api.cli.groups import Manual

VARIABLE = "_OLLAMA_FLEET_COMPLETE"
PROGRAM = "ollama-fleet"
SHELLS = ("bash", "zsh", "fish")


@click.command(
    cls=Manual, epilog="Example: ollama-fleet completion bash > ~/.local/share/bash-completion/completions/ollama-fleet"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that teaches SHELL to complete our commands.

    Put it where the shell looks for such scripts, or `eval "$(ollama-fleet completion bash)"` in its start file.
    """
    kind = shell_completion.get_completion_class(shell)
    assert kind is not None  # click knows each of SHELLS.
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())


def answer(group: click.Group) -> int | None:
    """Answer a shell that asks what may follow; None when none asks. Returns the exit code."""
    instruction = os.environ.get(VARIABLE)
    if instruction is None:
        return None
    return shell_completion.shell_complete(group, {}, PROGRAM, VARIABLE, instruction)
