"""What two other programs' rules make of the same faults: the yardstick.

Both ask each server at a fixed interval, whatever it answered last. Gatus takes a server down at the first answer
other than 200. Consul, with `failures_before_critical` 3, does at the third failure in a row, and 429 is none to it.
Both are up again after one good answer.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from monitor.domain.probe import Reason
from tests.virtual.network import Client
from tests.virtual.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Down:
    """That a server was said to be down."""

    number: int
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How many failures in a row take a server down, and which answers are none."""

    failures: int
    good: frozenset[Reason]
    meaning: str

    def judge(self, number: int, answers: list[tuple[float, Reason]]) -> Iterator[Down]:
        """Return when a server is taken down by these answers."""
        bad = 0
        for at, reason in answers:
            bad = 0 if reason in self.good else bad + 1
            if bad == self.failures:
                yield Down(number=number, at=at)


RULES = {
    "gatus": Rule(
        failures=1,
        good=frozenset({Reason.OK}),
        meaning="down at the first answer other than 200, at a fixed interval",
    ),
    "consul": Rule(
        failures=3,
        good=frozenset({Reason.OK, Reason.BUSY}),
        meaning="down at the third failure in a row, at a fixed interval; 429 is none",
    ),
}


def judge(
    trace: Trace, client: Client, chance: random.Random, *, interval: float, patience: float
) -> dict[str, list[Down]]:
    """Return whom each rule takes down, and when."""
    downs: dict[str, list[Down]] = {name: [] for name in RULES}
    for number in range(trace.servers):
        answers = list(_answers(trace, client, number, trace.begin + interval * chance.random(), interval, patience))
        for name, rule in RULES.items():
            downs[name] += rule.judge(number, answers)
    return downs


def _answers(
    trace: Trace, client: Client, number: int, first: float, interval: float, patience: float
) -> Iterator[tuple[float, Reason]]:
    """Ask a server until the trace ends; an answer that a standstill kept until the time-out was due is none."""
    due = first
    while due < trace.end:
        began = trace.awake(due)
        outcome = client.ask(number, began, patience=patience)
        seen = trace.awake(outcome.at)
        reason = outcome.reason
        if seen > outcome.at and seen >= began + patience:
            client.give_up(number)
            reason = Reason.TIMEOUT
        yield seen, reason
        due = max(due + interval, seen)
