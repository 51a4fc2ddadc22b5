"""One run of the command: its settings, its database, and the registry that most commands work on."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from api.cli import output

if TYPE_CHECKING:
    from api.registry import Registry
    from monitor.postgres.database import Database
    from monitor.settings import Settings

Result = TypeVar("Result")


class Invocation:
    """What the options before the command say, and what follows from it; nothing is loaded before it is needed."""

    def __init__(self, config: Path | None) -> None:
        self.config = config

    @cached_property
    def settings(self) -> "Settings":
        """The settings; ConfigurationError when they cannot be used."""
        from monitor import settings  # noqa: PLC0415  (0.3 s that `--help` need not wait for)

        return settings.load(self.config)

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the address of DATABASE_URL, else of the embedded PostgreSQL, which runs while the block does."""
        if self.settings.database_url is not None:
            yield self.settings.database_url
            return
        from monitor.postgres import embedded  # noqa: PLC0415  (only who uses a database needs it)

        with embedded.running(self.settings.state_dir) as server:
            yield server.dsn()

    def on_database(self, action: "Callable[[Database], Awaitable[Result]]", *, working: str | None = None) -> Result:
        """Run one action on the opened database; `working` is what a person reads meanwhile."""
        from api.cli import local_database  # noqa: PLC0415  (brings in the database driver)

        with ExitStack() as stack:
            with output.working("opening the database"):
                dsn = stack.enter_context(self.database())
            if working is not None:
                stack.enter_context(output.working(working))
            return local_database.use(action, settings=self.settings, dsn=dsn)

    def on_registry(self, action: "Callable[[Registry], Awaitable[Result]]", *, working: str | None = None) -> Result:
        """Run one action on the registry that lives in the database."""
        from api.registry import Registry  # noqa: PLC0415  (brings in the whole of the API)

        return self.on_database(lambda database: action(Registry(database, self.settings)), working=working)


pass_invocation = click.make_pass_decorator(Invocation)
