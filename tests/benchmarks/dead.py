"""Until when a dead server is still named by three APIs, when much of the fleet dies at once: in many rounds."""

import argparse
import random
import time
from collections.abc import Sequence
from typing import Any

from tests.acceptance import installation, mass_death
from tests.acceptance.mass_death import GRACE, Round, Terms
from tests.benchmarks import stage

# Enough to see that it works.
SMOKE = ("--servers", "6", "--rounds", "1", "--share", "0.1", "--seconds", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how big the fleet is, and how much of it dies."""
    parser.add_argument(
        "--servers", type=int, nargs="+", default=[30], help="of one fleet, which grows if there are more"
    )
    parser.add_argument("--rounds", type=int, default=20, help="of each size")
    parser.add_argument("--share", type=_share, default=(0.5, 0.9), help="share of the servers that dies, as 0.5-0.9")
    parser.add_argument("--seconds", type=float, default=1.8, help="how long the APIs are asked after a death")
    parser.add_argument("--rate", type=float, default=50.0, help="questions per second")
    parser.add_argument("--seed", type=int, default=None, help="of a run that is to be repeated")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Play all rounds on one installation, from the smallest fleet to the biggest."""
    seed = time.time_ns() if options.seed is None else options.seed
    chance = random.Random(seed)
    terms = Terms(least=options.share[0], most=options.share[1], seconds=options.seconds, rate=options.rate)
    async with stage.database() as dsn, installation.at_work(dsn, most=max(options.servers)) as at_work:
        sizes = [
            _figures([await mass_death.play(at_work, servers, terms, chance) for _ in range(options.rounds)])
            for servers in sorted(options.servers)
        ]
    return {"share": list(options.share), "seed": seed, "sizes": sizes}


def _figures(rounds: Sequence[Round]) -> dict[str, Any]:
    """Return what came of the rounds of one size; a round in which no dead server was named counts as 0 ms."""
    named = [[late * 1000 for late, _ in played.dead_named(after=0.0)] for played in rounds]
    last = [max(lateness, default=0.0) for lateness in named]
    return {
        "servers": rounds[0].servers,
        "rounds": len(rounds),
        "deaths": sum(len(played.died) for played in rounds),
        "answers": sum(len(played.answers) for played in rounds),
        "answers_without_a_server": sum(len(played.refused()) for played in rounds),
        "answers_with_a_dead_server": sum(len(lateness) for lateness in named),
        "of_those_too_late": sum(late > GRACE * 1000 for lateness in named for late in lateness),
        "last_named_dead_ms_p50": round(stage.percentile(last, 0.5)),
        "last_named_dead_ms_p99": round(stage.percentile(last, 0.99)),
        "last_named_dead_ms_max": round(max(last)),
    }


def _share(text: str) -> tuple[float, float]:
    least, _, most = text.partition("-")
    return float(least), float(most or least)
