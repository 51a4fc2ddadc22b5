"""How an examination of a server is shown: a line for each step, the verdict, and what to do next."""

import shlex
from collections.abc import Iterator
from typing import Any

from api.cli.screen import output, text
from api.cli.screen.column import Column
from api.cli.servers.examiner import Subject
from monitor.domain import reasons
from monitor.domain.probe import Reason
from monitor.ollama.examination import Examination

COLUMNS = (Column(title="STEP"), Column(title=""), Column(title="TIME", right=True), Column(title="SEEN"))
MILLISECONDS = 1000


def lines(subject: Subject, examination: Examination) -> Iterator[str]:
    """Yield what a person reads."""
    server = subject.server
    who = f"{server.name} at {server.url}" if subject.is_registered else server.url
    seconds = server.policy.timeout.total_seconds()
    yield text.printable(f"{who}, asked from this machine, with {seconds:g} s for an answer")
    yield ""
    rows = [
        (step.name, "ok" if step.ok else "FAILED", f"{step.seconds * MILLISECONDS:.1f} ms", text.printable(step.seen))
        for step in examination.steps
    ]
    yield from output.aligned(COLUMNS, rows)
    yield ""
    yield from output.paragraph("Verdict  ", _verdict(examination))
    yield from output.paragraph("Next     ", _advice(subject, examination))
    # A blocked address would be refused there, too.
    if not subject.is_registered and examination.result.reason is not Reason.BLOCKED:
        yield text.printable(f"Add it   ollama-fleet servers add NAME {shlex.quote(examination.url)}")


def document(subject: Subject, examination: Examination) -> dict[str, Any]:
    """Return the same for a program."""
    result = examination.result
    latency = None if result.latency is None else round(result.latency.total_seconds() * MILLISECONDS, 3)
    return {
        "url": examination.url,
        "name": subject.server.name if subject.is_registered else None,
        "is_registered": subject.is_registered,
        "timeout_seconds": subject.server.policy.timeout.total_seconds(),
        "is_alive": examination.is_alive,
        "reason": result.reason,
        "detail": result.detail,
        "server_version": result.server_version,
        "latency_ms": latency,
        "trouble": examination.trouble,
        "advice": _advice(subject, examination),
        "steps": [
            {"name": step.name, "ok": step.ok, "ms": round(step.seconds * MILLISECONDS, 3), "seen": step.seen}
            for step in examination.steps
        ],
    }


def _advice(subject: Subject, examination: Examination) -> str:
    name = shlex.quote(subject.server.name) if subject.is_registered else "NAME"
    return reasons.advice(examination.trouble, examination.url, name=name)


def _verdict(examination: Examination) -> str:
    result = examination.result
    if result.reason is not Reason.OK:
        return f"{result.reason}: {result.detail}"
    version = f", Ollama {result.server_version}" if result.server_version else ""
    if examination.trouble is Reason.LIST_FAILED:
        return f"ok{version}, but the list of its models fails, which makes it degraded: {Reason.LIST_FAILED}"
    return f"ok{version}"
