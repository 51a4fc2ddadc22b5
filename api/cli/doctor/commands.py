"""`ollama-fleet doctor`: looks at everything that has to work, and says of each thing that does not what to do."""

from typing import TYPE_CHECKING

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output
from api.cli.servers.commands import json_option

if TYPE_CHECKING:
    from api.cli.doctor.finding import Finding

EXIT_TROUBLE = 1
MARKS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED ", "skipped": "-      "}


@click.command(cls=Manual, epilog="Example: ollama-fleet doctor")
@json_option
@pass_invocation
def doctor(invocation: Invocation, *, as_json: bool) -> int:
    """Look at everything that has to work, and say what to do.

    That is the database, its schema and clock, whether notifications really arrive, whether a monitor is at work
    and every server was checked lately, whether the key ring opens every credential, the tokens of the API, host
    names, open files, the disk and the port. It changes nothing. Ends with 1 when something has failed.
    """
    from api.cli.doctor import round as examination  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    found: list[Finding] = []

    def show(finding: "Finding") -> None:
        found.append(finding)
        if not as_json:
            _print(finding)

    is_well = examination.go(invocation, show)
    if as_json:
        output.as_json(
            [{"subject": one.subject, "health": one.health, "seen": one.seen, "next": one.next} for one in found]
        )
    return 0 if is_well else EXIT_TROUBLE


def _print(finding: "Finding") -> None:
    lines = output.paragraph(f"{MARKS[finding.health]}  {finding.subject:<11}  ", finding.seen)
    if finding.next:
        lines += output.paragraph(" " * 22, finding.next)
    for line in lines:
        output.say(line)
