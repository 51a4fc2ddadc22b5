"""`servers check --explain`: finds out which server is meant, and asks it from this machine, without the monitor."""

import asyncio
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta

from api.cli import listing, output
from api.cli.invocation import Invocation
from api.views import ServerView
from monitor.domain import url
from monitor.domain.errors import FleetError
from monitor.domain.server import Server, ServerId
from monitor.ollama import examination
from monitor.ollama.examination import Examination
from monitor.postgres import embedded
from monitor.settings import Settings

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
        return _registered(invocation.on_registry(lambda registry: listing.one_server(registry, reference)), invocation)
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
    return _registered(found, invocation)


def examine(invocation: Invocation, subject: Subject) -> Examination:
    """Ask a server, with the limits and the allowed networks of the settings."""
    with output.working(f"asking {subject.server.url}"):
        return asyncio.run(examination.examine(subject.server, allowed_networks=invocation.settings.allowed_networks))


def _at(invocation: Invocation, address: str) -> ServerView | None:
    settings = invocation.settings
    # For a look into the registry no database is set up or started.
    if settings.database_url is None and embedded.peek(settings.state_dir) is None:
        raise FleetError(f"no database runs in {settings.state_dir}.")
    servers = invocation.on_registry(listing.all_servers)
    return next((server for server in servers if server.url == address), None)


def _registered(view: ServerView, invocation: Invocation) -> Subject:
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
