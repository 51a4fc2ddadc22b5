"""Rounds in which much of a fleet dies at once, while programs go on asking which server to take."""

import asyncio
import random
import time
from dataclasses import dataclass

from tests.acceptance.installation import APIS, Answer, Installation

# How much later than the death of a server a question may still be answered with it.
GRACE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What happens in a round: which share of the servers dies, and for how long APIs are asked, how often a second."""

    least: float = 0.5
    most: float = 0.9
    seconds: float = 1.8
    rate: float = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What was answered; `died` has the monotonic time of each death by the URL of the server."""

    servers: int
    died: dict[str, float]
    answers: list[Answer]

    def refused(self) -> list[Answer]:
        """Return the answers that named no server, although some were alive all the time."""
        return [answer for answer in self.answers if answer.base_url is None]

    def dead_named(self, *, after: float) -> list[tuple[float, Answer]]:
        """Return the answers that name a server which was dead for longer, and for how many seconds it was."""
        named = [
            (answer.asked_at - self.died.get(answer.base_url or "", float("inf")), answer) for answer in self.answers
        ]
        return [(late, answer) for late, answer in named if late > after]


async def play(installation: Installation, servers: int, terms: Terms, chance: random.Random) -> Round:
    """Kill at random, and ask from that moment on; the server that would have been taken is among the dead."""
    await installation.prepare(servers)
    named = installation.urls.index((await installation.resolve(0)).base_url or "")
    others = [index for index in range(servers) if index != named]
    count = max(1, min(servers - 1, round(servers * chance.uniform(terms.least, terms.most))))
    dead = [named, *chance.sample(others, count - 1)]
    died, answers = await asyncio.gather(installation.kill(dead), _ask(installation, terms))
    return Round(servers=servers, died=died, answers=answers)


async def _ask(installation: Installation, terms: Terms) -> list[Answer]:
    """Ask the APIs in turn at a pace, however long an answer takes."""
    began = time.monotonic()
    asking = []
    async with asyncio.TaskGroup() as group:
        for number in range(round(terms.seconds * terms.rate)):
            await asyncio.sleep(began + number / terms.rate - time.monotonic())
            asking.append(group.create_task(installation.resolve(number % APIS)))
    return [each.result() for each in asking]
