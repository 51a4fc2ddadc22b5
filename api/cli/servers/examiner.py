"""`servers check --explain`: finds out which server is meant, and asks it from this machine, without the monitor."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeAlias

from api.cli import listing
from api.cli.invocation import Invocation
from api.cli.reach import FleetRegistry
from api.cli.screen import output
from api.fleet.views import ServerView
from monitor.domain import url
from monitor.domain.credential import Credential, Unreadable
from monitor.domain.errors import FleetError
from monitor.domain.server import Server, ServerId
from monitor.embedded import postgres as embedded
from monitor.ollama import examination
from monitor.ollama.examination import Examination
from monitor.settings import Settings

Found: TypeAlias = tuple[ServerView, Credential | Unreadable | None]
UNREGISTERED = "(not registered)"
API_VERSION = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The server that is examined; `is_registered` is None when no database could tell."""

    server: Server
    is_registered: bool | None


def find(invocation: Invocation, reference: str) -> Subject:
    """Return the server of a reference, or one made of a URL that is not registered; FleetError if it is neither."""
    if "://" not in reference:
        return _registered(invocation, *invocation.on_registry(lambda registry: _named(registry, reference)))
    address = url.normalize(reference)
    # Read here, since a wrong setting is an error and a database that is away is none.
    settings = invocation.settings
    try:
        found = _at(invocation, address)
    except FleetError as error:
        output.note(f"The registry was not asked whether it has this URL: {error}")
        return Subject(server=_stranger(address, settings), is_registered=None)
    if found is None:
        return Subject(server=_stranger(address, settings), is_registered=False)
    return _registered(invocation, *found)


def examine(invocation: Invocation, subject: Subject) -> Examination:
    """Ask a server, with the limits and the allowed networks of the settings."""
    with output.working(f"asking {subject.server.url}"):
        return asyncio.run(examination.examine(subject.server, allowed_networks=invocation.settings.allowed_networks))


async def _named(registry: FleetRegistry, reference: str) -> Found:
    view = await listing.one_server(registry, reference)
    return view, await registry.credential(view.id, view.url)


async def _addressed(registry: FleetRegistry, address: str) -> Found | None:
    view = next((server for server in await listing.all_servers(registry) if server.url == address), None)
    return None if view is None else (view, await registry.credential(view.id, view.url))


def _at(invocation: Invocation, address: str) -> Found | None:
    settings = invocation.settings
    # For a look into the registry no database is set up or started.
    if settings.database_url is None and embedded.peek(settings.state_dir) is None:
        raise FleetError(f"no database runs in {settings.state_dir}.")
    return invocation.on_registry(lambda registry: _addressed(registry, address))


def _registered(invocation: Invocation, view: ServerView, credential: Credential | Unreadable | None) -> Subject:
    if credential is None and view.auth.configured:
        output.note(f"{view.name} is asked without its credential, which an API elsewhere does not give away.")
    policy = invocation.settings.policy
    if view.check_timeout_seconds is not None:
        policy = replace(policy, timeout=timedelta(seconds=view.check_timeout_seconds))
    server = Server(
        id=ServerId(view.id),
        name=view.name,
        url=view.url,
        api_version=view.api_version,
        row_version=view.row_version,
        policy=policy,
        credential=credential,
    )
    return Subject(server=server, is_registered=True)


def _stranger(address: str, settings: Settings) -> Server:
    return Server(
        id=ServerId(uuid.uuid4()),
        name=UNREGISTERED,
        url=address,
        api_version=API_VERSION,
        row_version=1,
        policy=settings.policy,
    )
