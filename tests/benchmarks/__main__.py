"""`python -m tests.benchmarks NAME [--option …]`: measures one thing and prints one JSON object.

Figures of different runs do not compare on a shared machine; every benchmark therefore measures a
plain reference in the same run and gives the ratio.
"""

import argparse
import asyncio
import json
import sys

from tests.benchmarks import (
    checks,
    crash,
    dashboard,
    dead,
    delivery,
    fleet,
    history,
    listing,
    metrics,
    replay,
    resolve,
    routing,
    start,
    stream,
    verdicts,
    watch,
)

BENCHMARKS = {
    "checks": checks,
    "crash": crash,
    "dashboard": dashboard,
    "dead": dead,
    "delivery": delivery,
    "fleet": fleet,
    "history": history,
    "listing": listing,
    "metrics": metrics,
    "replay": replay,
    "resolve": resolve,
    "routing": routing,
    "start": start,
    "stream": stream,
    "verdicts": verdicts,
    "watch": watch,
}


def main() -> None:
    """Run the named benchmark."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for name, module in BENCHMARKS.items():
        module.add_options(names.add_parser(name, description=module.__doc__))
    options = parser.parse_args()
    figures = asyncio.run(BENCHMARKS[options.name].run(options))
    sys.stdout.write(json.dumps({"benchmark": options.name, **figures}, indent=2) + "\n")


if __name__ == "__main__":
    main()
