"""`ollama-fleet api`: the API as a process of its own."""

import click

from api import __main__ as process
from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet api")
@pass_invocation
def api(invocation: Invocation) -> int:
    """Run the API alone.

    That is for a service manager.
    """
    return process.run(invocation.settings)
