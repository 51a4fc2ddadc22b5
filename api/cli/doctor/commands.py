"""`ollama-fleet doctor`: looks at everything that has to work, in the order in which one thing needs the other."""

from collections.abc import AsyncIterator, Callable

import click

from api.cli import listing, sessions
from api.cli.arguments import json_option
from api.cli.doctor import database, finding, machine, servers
from api.cli.doctor.finding import Finding, Health
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output
from api.fleet.queries import diagnosis
from api.fleet.registry import Registry
from api.fleet.views import ServerView
from monitor.credentials.vault import Vault
from monitor.embedded import postgres as embedded
from monitor.postgres.database import Database
from monitor.settings import Settings

EXIT_TROUBLE = 1
SESSIONS = 2
# What is in the database, and so not seen without one.
STORED = ("keys", "tokens", "checks", "dns")
MARKS = {"ok": "ok     ", "warning": "warning", "failed": "FAILED ", "skipped": "-      "}


@click.command(cls=Manual, epilog="Example: ollama-fleet doctor")
@json_option
@sessions.coroutine
async def doctor(invocation: Invocation, *, as_json: bool) -> int:
    """Look at everything that has to work, and say what to do.

    That is the database, its schema and clock, whether notifications really arrive, whether a monitor is at work
    and every server was checked lately, whether the key ring opens every credential, the tokens of the API, host
    names, open files, the disk and the port. It changes nothing. Ends with 1 when something has failed.
    """
    found: list[Finding] = []

    def show(finding: Finding) -> None:
        found.append(finding)
        if not as_json:
            _print(finding)

    is_well = await _go(invocation, show)
    if as_json:
        output.as_json(
            [{"subject": one.subject, "health": one.health, "seen": one.seen, "next": one.next} for one in found]
        )
    return 0 if is_well else EXIT_TROUBLE


def _print(finding: Finding) -> None:
    lines = output.paragraph(f"{MARKS[finding.health]}  {finding.subject:<11}  ", finding.seen)
    if finding.next:
        lines += output.paragraph(" " * 22, finding.next)
    for line in lines:
        output.say(line)


async def _go(invocation: Invocation, show: Callable[[Finding], None]) -> bool:
    """Look at everything, show each finding as it comes, and return whether none of them failed."""
    settings = invocation.settings
    if (api_url := settings.api_url) is not None:
        async with sessions.fleet(invocation) as fleet:
            return await _shown(servers.look_through_api(fleet.registry, api_url=api_url), show)
    if settings.database_url is None and embedded.peek(settings.state_dir) is None:
        return await _shown(_without_database(settings), show)
    with invocation.postgresql() as dsn:
        return await _shown(_local(settings, dsn), show)


async def _shown(findings: AsyncIterator[Finding], show: Callable[[Finding], None]) -> bool:
    is_well = True
    async for one in findings:
        show(one)
        is_well = is_well and one.health is not Health.FAILED
    return is_well


async def _local(settings: Settings, dsn: str) -> AsyncIterator[Finding]:
    store = Database(dsn, name="ollama-fleet doctor", size=SESSIONS)
    await store.open()
    try:
        is_readable = False
        async for one in database.look(store, listen_dsn=settings.listen_database_url or dsn):
            is_readable = is_readable or (one.subject == "schema" and one.health is Health.OK)
            yield one
        known, allowed = None, None
        if is_readable:
            known = await listing.all_servers(Registry(store, settings))
            async with store.session() as connection:
                allowed = await diagnosis.descriptors_allowed(connection)
            yield await database.keys(store, Vault.of(settings))
            yield await database.tokens(store, settings)
    finally:
        await store.close()
    async for one in _rest(settings, known, descriptors_of_monitor=allowed):
        yield one


async def _without_database(settings: Settings) -> AsyncIterator[Finding]:
    yield finding.failed(
        "database",
        f"the embedded PostgreSQL in {settings.state_dir} does not run",
        next="start `ollama-fleet up`, or set OLLAMA_FLEET_DATABASE_URL to the one that is meant.",
    )
    for subject in database.SUBJECTS[1:]:
        yield finding.skipped(subject)
    async for one in _rest(settings, None):
        yield one


async def _rest(
    settings: Settings, known: list[ServerView] | None, *, descriptors_of_monitor: int | None = None
) -> AsyncIterator[Finding]:
    if known is None:
        for subject in STORED:
            yield finding.skipped(subject)
    else:
        yield servers.freshness(known)
        yield await servers.names(known)
    yield machine.descriptors(len(known or ()), of_monitor=descriptors_of_monitor)
    if settings.database_url is None:
        yield machine.disk(settings.state_dir)
    yield await machine.port(settings)
