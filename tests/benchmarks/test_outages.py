"""The outages of the crash benchmark run, tiny: every death is told of, and no server that lives is said to be down."""

import argparse

import pytest

from tests.benchmarks import crash

# Of two servers one is a process of its own, and the monitor never doubts itself over fewer than three.
TINY = "--servers 2 --kill 1 --interval 2 --pause 1 --back-after 0.5"


@pytest.mark.parametrize("scenario", ["all-at-once", pytest.param("rolling", marks=pytest.mark.long)])
async def test_each_death_of_an_outage_is_told_of(scenario: str) -> None:
    parser = argparse.ArgumentParser()
    crash.add_options(parser)
    figures = await crash.run(parser.parse_args(["--scenario", scenario, *TINY.split()]))
    (case,) = figures["cases"]
    assert (case["scenario"], case["servers"], case["deaths"]) == (scenario, 2, 2)
    assert (case["missed"], case["false_downs"]) == (0, 0)
    assert case["known_ms_p50"] <= case["known_ms_max"]
