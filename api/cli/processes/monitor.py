"""`ollama-fleet monitor`: the monitor as a process of its own."""

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from monitor import __main__ as process
from monitor import logs


@click.command(cls=Manual, epilog="Example: OLLAMA_FLEET_DATABASE_URL=postgresql://fleet@db/fleet ollama-fleet monitor")
@pass_invocation
def monitor(invocation: Invocation) -> int:
    """Run the monitor alone.

    That is for a service manager. A second monitor on the same database stands by and takes over.
    """
    dsn = invocation.settings.required_database_url()
    logs.configure(invocation.settings.log_format, invocation.settings.log_level)
    return process.run(invocation.settings, dsn=dsn)
