"""Each benchmark runs, tiny: its figures mean nothing here, but it must not rot."""

import argparse
import json

import pytest

from tests.benchmarks.__main__ import BENCHMARKS

# Those that begin with a fleet, processes and a browser take minutes together; what they use is tried by other tests.
QUICK = frozenset({"delivery", "listing", "replay", "routing", "verdicts"})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.long) for name in BENCHMARKS]
)
async def test_the_benchmark_runs_and_gives_figures(name: str) -> None:
    benchmark = BENCHMARKS[name]
    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    figures = await benchmark.run(parser.parse_args(benchmark.SMOKE))
    assert figures
    assert json.loads(json.dumps(figures)) == figures
