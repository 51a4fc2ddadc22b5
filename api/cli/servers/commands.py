"""`ollama-fleet servers …`: the registry of servers, by hand."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from api.cli import listing, sessions
from api.cli.arguments import json_option, reference_argument
from api.cli.groups import OrderedGroup
from api.cli.invocation import Invocation
from api.cli.screen import output, repetition, terminal, text, wording
from api.cli.servers import examination
from api.cli.servers import view as server_view
from api.cli.servers.history import history
from api.cli.servers.options import credential_options, field_options, given, take
from api.fleet import refusals
from api.fleet.filters import ServerFilters
from api.fleet.schemas import ServerCreate, ServerPatch
from api.fleet.views import EditedServer, ServerView
from monitor.domain.probe import Reason

Shape = TypeVar("Shape", bound=BaseModel)

EXIT_TROUBLE = 1
CHECK_EXAMPLES = """\
Example: ollama-fleet servers check gpu-1
         ollama-fleet servers check http://10.0.0.5:11434 --explain"""
STATUSES = ("unknown", "up", "degraded", "down")


@click.group(cls=OrderedGroup, epilog="Example: ollama-fleet servers list")
def servers() -> None:
    """List, add, change, remove, check and discover servers.

    SERVER is a name, a URL, an id, or at least the first 8 characters of an id.
    """


@servers.command("list", epilog="Example: ollama-fleet servers list --available --label room=attic")
@click.option("--active/--inactive", "is_active", default=None, help="Only those that are, or are not, to be checked.")
@click.option("--available/--unavailable", "is_available", default=None, help="Only those that can, or cannot, serve.")
@click.option(
    "--status",
    multiple=True,
    type=click.Choice(STATUSES, case_sensitive=False),
    help="Only with this status; may be repeated.",
)
@click.option("--capability", multiple=True, metavar="C", help="Only with this capability; may be repeated.")
@click.option("--label", multiple=True, metavar="KEY=VALUE", help="Only with this label; may be repeated.")
@repetition.option
@json_option
@sessions.coroutine
async def list_(invocation: Invocation, /, *, watch: float | None, as_json: bool, **filters: Any) -> None:
    """List servers with their health."""
    is_filtered = any(value not in (None, ()) for value in filters.values())
    empty = "No server fits." if is_filtered else server_view.NONE_YET

    def show(found: Sequence[ServerView]) -> None:
        if as_json:
            output.as_json([server.model_dump(mode="json") for server in found])
        else:
            output.table(server_view.COLUMNS, server_view.rows(found), empty=empty)

    wanted = _validated(ServerFilters, {name: value for name, value in filters.items() if value is not None})
    async with sessions.fleet(invocation) as fleet:
        if watch is not None:
            await repetition.repeat(partial(listing.all_servers, fleet.registry, wanted), show, every=watch)
            return
        found = await listing.all_servers(fleet.registry, wanted)
    show(found)


@servers.command(epilog="Example: ollama-fleet servers show gpu-1")
@reference_argument
@json_option
@sessions.coroutine
async def show(invocation: Invocation, /, *, reference: str, as_json: bool) -> None:
    """Show all that is known of one server."""
    async with sessions.fleet(invocation) as fleet:
        server = await listing.one_server(fleet.registry, reference)
    if as_json:
        output.as_json(server.model_dump(mode="json"))
    else:
        output.fields(server_view.fields(server))


@servers.command(epilog="Example: ollama-fleet servers add gpu-1 http://gpu-1.example:11434 --priority 10")
@click.argument("name")
@click.argument("url", default="", required=False, metavar="URL")
@field_options
@credential_options
@json_option
@sessions.coroutine
async def add(invocation: Invocation, /, *, as_json: bool, **values: Any) -> None:
    """Add a server by its NAME and base URL.

    A monitor at work checks it within a second. A password, token or key is never an argument: it is asked for, or
    read from --secret-file.
    """
    _require_order(values["name"], values["url"])
    new = _validated(ServerCreate, given(take(values)))
    async with sessions.fleet(invocation, makes=True) as fleet:
        server = await fleet.registry.create_server(new)
    if as_json:
        output.as_json(server.model_dump(mode="json"))
        return
    output.say(f"Added {_named(server)}, id {server.id}.")
    for notice in server.notices if isinstance(server, EditedServer) else ():
        output.note(wording.notice(notice))


