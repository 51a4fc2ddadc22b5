"""How the answer to `servers check` is shown: the verdict, and what to do when it is not a good one."""

import shlex
from collections.abc import Iterator
from typing import Any

from api.cli.screen import output, text
from api.fleet.views import CheckAnswer
from monitor.domain import reasons
from monitor.domain.availability import Status
from monitor.domain.probe import Reason

STAYS_DOWN = (
    "It goes up and down too often, so it stays down until it keeps still; "
    "`ollama-fleet events --type server.down` shows when it fell."
)
COMES_BACK = (
    "It answers well again, and comes back after some good checks in a row (--rise), which follow at once; look again "
    "in a moment."
)


def is_well(answer: CheckAnswer) -> bool:
    """Return whether the server is up, and has answered well just now."""
    return answer.server.status == Status.UP and answer.probe.reason == Reason.OK


def lines(answer: CheckAnswer) -> Iterator[str]:
    """Yield what the server is now and what the probe said, and what to do next."""
    probe = answer.probe
    latency = "" if probe.latency_ms is None else f" in {text.milliseconds(probe.latency_ms)}"
    detail = f": {probe.detail}" if probe.detail else ""
    yield from output.paragraph("", f"{answer.server.name} is {answer.server.status}; {probe.reason}{latency}{detail}")
    if not is_well(answer) and (sentence := next_step(answer)):
        yield from output.paragraph("Next: ", sentence)


def document(answer: CheckAnswer) -> dict[str, Any]:
    """Return the same for a program."""
    return {**answer.model_dump(mode="json"), "advice": next_step(answer)}


def next_step(answer: CheckAnswer) -> str:
    """Return what to do, nothing about a reason that only a later version knows."""
    server, probe = answer.server, answer.probe
    if probe.reason == Reason.OK and server.status == Status.DOWN:
        return COMES_BACK if server.flapping_since is None else STAYS_DOWN
    told = probe.reason if probe.reason != Reason.OK else server.status_reason
    reason = reasons.known(told)
    return "" if reason is None else reasons.advice(reason, server.url, name=shlex.quote(server.name))
