"""Each benchmark runs, tiny: its figures mean nothing here, but it must not rot."""

import argparse
import json

import pytest

from tests.benchmarks.__main__ import BENCHMARKS

# They take half a minute each, and what they are made of is tried by tests of its own.
SLOW = frozenset({"crash", "dashboard"})


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in SLOW else ()) for name in BENCHMARKS]
)
async def test_the_benchmark_runs_and_gives_figures(name: str) -> None:
    benchmark = BENCHMARKS[name]
    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    figures = await benchmark.run(parser.parse_args(benchmark.SMOKE))
    assert figures
    assert json.loads(json.dumps(figures)) == figures
