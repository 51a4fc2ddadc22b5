"""What a command works on for as long as a block runs: the database of the fleet, or the fleet wherever it is."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Any, Concatenate, ParamSpec, TypeVar

import structlog

from api.cli import local, remote
from api.cli.fleet import Fleet
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output, terminal, wording
from api.fleet.refusals import Refused
from monitor import logs
from monitor.domain.errors import FleetError
from monitor.postgres.database import Database
from monitor.settings import LogFormat, LogLevel

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@asynccontextmanager
async def database(
    invocation: Invocation, *, working: str | None = None, makes: bool = False
) -> AsyncIterator[Database]:
    """Open the database while the block runs; `working` is what a person reads meanwhile."""
    if not structlog.is_configured():
        # What a part of the fleet has to say is no result of the command, so it is not for stdout.
        logs.configure(LogFormat.TEXT, LogLevel.WARNING)
    async with AsyncExitStack() as stack:
        with output.working("opening the database"), terminal.interruptible():
            dsn = stack.enter_context(invocation.postgresql(makes=makes))
        stack.enter_context(_while(working))
        yield await stack.enter_async_context(local.opened(invocation.settings, dsn=dsn))


@asynccontextmanager
async def fleet(invocation: Invocation, *, working: str | None = None, makes: bool = False) -> AsyncIterator[Fleet]:
    """Open the fleet while the block runs: behind the API of API_URL if that is set, else in the database."""
    settings = invocation.settings
    if settings.api_url is None:
        async with database(invocation, working=working, makes=makes) as opened:
            yield local.fleet(opened, settings)
        return
    token = None if settings.api_token is None else settings.api_token.get_secret_value()
    with _while(working):
        async with remote.opened(settings.api_url, token=token) as elsewhere:
            yield elsewhere


def coroutine(
    command: Callable[Concatenate[Invocation, Parameters], Coroutine[Any, Any, Result]],
) -> Callable[Parameters, Result]:
    """Run the coroutine of a command with its invocation; a refusal is told in the words for a person."""

    @pass_invocation
    @functools.wraps(command)
    def run(invocation: Invocation, /, *arguments: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            return asyncio.run(command(invocation, *arguments, **options))
        except Refused as refused:
            raise FleetError(wording.sentence(refused)) from refused

    return run


def _while(working: str | None) -> AbstractContextManager[None]:
    return nullcontext() if working is None else output.working(working)
