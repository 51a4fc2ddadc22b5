"""Asks the resolver of the fleet, and shows the answer to a person."""

from collections.abc import Iterator

from api.cli.invocation import Invocation
from api.cli.screen import output, text, wording
from api.cli.screen.column import Column
from api.fleet.refusals import Refused
from api.fleet.resolution.answers import ExplanationView, Resolution
from monitor.domain.selection import Request

RULES = {1: "the URL that was asked for", 2: "the best server for the model", 3: "nothing was asked for"}
COLUMNS = (Column(title="PASSED OVER", wraps=True), Column(title="WHY", wraps=True))


CANDIDATES = (Column(title="NEXT BEST"), Column(title="STATUS"), Column(title="BASE URL"))


def show(invocation: Invocation, request: Request, *, session: str | None, with_headers: bool, as_json: bool) -> None:
    """Print where to go; a refusal is raised on as a `Refused`, after its explanation was printed."""
    try:
        answer = invocation.on_fleet(
            lambda reach: reach.resolver.resolve(request, session=session, with_headers=with_headers)
        )
    except Refused as problem:
        if as_json:
            output.as_json(problem.document() | {"detail": wording.sentence(problem)})
        elif "explanation" in problem.facts:
            _say_explanation(problem.facts["explanation"])
        raise
    if as_json:
        output.as_json(answer)
        return
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