@servers.command("set", epilog="Example: ollama-fleet servers set gpu-1 --priority 5 --interval none")
@reference_argument
@click.option("--name", help="A new name.")
@click.option("--url", help="A new base URL.")
@field_options
@credential_options
@click.option("--remove-label", "removed_labels", multiple=True, metavar="KEY", help="Take this label away.")
@json_option
@sessions.coroutine
async def set_(
    invocation: Invocation, /, *, reference: str, removed_labels: tuple[str, ...], as_json: bool, **values: Any
) -> None:
    """Change what is given, keep the rest.

    `none` as interval, timeout, rise or fall gives the server back to the settings. A URL with another scheme,
    host or port takes the credential away, unless one is given with it.
    """
    fields = given(take(values))
    if removed_labels:
        fields["labels"] = fields.get("labels", {}) | dict.fromkeys(removed_labels)
    if not fields:
        raise click.UsageError("Nothing to change is given.")
    patch = _validated(ServerPatch, fields)
    async with sessions.fleet(invocation) as fleet:
        before = await listing.one_server(fleet.registry, reference)
        with wording.about(reference):
            after = await fleet.registry.patch_server(before.id, patch)
    if as_json:
        output.as_json(after.model_dump(mode="json"))
        return
    output.say(server_view.edit(before, after, fields))
    for notice in after.notices:
        output.note(wording.notice(notice))


@servers.command(epilog="Example: ollama-fleet servers remove gpu-1 --yes")
@reference_argument
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@sessions.coroutine
async def remove(invocation: Invocation, /, *, reference: str, yes: bool) -> None:
    """Remove a server and its models.

    Asks first at a terminal.
    """
    async with sessions.fleet(invocation) as fleet:
        server = await listing.one_server(fleet.registry, reference)
        if not yes and sys.stdin.isatty():
            _require_consent(server)
            # Not by the name any more: another server may have got it meanwhile.
            reference = str(server.id)
            server = await listing.one_server(fleet.registry, reference)
        with wording.about(reference):
            await fleet.registry.delete_server(server.id)
    output.say(f"Removed {_named(server)}.")


@servers.command(epilog=CHECK_EXAMPLES)
@reference_argument
@click.option("--explain", is_flag=True, help="Ask from this machine and show every step; any URL will do.")
@json_option
@sessions.coroutine
async def check(invocation: Invocation, /, *, reference: str, explain: bool, as_json: bool) -> int:
    """Check a server now, show the verdict and what to do.

    The monitor at work does it; without one the request stands until there is one. With --explain this
    command does it by itself, needs no monitor, and for a URL no database.

    Ends with 0 when the server is up and has just answered well, else with 1, as when it could not be checked.
    """
    if explain:
        return await _explain(invocation, reference, as_json=as_json)
    async with sessions.fleet(invocation, working="waiting for the monitor's check") as fleet:
        server = await listing.one_server(fleet.registry, reference)
        with wording.about(reference):
            answer = await fleet.registry.request_check(server.id)
    if as_json:
        output.as_json(server_view.check_document(answer))
    else:
        for line in server_view.check_lines(answer):
            output.say(line)
    return 0 if server_view.is_well(answer) else EXIT_TROUBLE


@servers.command(epilog="Example: ollama-fleet servers discover gpu-1")
@reference_argument
@json_option
@sessions.coroutine
async def discover(invocation: Invocation, /, *, reference: str, as_json: bool) -> None:
    """List a server's models now and show what changed.

    The monitor at work does it; without one the request stands until there is one.
    """
    async with sessions.fleet(invocation, working="waiting for the monitor's listing") as fleet:
        server = await listing.one_server(fleet.registry, reference)
        with wording.about(reference):
            answer = await fleet.registry.request_discovery(server.id)
    if as_json:
        output.as_json(answer.model_dump(mode="json"))
        return
    for line in server_view.discovery(answer):
        output.say(line)


async def _explain(invocation: Invocation, reference: str, *, as_json: bool) -> int:
    subject = await examination.find(invocation, reference)
    seen = await examination.examine(invocation, subject)
    if as_json:
        output.as_json(examination.document(subject, seen))
    else:
        for line in examination.lines(subject, seen):
            output.say(line)
    return 0 if seen.trouble is Reason.OK else EXIT_TROUBLE


def _require_order(name: str, url: str) -> None:
    if "://" in name and "://" not in url:
        raise click.UsageError(f"The name comes first, then the URL: {url or 'NAME'} {name}.")
    if not url:
        raise click.MissingParameter(param_hint="'URL'", param_type="argument")


def _require_consent(server: ServerView) -> None:
    with terminal.interruptible():
        if not click.confirm(f"Remove {_named(server)}, and its models?", err=True):
            raise click.ClickException("Nothing was removed.")


def _validated(shape: type[Shape], fields: Mapping[str, Any]) -> Shape:
    try:
        return shape.model_validate(dict(fields))
    except ValidationError as error:
        raise refusals.invalid(error) from error


def _named(server: ServerView) -> str:
    return text.printable(f"{server.name} at {server.url}")


servers.add_command(history)
