"""Each benchmark runs, tiny: its figures mean nothing here, but it must not rot."""

import argparse
import json

import pytest

from tests.benchmarks.__main__ import BENCHMARKS


@pytest.mark.parametrize("name", BENCHMARKS)
async def test_the_benchmark_runs_and_gives_figures(name: str) -> None:
    benchmark = BENCHMARKS[name]
    parser = argparse.ArgumentParser()
    benchmark.add_options(parser)
    figures = await benchmark.run(parser.parse_args(benchmark.SMOKE))
    assert figures
    assert json.loads(json.dumps(figures)) == figures
