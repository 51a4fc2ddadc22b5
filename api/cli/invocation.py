"""One run of the command: its settings, its database, and the registry that most commands work on."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from api.cli.screen import output
from monitor.domain.errors import FleetError

if TYPE_CHECKING:
    from api.cli.reach import FleetRegistry, Reach
    from monitor.postgres.database import Database
    from monitor.settings import Settings

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
    """What the options before the command say, and what follows from it; nothing is loaded before it is needed."""

    def __init__(self, config: Path | None) -> None:
        self.config = config

    @cached_property
    def settings(self) -> "Settings":
        """The settings; ConfigurationError when they cannot be used."""
        from monitor import settings  # noqa: PLC0415  (0.3 s that `--help` need not wait for)

        return settings.load(self.config)

    @property
    def lacks_database(self) -> bool:
        """Whether the fleet is in the embedded PostgreSQL and that has never run."""
        is_embedded = self.settings.database_url is None and self.settings.api_url is None
        return is_embedded and not self._has_embedded

    @contextmanager
    def database(self, *, makes: bool = False) -> Iterator[str]:
        """Yield the address of DATABASE_URL, else of the embedded PostgreSQL, which runs while the block does.

        Only what `makes` a fleet may bring that PostgreSQL into being; FleetError for all others where there is none.
        """
        if self.settings.database_url is not None:
            yield self.settings.database_url
            return
        if not makes and not self._has_embedded:
            raise FleetError(NO_FLEET.format(folder=self.settings.state_dir))
        from monitor.embedded import postgres as embedded  # noqa: PLC0415  (only who uses a database needs it)

        with embedded.running(self.settings.state_dir) as server:
            yield server.dsn()

    def on_database(
        self,
        action: "Callable[[Database], Awaitable[Result]]",
        *,
        working: str | None = None,
        makes: bool = False,
    ) -> Result:
        """Run one action on the opened database; `working` is what a person reads meanwhile."""
        from api.cli.local import database as local_database  # noqa: PLC0415  (brings in the database driver)

        with ExitStack() as stack:
            with output.working("opening the database"):
                dsn = stack.enter_context(self.database(makes=makes))
            if working is not None:
                stack.enter_context(output.working(working))
            return local_database.use(action, settings=self.settings, dsn=dsn)

    def on_fleet(
        self, action: "Callable[[Reach], Awaitable[Result]]", *, working: str | None = None, makes: bool = False
    ) -> Result:
        """Run one action on the fleet: behind the API of API_URL if that is set, else in the database."""
        if self.settings.api_url is None:
            from api.cli.local import database as local_database  # noqa: PLC0415  (brings in the whole of the API)

            return self.on_database(
                lambda database: action(local_database.reach(database, self.settings)), working=working, makes=makes
            )
        from api.cli.remote import session  # noqa: PLC0415  (brings in the whole of the API)

        token = self.settings.api_token
        with nullcontext() if working is None else output.working(working):
            return session.use(
                action,
                api_url=self.settings.api_url,
                token=None if token is None else token.get_secret_value(),
            )

    def on_registry(
        self,
        action: "Callable[[FleetRegistry], Awaitable[Result]]",
        *,
        working: str | None = None,
        makes: bool = False,
    ) -> Result:
        """Run one action on the registry of the fleet."""
        return self.on_fleet(lambda reach: action(reach.registry), working=working, makes=makes)

    @property
    def _has_embedded(self) -> bool:
        from monitor.embedded.state_folder import StateFolder  # noqa: PLC0415  (`--help` need not wait for it)

        folder = StateFolder.at(self.settings.state_dir)
        try:
            return folder.data_dir.exists()
        except OSError as error:
            raise FleetError(NOT_OURS.format(folder=folder.state_dir, why=error.strerror)) from error


pass_invocation = click.make_pass_decorator(Invocation)
