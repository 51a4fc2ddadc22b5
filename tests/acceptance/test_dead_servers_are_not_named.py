"""Most of a fleet dies at once: half a second later no API names a dead server, as long as one that serves is left."""

import os
import random
import time

import pytest

from tests.acceptance import installation, mass_death
from tests.acceptance.installation import Installation
from tests.acceptance.mass_death import GRACE, Round, Terms

# Sizes of the fleet, one after the other, and the rounds of each.
SHORT = [((6, 1), (15, 1), (30, 1))]
LONG = [((6, 300),), ((20, 300),), ((100, 250),), ((300, 100),), ((1000, 50),)]
# A round takes 4 s, most of them to ask and to have the dead back.
LONG_TIMEOUT = 3600


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """With `--long` a thousand rounds, each size with processes of its own."""
    long = [pytest.param(plan, marks=pytest.mark.timeout(LONG_TIMEOUT)) for plan in LONG]
    metafunc.parametrize("plan", long if metafunc.config.getoption("--long") else SHORT, ids=str)


async def test_half_a_second_after_a_mass_death_no_dead_server_is_named(
    dsn: str, plan: tuple[tuple[int, int], ...]
) -> None:
    seed = time.time_ns()
    chance = random.Random(seed)
    async with installation.at_work(dsn, most=max(servers for servers, _ in plan)) as at_work:
        for servers, rounds in plan:
            for number in range(1, rounds + 1):
                played = await mass_death.play(at_work, servers, Terms(), chance)
                if played.refused() or played.dead_named(after=GRACE):
                    pytest.fail(f"Round {number} with seed {seed}: {await _report(at_work, played)}")


async def _report(at_work: Installation, played: Round) -> str:
    """Return what went wrong, and what the tables say of the server that was named at last."""
    named, refused = played.dead_named(after=GRACE), played.refused()
    lines = [
        f"{len(played.died)} of {played.servers} servers died, {len(played.answers)} questions were asked, "
        f"with {os.getloadavg()[0]:.1f} processes at work on {os.cpu_count()} cores."
    ]
    if refused:
        lines.append(f"{len(refused)} answers named no server, with the status {refused[0].status}.")
    if named:
        late, worst = max(named, key=lambda one: one[0])
        lines.append(
            f"{len(named)} answers named a dead server too late, the last one by API {worst.api} {late * 1000:.0f} ms "
            f"after the death of {worst.base_url}, when that API knew of event {worst.seq}. The tables:"
        )
        lines.append(await at_work.record(worst.base_url or ""))
    return "\n    ".join(lines)
