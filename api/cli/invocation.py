"""One run of a command: its settings, and the PostgreSQL that holds its fleet.

`up` loads all else while that PostgreSQL starts, so nothing here is slow to import.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import click

from monitor import settings as monitor_settings
from monitor.domain.errors import FleetError
from monitor.embedded import postgres as embedded
from monitor.embedded.state_folder import StateFolder
from monitor.settings import Settings

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

NO_FLEET = (
    "There is no fleet in {folder} yet. Start one with `ollama-fleet up`, or name the one that is meant: "
    "OLLAMA_FLEET_STATE_DIR is its folder, OLLAMA_FLEET_DATABASE_URL its database, OLLAMA_FLEET_API_URL its API."
)
NOT_OURS = (
    "The fleet in {folder} cannot be reached: {why}. Do it as the user that runs it, with sudo perhaps, ask its API "
    "(OLLAMA_FLEET_API_URL), or name a folder of yours in OLLAMA_FLEET_STATE_DIR."
)


class Invocation:
    """What the options before the command say, and what follows from it; nothing is opened before it is needed."""

    def __init__(self, config: Path | None) -> None:
        self.config = config

    @cached_property
    def settings(self) -> Settings:
        """The settings; ConfigurationError when they cannot be used."""
        return monitor_settings.load(self.config)

    @property
    def lacks_database(self) -> bool:
        """Whether the fleet is in the embedded PostgreSQL and that has never run."""
        is_embedded = self.settings.database_url is None and self.settings.api_url is None
        return is_embedded and not self._has_embedded

    @contextmanager
    def postgresql(self, *, makes: bool = False) -> Iterator[str]:
        """Yield the address of DATABASE_URL, else of the embedded PostgreSQL, which runs while the block does.

        Only what `makes` a fleet may bring that PostgreSQL into being; FleetError for all others where there is none.
        """
        if self.settings.database_url is not None:
            yield self.settings.database_url
            return
        if not makes and not self._has_embedded:
            raise FleetError(NO_FLEET.format(folder=self.settings.state_dir))
        with embedded.running(self.settings.state_dir) as server:
            yield server.dsn()

    @property
    def _has_embedded(self) -> bool:
        folder = StateFolder.at(self.settings.state_dir)
        try:
            return folder.data_dir.exists()
        except OSError as error:
            raise FleetError(NOT_OURS.format(folder=folder.state_dir, why=error.strerror)) from error


def pass_invocation(command: Callable[Concatenate[Invocation, Parameters], Result]) -> Callable[Parameters, Result]:
    """Give a command its invocation, which the options before its name decide."""

    @functools.wraps(command)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        return command(Invocation(click.get_current_context().obj), *arguments, **options)

    return run
