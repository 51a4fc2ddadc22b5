"""`ollama-fleet resolve`: which server is to be taken, by the same rules as over REST."""

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation


@click.command(cls=Manual, epilog="Example: ollama-fleet resolve llama3.2:3b --explain")
@click.argument("name", metavar="[MODEL]", required=False)
@click.option("--url", "server_url", metavar="URL", help="The server at this URL; one that nobody registered will do.")
@click.option("--model", metavar="MODEL", help="The same as MODEL.")
@click.option("--explain", is_flag=True, help="Tell which rule matched, and why each other server was passed over.")
@click.option("--cloud", is_flag=True, help="A model that only runs in a cloud will do: prompts may leave the house.")
@click.option("--headers", "with_headers", is_flag=True, help="Also the headers to send, the credential in the clear.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text for a person.")
@pass_invocation
def resolve(
    invocation: Invocation,
    *,
    name: str | None,
    server_url: str | None,
    model: str | None,
    explain: bool,
    cloud: bool,
    with_headers: bool,
    as_json: bool,
) -> None:
    """Tell which server to take.

    With --url the server there, whatever its health; with a MODEL the best available server that has it; without
    both the default server. No environment and no configuration file of other programs is looked at.
    """
    if None not in (name, model) and name != model:
        raise click.UsageError("MODEL and --model name two models; give one.")
    from api.cli.resolve import view as resolve_view  # noqa: PLC0415  (0.5 s that `--help` need not wait for)
    from monitor.domain.resolver import Request  # noqa: PLC0415

    wanted = name if model is None else model
    request = Request(server_url=server_url, model=wanted, explain=explain, cloud=cloud)
    resolve_view.show(invocation, request, with_headers=with_headers, as_json=as_json)
