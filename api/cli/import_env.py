"""`ollama-fleet import-env`: the servers of a `.env` taken over once, by hand and at the first start of `up`.

In a database at hand all of it is one transaction: a server that is refused costs the others nothing, and what ends
in the middle has written nothing. So the first start is over exactly when an import has taken something, and never half
way. Behind an API each server is a request of its own; one that ends in the middle is repeated without harm.
"""

import asyncio
import difflib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import click
import structlog

from api.cli import listing, local, sessions
from api.cli.arguments import json_option
from api.cli.fleet import FleetRegistry
from api.cli.groups import Manual
from api.cli.invocation import Invocation
from api.cli.screen import output, text
from api.cli.screen.output import Column
from api.fleet.importing import env_file, variables
from api.fleet.importing.candidates import Gathering
from api.fleet.importing.env_file import EnvFile
from api.fleet.importing.plan import Known, Planner, Step
from api.fleet.importing.report import Finding, Report
from api.fleet.queries import events
from api.fleet.refusals import Refused
from api.fleet.views import ServerView
from monitor.credentials.vault import Vault
from monitor.domain.errors import ConfigurationError, ImportFileError
from monitor.domain.server import AUTO
from monitor.postgres import savepoints
from monitor.postgres.database import Database
from monitor.settings import Settings

log = structlog.get_logger(__name__)

EXIT_REFUSED = 1
NOTHING = "The file says nothing about Ollama; --map tells what a variable of another name is."
COLUMNS = (
    Column(title="LINE", right=True),
    Column(title="VARIABLE", wraps=True),
    Column(title="VALUE", wraps=True),
    Column(title="RESULT", wraps=True),
)
EXAMPLE = "ollama-fleet import-env .env --dry-run --map LLM_BACKEND=url --map LLM_KEY=api_key"


@click.command("import-env", cls=Manual, epilog=f"Example: {EXAMPLE}")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say what would be done; needs no right to write.")
@click.option("--update", is_flag=True, help="Give servers that are there already what the file says of them.")
@click.option(
    "--map",
    "mappings",
    multiple=True,
    metavar="NAME=ROLE[@GROUP]",
    help="What a variable is: host, url, urls, name, api_key, header, token, username, password, priority, "
    "max_concurrent, ignore. A group is a word of your own that joins variables of one server. May be repeated.",
)
@json_option
@sessions.coroutine
async def import_env(
    invocation: Invocation, /, *, file: Path, dry_run: bool, update: bool, mappings: tuple[str, ...], as_json: bool
) -> int:
    """Add the servers that a .env FILE names.

    OLLAMA_HOST is read as Ollama reads it; OLLAMA_BASE_URL and its like, OLLAMA_BASE_URLS with ; or , between, and
    numbered families such as OLLAMA_SERVER_1_URL, _NAME, _API_KEY, _USERNAME, _PASSWORD are known. A server that
    is there already, by its URL, stays as it is without --update. Nothing reads FILE again afterwards.

    Ends with 1 when something that is about a server could not be taken.
    """
    try:
        mapping = dict(variables.parse_mapping(text) for text in mappings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    named = env_file.read(file)
    _require_named(named, mapping)
    importer = Importer(named, mapping, settings=invocation.settings, update=update)
    report = await (_rehearse(invocation, importer) if dry_run else _write(invocation, importer))
    if as_json:
        output.as_json(report.document())
    else:
        _show(report)
    if report.is_complete:
        return 0
    output.note("ollama-fleet: Not all that the file says of servers could be taken; the report says why.")
    return EXIT_REFUSED


async def _rehearse(invocation: Invocation, importer: "Importer") -> Report:
    if invocation.lacks_database:
        # None is brought into being to say what would be done.
        return importer.rehearsal(())
    async with sessions.fleet(invocation) as fleet:
        return await importer.rehearse(fleet.registry)


async def _write(invocation: Invocation, importer: "Importer") -> Report:
    if invocation.settings.api_url is not None:
        async with sessions.fleet(invocation) as fleet:
            return await importer.write(fleet.registry)
    async with sessions.database(invocation, makes=True) as database:
        return await importer.run(database)


def _require_named(file: EnvFile, mapping: Collection[str]) -> None:
    """Refuse to map what the file does not have: that is a slip, and would be a silent one."""
    names = [assignment.name for assignment in file.assignments]
    for name in mapping:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"The file has no variable {name}, which --map speaks of.{hint}")


