"""`ollama-fleet status`: one screen that says what is wrong now, since when, why, and what to do."""

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import repetition
from api.cli.servers.commands import json_option


@click.command(cls=Manual, epilog="Example: ollama-fleet status || mail -s 'fleet' ops@example.org")
@repetition.option
@json_option
@pass_invocation
def status(invocation: Invocation, *, watch: float | None, as_json: bool) -> int:
    """Show what is wrong now, since when, why, and what to do.

    Ends with 0 when nothing is wrong and with 1 when something is, so that scripts can ask, too. A suspect server
    (bad answers, no verdict yet) counts as wrong: a script that wants only verdicts reads them from --json. With
    --watch it shows it again and again, until Ctrl-C.
    """
    from api.cli.status import desk as status_desk  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    return status_desk.show(invocation, every=watch, as_json=as_json)
