"""`ollama-fleet resolve`: which server is to be taken and why, by the same rules as over REST."""

from collections.abc import Iterator
from typing import Any

import click

from api.cli import sessions
from api.cli.arguments import json_option
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output, text, wording
from api.cli.screen.output import Column
from api.cli.servers.options import labels
from api.fleet.refusals import Refused
from api.fleet.resolution.answers import ExplanationView, Resolution
from monitor.domain.selection import Request

RULES = {1: "the URL that was asked for", 2: "the best server for the model", 3: "nothing was asked for"}
COLUMNS = (Column(title="PASSED OVER", wraps=True), Column(title="WHY", wraps=True))
CANDIDATES = (Column(title="NEXT BEST"), Column(title="STATUS"), Column(title="BASE URL"))


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
@json_option
@sessions.coroutine
async def resolve(
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

    request = Request(
        server_url=server_url,
        model=name if model is None else model,
        labels=tuple(labels(label).items()),
        capabilities=capability,
        **others,
    )
    try:
        async with sessions.fleet(invocation) as fleet:
            answer = await fleet.resolver.resolve(request, session=session, with_headers=with_headers)
    except Refused as problem:
        if as_json:
            output.as_json(problem.document() | {"detail": wording.sentence(problem)})
        elif "explanation" in problem.facts:
            _say_explanation(problem.facts["explanation"])
        raise
    if as_json:
        output.as_json(answer)
    else:
        _show(answer)


def _show(answer: Resolution) -> None:
    output.fields(_fields(answer))
    for line in _warnings(answer):
        output.note(line)
    if answer["candidates"]:
        output.say()
        output.table(CANDIDATES, list(_candidates(answer)), empty="")
    if answer["explanation"] is not None:
        output.say()
        _say_explanation(answer["explanation"])


def _candidates(answer: Resolution) -> Iterator[list[str]]:
    for candidate in answer["candidates"]:
        server = candidate["server"]
        if server is not None:
            state = f"{server['status']}, suspect" if candidate["suspect"] else server["status"]
            yield [text.printable(server["name"]), state, text.printable(candidate["base_url"])]


def _fields(answer: Resolution) -> Iterator[tuple[str, str]]:
    yield "base_url", text.printable(answer["base_url"])
    server = answer["server"]
    if server is None:
        yield "server", "not registered (dynamic)"
    else:
        reason = "" if server["status_reason"] in (None, "ok") else f": {server['status_reason']}"
        yield "server", text.printable(f"{server['name']} ({server['status']}{reason})")
    if answer["model_name"] is not None:
        yield "model", text.printable(answer["model_name"]) + (" (in memory)" if answer["loaded"] else "")
    yield "max_concurrent", str(answer["max_concurrent"])
    if "headers" in answer:
        yield from (("header", text.printable(f"{name}: {value}")) for name, value in answer["headers"].items())
    yield "rule", f"{answer['rule']}, {RULES[answer['rule']]}"


def _warnings(answer: Resolution) -> Iterator[str]:
    server = answer["server"]
    if server is None:
        yield "No registered server has this URL, so nobody checks it; it was not saved."
        return
    name = text.printable(server["name"])
    if not answer["available"]:
        detail = "" if server["status_detail"] is None else f" {text.printable(server['status_detail'])}"
        yield f"{name} is not available now: {server['status']}.{detail}"
    if answer["suspect"]:
        yield f"{name} is suspect: bad answers have been seen, and there is no verdict yet."
    if answer["stale"]:
        yield f"What is known of {name} is old; does a monitor run?"
    if answer["model_known"] is False:
        yield f"{name} is not known to have this model."
    if answer["remote_host"] is not None:
        yield f"The model runs at {text.printable(answer['remote_host'])}: prompts go there."


def _say_explanation(explanation: ExplanationView) -> None:
    output.say(text.printable(explanation["sentence"]))
    rows = [[text.printable(one["name"]), text.printable(one["reason"])] for one in explanation["passed_over"]]
    if rows:
        output.say()
        output.table(COLUMNS, rows, empty="")
    if explanation["more"]:
        output.say(f"… and {explanation['more']} more.")