async def at_first_start(settings: Settings, *, dsn: str, vault: Vault | None = None) -> None:
    """Import the file of the setting and print the report, unless the database ever had a server.

    Raises ConfigurationError when the file is wanted now and cannot be read; later it is not even looked for.
    """
    if settings.import_env is None:
        return
    async with local.opened(settings, dsn=dsn) as database:
        registry = local.fleet(database, settings).registry
        # Every server that ever was has left its number in the log, even if somebody deleted it.
        if await events.head(database) or (await registry.list_servers(limit=1)).items:
            return
        try:
            # It may be a pipe; a signal must find the loop at work.
            file = await asyncio.to_thread(env_file.read, settings.import_env)
        except ImportFileError as error:
            raise ConfigurationError(
                f"{error} OLLAMA_FLEET_IMPORT_ENV names it for the first start; correct it or remove it."
            ) from error
        report = await Importer(file, {}, settings=settings, update=False, vault=vault).run(database)
    _show(report)
    log.info("env_imported", file=str(settings.import_env), complete=report.is_complete)


class Importer:
    """One file, and what it means."""

    def __init__(
        self,
        file: EnvFile,
        mapping: dict[str, variables.Meaning],
        *,
        settings: Settings,
        update: bool,
        vault: Vault | None = None,
    ) -> None:
        self._gathering = Gathering.of(file, mapping)
        self._settings = settings
        self._update = update
        self._vault = vault

    async def run(self, database: Database) -> Report:
        """Write what the file says; when that cannot end well nothing is written."""
        async with savepoints.transaction(database) as together:
            return await self.write(local.fleet(together, self._settings, vault=self._vault).registry)

    async def write(self, registry: FleetRegistry) -> Report:
        """Write what the file says, server by server."""
        findings: list[Finding] = []
        for step in self._steps(await listing.all_servers(registry)):
            findings += await _done(registry, step)
        return self._report(findings, is_rehearsal=False)

    async def rehearse(self, registry: FleetRegistry) -> Report:
        """Say what `write` would do, by reading alone."""
        return self.rehearsal(await listing.all_servers(registry))

    def rehearsal(self, servers: Sequence[ServerView]) -> Report:
        """Say what `write` would do with these servers in the registry."""
        findings = [finding for step in self._steps(servers) for finding in step.findings]
        return self._report(findings, is_rehearsal=True)

    def _steps(self, servers: Sequence[ServerView]) -> Iterator[Step]:
        known = [
            Known(
                id=server.id,
                name=server.name,
                url=server.url,
                is_active=server.is_active,
                priority=server.priority,
                max_concurrent=server.max_concurrent,
                api=(server.api or AUTO) if server.api_pinned else AUTO,
                has_credential=server.auth.configured,
            )
            for server in servers
        ]
        planner = Planner(known=known, allowed_networks=self._settings.allowed_networks, update=self._update)
        return planner.steps(self._gathering.candidates)

    def _report(self, findings: Sequence[Finding], *, is_rehearsal: bool) -> Report:
        found = sorted([*self._gathering.findings, *findings], key=lambda finding: finding.line)
        return Report(findings=found, others=self._gathering.others, is_rehearsal=is_rehearsal)


async def _done(registry: FleetRegistry, step: Step) -> Sequence[Finding]:
    try:
        if step.create is not None:
            await registry.create_server(step.create)
        elif step.patch is not None and step.id is not None:
            await registry.patch_server(step.id, step.patch)
    except Refused as problem:
        return list(step.refused(problem.detail))
    return step.findings


def _show(report: Report) -> None:
    """Print the report."""
    rows = [
        [
            str(finding.line),
            finding.variable or text.NOTHING,
            text.printable(finding.shown) or text.NOTHING,
            text.printable(f"{report.said(finding.outcome)}: {finding.detail}"),
        ]
        for finding in report.findings
    ]
    output.table(COLUMNS, rows, empty=NOTHING)
    output.say(report.summary())
