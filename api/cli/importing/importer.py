"""The import of a `.env` from file to registry, by hand and at the first start of `up`.

In a database at hand all of it is one transaction: a server that is refused costs the others nothing, and what ends
in the middle has written nothing. So the first start is over exactly when an import has taken something, and never half
way. Behind an API each server is a request of its own; one that ends in the middle is repeated without harm.
"""

import asyncio
import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import structlog

from api.cli import listing
from api.cli.importing import view as import_view
from api.cli.invocation import Invocation
from api.cli.local import database as local_database
from api.cli.reach import FleetRegistry
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
from monitor.postgres import savepoints
from monitor.postgres.database import Database
from monitor.settings import Settings

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator says about the import; `mappings` as they are typed, NAME=ROLE."""

    mappings: Sequence[str] = ()
    update: bool = False
    is_rehearsal: bool = False


def run(invocation: Invocation, path: Path, wish: Wish) -> Report:
    """Import a file by hand; a rehearsal before there is any database brings none into being."""
    try:
        mapping = dict(variables.parse_mapping(text) for text in wish.mappings)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    file = env_file.read(path)
    _require_named(file, mapping)
    importer = Importer(file, mapping, settings=invocation.settings, update=wish.update)
    if wish.is_rehearsal:
        return importer.rehearsal(()) if invocation.lacks_database else invocation.on_registry(importer.rehearse)
    if invocation.settings.api_url is not None:
        return invocation.on_registry(importer.write)
    return invocation.on_database(importer.run, makes=True)


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
    async with local_database.opened(settings, dsn=dsn) as database:
        registry = local_database.reach(database, settings).registry
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
    import_view.show(report)
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
            return await self.write(local_database.reach(together, self._settings, vault=self._vault).registry)

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
