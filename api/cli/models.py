"""`ollama-fleet models …`: which model is on which server, and switching one off."""

import sys
from collections.abc import Iterator, Sequence

import click

from api.cli import listing, sessions
from api.cli.arguments import json_option, reference_argument
from api.cli.fleet import Fleet
from api.cli.groups import ListByDefault
from api.cli.invocation import Invocation
from api.cli.screen import output, text, wording
from api.cli.screen.output import Column
from api.fleet.resolution.catalogue import CatalogueAnswer, CatalogueEntry
from api.fleet.schemas import ModelPatch
from api.fleet.views import ModelView
from monitor.domain.errors import FleetError

SHORT_DIGEST = 12
NONE_YET = "No model is known yet; `ollama-fleet servers list` shows why."
COLUMNS = (
    Column(title="MODEL", wraps=True),
    Column(title="SERVER", wraps=True),
    Column(title="STATE", coloured=True),
    Column(title="LOADED", spare=1),
    Column(title="SIZE", right=True, spare=2),
    Column(title="PARAMETERS", right=True, spare=4),
    Column(title="QUANTIZATION", spare=5),
    Column(title="CAPABILITIES", wraps=True, spare=3),
    Column(title="DIGEST", spare=6),
)
PAGE = 500
MODEL_COLUMNS = (
    Column(title="MODEL", wraps=True),
    Column(title="SERVERS", right=True),
    Column(title="USABLE"),
    Column(title="LOADED ON", wraps=True, spare=1),
    Column(title="SIZE", right=True, spare=3),
    Column(title="DRIFT", spare=2),
    Column(title="CLOUD", spare=4),
    Column(title="CAPABILITIES", wraps=True, spare=5),
)
PLACE_COLUMNS = (
    Column(title="SERVER", wraps=True),
    Column(title="STATUS", coloured=True),
    Column(title="MODEL", wraps=True),
    Column(title="LOADED", spare=1),
    Column(title="SIZE", right=True, spare=2),
    Column(title="RUNS AT", wraps=True, spare=3),
    Column(title="DIGEST", spare=4),
)


@click.group(
    cls=ListByDefault,
    epilog="Example: ollama-fleet models gpu-1",
    short_help="List models, find one, switch one off or on.",
)
def models() -> None:
    """List models (`models [SERVER]` is short for `models list [SERVER]`), find one, switch one off or on."""


@models.command("list", epilog="Example: ollama-fleet models list gpu-1 --all")
@click.argument("reference", metavar="[SERVER]", required=False)
@click.option("--all", "removed_too", is_flag=True, help="Also those that their server does not list any more.")
@json_option
@sessions.coroutine
async def list_(invocation: Invocation, *, reference: str | None, removed_too: bool, as_json: bool) -> None:
    """List the models of all servers, or of one."""
    async with sessions.fleet(invocation) as fleet:
        if reference is None:
            found = (await fleet.registry.all_models(include_removed=removed_too)).items
        else:
            server = await listing.one_server(fleet.registry, reference)
            with wording.about(reference):
                found = (await fleet.registry.list_models(server.id, include_removed=removed_too)).items
    if as_json:
        output.as_json([model.model_dump(mode="json") for model in found])
    else:
        output.table(COLUMNS, _rows(found), empty=NONE_YET)


@models.command(epilog="Example: ollama-fleet models where llama3.2:3b")
@click.argument("model", required=False)
@json_option
@sessions.coroutine
async def where(invocation: Invocation, *, model: str | None, as_json: bool) -> None:
    """Show which servers have a model, or of every model how many.

    Of one model the first choice comes first. One name can mean different models: then their digests differ,
    and DRIFT says so.
    """
    if model is None:
        async with sessions.fleet(invocation) as fleet:
            found = await _all_models(fleet)
        if as_json:
            output.as_json(found)
        else:
            output.table(MODEL_COLUMNS, _models(found), empty=NONE_YET)
        return
    async with sessions.fleet(invocation) as fleet:
        entry = await fleet.resolver.model(model)
    if as_json:
        output.as_json(entry)
    else:
        _show_places(entry)


@models.command(epilog="Example: ollama-fleet models disable gpu-1 llama3.2:3b")
@reference_argument
@click.argument("model")
@sessions.coroutine
async def disable(invocation: Invocation, *, reference: str, model: str) -> None:
    """Switch a model of one server off.

    It stays there, and is offered to nobody until it is enabled.
    """
    await _switch(invocation, reference, model, on=False)


@models.command(epilog="Example: ollama-fleet models enable gpu-1 llama3.2:3b")
@reference_argument
@click.argument("model")
@sessions.coroutine
async def enable(invocation: Invocation, *, reference: str, model: str) -> None:
    """Switch a model of one server on again."""
    await _switch(invocation, reference, model, on=True)


def _rows(found: Sequence[ModelView]) -> Iterator[list[str]]:
    width = SHORT_DIGEST if sys.stdout.isatty() else None
    for model in found:
        yield [
            text.printable(model.model_name),
            text.printable(model.server_name),
            _state(model),
            text.size(model.size_vram) if model.size_vram is not None else text.NOTHING,
            text.size(model.size_bytes),
            text.word(model.parameter_size),
            text.word(model.quantization),
            text.word(model.capabilities),
            text.word(model.digest)[:width],
        ]


def _state(model: ModelView) -> str:
    if model.removed_at is not None:
        return "removed"
    return "active" if model.is_active else "disabled"


async def _switch(invocation: Invocation, reference: str, model_name: str, *, on: bool) -> None:
    async with sessions.fleet(invocation) as fleet:
        server = await listing.one_server(fleet.registry, reference)
        with wording.about(reference):
            model = await fleet.registry.patch_model(server.id, model_name, ModelPatch(is_active=on))
    output.say(f"{text.printable(model.model_name)} on {text.printable(model.server_name)} is {_state(model)}.")


def _show_places(entry: CatalogueAnswer) -> None:
    output.table(PLACE_COLUMNS, _places(entry), empty="")
    if entry["digest_drift"]:
        output.note(f"The servers have {len(entry['digests'])} different models under this name: pull it anew on them.")


async def _all_models(fleet: Fleet) -> list[CatalogueEntry]:
    found: list[CatalogueEntry] = []
    cursor: str | None = None
    for _ in range(listing.MOST_PAGES):
        page = await fleet.resolver.models(limit=PAGE, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found
    raise FleetError(listing.ENDLESS)


def _models(found: Sequence[CatalogueEntry]) -> Iterator[list[str]]:
    for entry in found:
        yield [
            text.printable(entry["model_name"]),
            str(entry["servers_total"]),
            text.word(entry["is_available"]),
            text.word(entry["loaded_on"]),
            text.size(entry["size_bytes"]),
            text.word(entry["digest_drift"]),
            text.word(entry["cloud"]),
            text.word(entry["capabilities"]),
        ]


def _places(entry: CatalogueEntry) -> Iterator[list[str]]:
    width = SHORT_DIGEST if sys.stdout.isatty() else None
    for place in entry["servers"]:
        yield [
            text.printable(place["server_name"]),
            place["status"] if place["is_active"] else "disabled",
            text.printable(place["model_name"]),
            text.size(place["size_vram"]),
            text.size(place["size_bytes"]),
            text.word(place["remote_host"]),
            text.word(place["digest"])[:width],
        ]
