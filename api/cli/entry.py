"""The outermost part of the command: one clear line for each failure, and the exit code that goes with it."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from api.cli import commands, groups
from api.cli.commands import ollama_fleet
from api.cli.screen import text
from monitor.domain.errors import ConfigurationError, DatabaseRefusesError, FleetError

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIGURATION = 78
# What a shell shows for a program that Ctrl-C ended.
EXIT_INTERRUPTED = 130


def main() -> NoReturn:
    """Run the command with the arguments of the process, and end the process."""
    # A terminal that cannot show a character of a model's name gets it spelt out, not a traceback.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    completed = commands.answer_shell(ollama_fleet)
    sys.exit(run(sys.argv[1:]) if completed is None else completed)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = _invoke(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read us has read enough.
        _drop_output()
        return 0
    except OSError as error:
        _drop_output()
        return _fail(str(error), EXIT_FAILED)
    except (KeyboardInterrupt, click.Abort):
        click.echo(err=True)
        return EXIT_INTERRUPTED
    return code


def _invoke(arguments: Sequence[str]) -> int:
    try:
        with ollama_fleet.make_context("ollama-fleet", list(arguments)) as context:
            code = ollama_fleet.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.UsageError as error:
        (groups.unknown_option(error) if isinstance(error, click.NoSuchOption) else error).show()
        return EXIT_USAGE
    except click.ClickException as error:
        return _fail(error.format_message(), EXIT_FAILED)
    except (ConfigurationError, DatabaseRefusesError) as error:
        return _fail(str(error), EXIT_CONFIGURATION)
    except FleetError as error:
        return _fail(str(error), EXIT_FAILED)
    return code if isinstance(code, int) else 0


def _fail(message: str, code: int) -> int:
    click.echo(f"ollama-fleet: {text.printable(message)}", err=True)
    return code


def _drop_output() -> None:
    # What is still buffered must not fail once more when Python ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
