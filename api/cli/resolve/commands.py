"""`ollama-fleet resolve`: which server is to be taken, by the same rules as over REST."""

from typing import Any

import click

from api.cli.groups import Manual
from api.cli.invocation import Invocation, pass_invocation
from api.cli.servers import fields as server_fields


@click.command(cls=Manual, epilog="Example: ollama-fleet resolve llama3.2:3b --explain")
@click.argument("name", metavar="[MODEL]", required=False)
@click.option("--url", "server_url", metavar="URL", help="The server at this URL; one that nobody registered will do.")
@click.option("--model", metavar="MODEL", help="The same as MODEL.")
@click.option("--session", metavar="TEXT", help="Keep to one server of equal ones: the same text gets the same one.")
@click.option("--candidates", type=click.IntRange(1, 20), default=1, metavar="N", help="So many servers, best first.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Only a server with this label; may be repeated.")
@click.option("--site", metavar="SITE", help="Only a server of this site.")
@click.option("--capability", multiple=True, metavar="C", help="Only a model with this capability; may be repeated.")
@click.option("--api", type=click.Choice(("native", "openai")), help="Only a server that speaks this API.")
@click.option("--explain", is_flag=True, help="Tell which rule matched, and why each other server was passed over.")
@click.option("--cloud", is_flag=True, help="A model that only runs in a cloud will do: prompts may leave the house.")
@click.option("--headers", "with_headers", is_flag=True, help="Also the headers to send, the credential in the clear.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of text for a person.")
@pass_invocation
def resolve(
    invocation: Invocation,
    /,
    *,
    name: str | None,
    server_url: str | None,
    model: str | None,
    session: str | None,
    label: tuple[str, ...],
    capability: tuple[str, ...],
    with_headers: bool,
    as_json: bool,
    **others: Any,
) -> None:
    """Tell which server to take.

    With --url the server there, whatever its health; with a MODEL the best available server that has it; without
    both the default server. No environment and no configuration file of other programs is looked at.
    """
    if None not in (name, model) and name != model:
        raise click.UsageError("MODEL and --model name two models; give one.")
    from api.cli.resolve import view as resolve_view  # noqa: PLC0415  (0.5 s that `--help` need not wait for)
    from monitor.domain.selection import Request  # noqa: PLC0415

    request = Request(
        server_url=server_url,
        model=name if model is None else model,
        labels=tuple(server_fields.labels(label).items()),
        capabilities=capability,
        **others,
    )
    resolve_view.show(invocation, request, session=session, with_headers=with_headers, as_json=as_json)
