"""`servers check --explain`: the server that is meant, asked from this machine without the monitor, step by step."""

import shlex
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeAlias

from api.cli import listing, sessions
from api.cli.fleet import Fleet
from api.cli.invocation import Invocation
from api.cli.screen import output, text
from api.cli.screen.output import Column
from api.fleet.views import ServerView
from monitor.domain import reasons, url
from monitor.domain.credential import ClientKey, Credential, Unreadable
from monitor.domain.errors import FleetError
from monitor.domain.probe import Reason
from monitor.domain.server import Api, Server, ServerId, Tls
from monitor.embedded import postgres as embedded
from monitor.ollama import examination
from monitor.ollama.examination import Examination
from monitor.ollama.tls import Contexts, TlsFiles
from monitor.settings import Settings

Found: TypeAlias = tuple[ServerView, Credential | Unreadable | None, ClientKey | Unreadable | None]
UNREGISTERED = "(not registered)"
API_VERSION = "v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """The server that is examined; `is_registered` is None when no database could tell."""

    server: Server
    is_registered: bool | None


async def find(invocation: Invocation, reference: str) -> Subject:
    """Return the server of a reference, or one made of a URL that is not registered; FleetError if it is neither."""
    if "://" not in reference:
        async with sessions.fleet(invocation) as fleet:
            known = await _with_secrets(fleet, await listing.one_server(fleet.registry, reference))
        return _registered(invocation, *known)
    address = url.normalize(reference)
    # Read here, since a wrong setting is an error and a database that is away is none.
    settings = invocation.settings
    try:
        found = await _at(invocation, address)
    except FleetError as error:
        output.note(f"The registry was not asked whether it has this URL: {error}")
        return Subject(server=_stranger(address, settings), is_registered=None)
    if found is None:
        return Subject(server=_stranger(address, settings), is_registered=False)
    return _registered(invocation, *found)


async def examine(invocation: Invocation, subject: Subject) -> Examination:
    """Ask a server, with the limits and the allowed networks of the settings."""
    with output.working(f"asking {subject.server.url}"):
        settings = invocation.settings
        contexts = Contexts(TlsFiles.of(settings))
        return await examination.examine(subject.server, allowed_networks=settings.allowed_networks, tls=contexts)


async def _at(invocation: Invocation, address: str) -> Found | None:
    settings = invocation.settings
    # For a look into the registry no database is set up or started.
    if settings.database_url is None and embedded.peek(settings.state_dir) is None:
        raise FleetError(f"no database runs in {settings.state_dir}.")
    async with sessions.fleet(invocation) as fleet:
        view = next((server for server in await listing.all_servers(fleet.registry) if server.url == address), None)
        return None if view is None else await _with_secrets(fleet, view)


async def _with_secrets(fleet: Fleet, view: ServerView) -> Found:
    credential = await fleet.registry.credential(view.id, view.url)
    return view, credential, None if view.client_cert is None else await fleet.registry.client_key(view.id)


def _registered(
    invocation: Invocation,
    view: ServerView,
    credential: Credential | Unreadable | None,
    client_key: ClientKey | Unreadable | None,
) -> Subject:
    if credential is None and view.auth.configured:
        output.note(f"{view.name} is asked without its credential, which an API elsewhere does not give away.")
    if client_key is None and view.client_cert is not None:
        output.note(
            f"{view.name} is asked without its client certificate: an API elsewhere does not give its key away."
        )
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
        tls=Tls(
            ca_pem=view.ca_pem,
            client_cert=None if client_key is None else view.client_cert,
            client_key=client_key,
            server_name=view.tls_server_name,
        ),
        pinned=Api(view.api) if view.api_pinned and view.api else None,
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


COLUMNS = (Column(title="STEP"), Column(title=""), Column(title="TIME", right=True), Column(title="SEEN"))
MILLISECONDS = 1000


def lines(subject: Subject, examination: Examination) -> Iterator[str]:
    """Yield what a person reads."""
    server = subject.server
    who = f"{server.name} at {server.url}" if subject.is_registered else server.url
    seconds = server.policy.timeout.total_seconds()
    yield text.printable(f"{who}, asked from this machine, with {seconds:g} s for an answer")
    yield ""
    rows = [
        (step.name, "ok" if step.ok else "FAILED", f"{step.seconds * MILLISECONDS:.1f} ms", text.printable(step.seen))
        for step in examination.steps
    ]
    yield from output.aligned(COLUMNS, rows)
    yield ""
    yield from output.paragraph("Verdict  ", _verdict(examination))
    yield from output.paragraph("Next     ", _advice(subject, examination))
    # A blocked address would be refused there, too.
    if not subject.is_registered and examination.result.reason is not Reason.BLOCKED:
        yield text.printable(f"Add it   ollama-fleet servers add NAME {shlex.quote(examination.url)}")


def document(subject: Subject, examination: Examination) -> dict[str, Any]:
    """Return the same for a program."""
    result = examination.result
    latency = None if result.latency is None else round(result.latency.total_seconds() * MILLISECONDS, 3)
    return {
        "url": examination.url,
        "name": subject.server.name if subject.is_registered else None,
        "is_registered": subject.is_registered,
        "timeout_seconds": subject.server.policy.timeout.total_seconds(),
        "is_alive": examination.is_alive,
        "reason": result.reason,
        "detail": result.detail,
        "server_version": result.server_version,
        "latency_ms": latency,
        "trouble": examination.trouble,
        "advice": _advice(subject, examination),
        "steps": [
            {"name": step.name, "ok": step.ok, "ms": round(step.seconds * MILLISECONDS, 3), "seen": step.seen}
            for step in examination.steps
        ],
    }


def _advice(subject: Subject, examination: Examination) -> str:
    name = shlex.quote(subject.server.name) if subject.is_registered else "NAME"
    return reasons.advice(examination.trouble, examination.url, name=name, detail=examination.detail)


def _verdict(examination: Examination) -> str:
    result = examination.result
    if result.reason is not Reason.OK:
        return f"{result.reason}: {result.detail}"
    version = f", Ollama {result.server_version}" if result.server_version else ""
    if examination.trouble is Reason.LIST_FAILED:
        why = f"{Reason.LIST_FAILED}: {examination.detail}"
        return f"ok{version}, but the list of its models fails, which makes it degraded: {why}"
    return f"ok{version}"
