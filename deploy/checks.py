"""Runs every check and test of the project in one go, and ends with what failed or could not run.

`python deploy/checks.py [--long] [options and paths of pytest]`; exit code 1 when anything failed.
"""

import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(sys.executable).parent
# Most tests wait for sockets and processes most of the time, so three at once keep two cores at work.
SIDE_BY_SIDE = ("-n", "3", "--dist", "worksteal")
POSIX_SCRIPTS = tuple(
    f"deploy/{name}.sh" for name in ("run", "test", "setup", "install", "installation", "fleet_command")
)


@dataclass(slots=True)
class Report:
    """What came of the checks so far."""

    failed: list[str] = field(default_factory=list)
    not_run: list[str] = field(default_factory=list)

    def check(self, name: str, *commands: Sequence[str]) -> None:
        """Run the commands of one check, up to the first that fails, and print how it went."""
        say(f"== {name}")
        started = time.monotonic()
        passed = all(run(command) == 0 for command in commands)
        if not passed:
            self.failed.append(name)
        say(f"== {name}: {'ok' if passed else 'FAILED'} ({time.monotonic() - started:.1f} s)\n")

    def skip(self, name: str, reason: str) -> None:
        """Note a check that could not run."""
        self.not_run.append(f"{name}: {reason}")
        say(f"== {name}: not run, {reason}\n")

    def summary(self) -> str:
        """Return the last lines: what could not run, then what failed."""
        lines = [f"Not run: {what}" for what in self.not_run]
        lines += [f"Failed: {what}" for what in self.failed]
        return "\n".join([*lines, "Checks failed." if self.failed else "All checks passed."])


def say(text: str) -> None:
    """Print one line at once, so that it stands in order with what the tools print."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run(command: Sequence[str]) -> int:
    """Run a tool of the virtual environment, or of the system, at the root of the checkout."""
    local = TOOLS / command[0]
    program = str(local) if local.exists() else command[0]
    return subprocess.run([program, *command[1:]], cwd=ROOT, stdin=subprocess.DEVNULL, check=False).returncode


def check_sources(report: Report) -> None:
    """Check everything that can be checked without running the program."""
    report.check("lock files agree", ["python", "deploy/lock.py", "--check"])
    report.check("format", ["ruff", "format", "--check", "."])
    report.check("lint", ["ruff", "check", "."])
    report.check("types", ["mypy"], ["mypy", "deploy"])
    report.check("imports", ["lint-imports"])
    report.check("dependencies", ["deptry", "."])
    examples = sorted(str(script.relative_to(ROOT)) for script in (ROOT / "deploy/examples").glob("*.sh"))
    report.check(
        "shell scripts",
        ["shellcheck", "--external-sources", *POSIX_SCRIPTS, *examples, "tests/deploy/boot.sh", ".ci/run"],
    )
    if shutil.which("dash"):
        report.check("shell syntax", *(["dash", "-n", script] for script in POSIX_SCRIPTS))
    else:
        report.skip("shell syntax", "dash is missing")


def check_tests(report: Report, arguments: Sequence[str]) -> None:
    """Run the tests; the long ones measure as well what they reach, which doubles the time of the processor."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = Path(folder, "tests.xml")
        whole = all(argument == "--long" for argument in arguments)
        pytest = ["pytest", *(SIDE_BY_SIDE if whole else ()), f"--junit-xml={outcome}", *arguments]
        if whole and arguments:
            run(["coverage", "erase"])
            report.check("tests", ["coverage", "run", "-m", *pytest])
            run(["coverage", "combine", "--quiet"])
            report.check("coverage", ["coverage", "report", "--skip-covered"])
        else:
            report.check("tests", ["python", "-m", *pytest])
        if outcome.exists():
            report.not_run += skipped_tests(outcome)


def skipped_tests(outcome: Path) -> list[str]:
    """Return why tests could not run, and how many each time, from pytest's JUnit file."""
    skipped = ElementTree.parse(outcome).iter("skipped")
    reasons = Counter(one.get("message", "") for one in skipped if one.get("type") != "pytest.xfail")
    return [f"{count} tests: {reason}" for reason, count in reasons.items()]


def main() -> int:
    """Run all checks, however many fail, and return the exit code."""
    report = Report()
    check_sources(report)
    check_tests(report, sys.argv[1:])
    say(report.summary())
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
