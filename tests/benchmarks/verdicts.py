"""A matrix of faults in virtual time: how many servers are said to be down that are not, and how soon those that are.

The monitor's real checks, guard and connection watch run over a simulated network (`tests/virtual`). Beside them, the
same faults are judged by two other programs' rules. A day has one incident of the row's kind per fleet; the rest of
it is quiet, when nothing fails and so nothing is said to be down: of each day only the minutes around its incident
are lived through.
"""

import argparse
import asyncio
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

from tests.benchmarks import stage
from tests.virtual import day
from tests.virtual.day import JUDGES, OURS, Tally
from tests.virtual.references import RULES
from tests.virtual.rows import ROWS, Truth

Cells = dict[tuple[str, int], Tally]

# As many days as cost about the same time for each size of fleet, and give many incidents of each kind.
DAYS = {3: 12, 100: 2, 1000: 1}
PER = 1000
# Enough to see that it works.
SMOKE = ("--servers", "3", "--days", "1", "--rows", "stall 5", "dns 10", "kill -9, some", "--processes", "1")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Say how large the fleets are, what befalls them and how often."""
    parser.add_argument("--servers", type=int, nargs="+", default=list(DAYS))
    parser.add_argument("--days", type=int, help="days of each fleet in each row; more of small fleets without it")
    parser.add_argument("--rows", nargs="+", default=[""], help="only the rows that begin so, as: loss 'dns 10 s'")
    parser.add_argument("--incidents-per-day", type=float, default=1.0, help="of a row's kind, for each fleet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="how many work side by side")


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Live through all incidents of all cells."""
    names = [name for name in ROWS if name.startswith(tuple(options.rows))]
    loop = asyncio.get_running_loop()
    with _workers(options.processes) as pool:
        # The largest first, so that none is left over for one process alone.
        waiting = {
            (name, servers): loop.run_in_executor(pool, _cell, name, servers, _days(options, servers), options.seed)
            for servers in sorted(options.servers, reverse=True)
            for name in names
        }
        cells = {place: await tally for place, tally in waiting.items()}
    for tally in cells.values():
        tally.server_days /= options.incidents_per_day
    return {
        "seed": options.seed,
        "incidents_per_day": options.incidents_per_day,
        "judges": {OURS: "the monitor's own code", **{name: rule.meaning for name, rule in RULES.items()}},
        **_figures(cells, names, options.servers),
    }


def _figures(cells: Cells, names: Sequence[str], sizes: Sequence[int]) -> dict[str, Any]:
    rows = {name: _sum(cells, names=[name]) for name in names}
    false = {name: tally.false[OURS] for name, tally in rows.items() if tally.false[OURS]}
    apart = [name for name in names if ROWS[name].truth is Truth.CUT_OFF]
    told = [name for name in names if name not in apart]
    return {
        "false_downs_per_1000_server_days": {
            name: {"truth": ROWS[name].truth, **{str(servers): _rates(cells[name, servers]) for servers in sizes}}
            for name in names
        },
        "detection_s": {name: _detection(rows[name]) for name in names if ROWS[name].truth is Truth.DEAD},
        **{f"total_{servers}": _total(_sum(cells, names=told, sizes=[servers])) for servers in sizes},
        "total": {**_total(_sum(cells, names=told)), "detection_s": _detection(_sum(cells))},
        "not_in_the_totals": _total(_sum(cells, names=apart)),
        "our_false_downs": dict(sorted(false.items(), key=lambda item: -item[1])),
    }


def _workers(processes: int) -> Executor:
    if processes == 1:
        return ThreadPoolExecutor(max_workers=1)
    return ProcessPoolExecutor(max_workers=processes, mp_context=multiprocessing.get_context("spawn"))


def _days(options: argparse.Namespace, servers: int) -> int:
    days: int = options.days or DAYS.get(servers, max(1, PER // servers))
    return days


def _cell(name: str, servers: int, days: int, seed: int) -> Tally:
    """Live through the incidents of one cell; each has a seed of its own, whatever else is run."""
    tally = Tally()
    for number in range(days):
        tally.add(day.live(ROWS[name], servers=servers, seed=f"{seed} {name} {servers} {number}"))
        tally.server_days += servers
    return tally


def _sum(cells: Cells, *, names: Sequence[str] | None = None, sizes: Sequence[int] | None = None) -> Tally:
    total = Tally()
    for (name, servers), tally in cells.items():
        if (names is None or name in names) and (sizes is None or servers in sizes):
            total.add(tally)
    return total


def _rates(tally: Tally) -> dict[str, float]:
    return {name: round(tally.false[name] / tally.server_days * PER, 2) for name in JUDGES}


def _total(tally: Tally) -> dict[str, Any]:
    ours = tally.false[OURS]
    return {
        "server_days": round(tally.server_days),
        "false_downs": {name: tally.false[name] for name in JUDGES},
        "false_downs_per_1000_server_days": _rates(tally) if tally.server_days else {},
        # With none of ours it is at least so many.
        "times_fewer_than": {name: round(tally.false[name] / max(1, ours), 1) for name in JUDGES if name != OURS},
        "deaths_missed": {name: tally.missed[name] for name in JUDGES},
    }


def _detection(tally: Tally) -> dict[str, Any]:
    found = {name: tally.detection[name] for name in JUDGES} | {"first bad answer to us": tally.suspected}
    return {
        name: {f"p{share}": round(stage.percentile(delays, share / 100), 2) for share in (50, 99)}
        for name, delays in found.items()
        if delays
    }
