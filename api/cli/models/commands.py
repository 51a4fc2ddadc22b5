"""`ollama-fleet models …`: which model is on which server, and switching one off."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from api.cli.groups import ListByDefault
from api.cli.invocation import Invocation, pass_invocation
from api.cli.screen import output, text
from api.cli.screen.column import Column
from api.cli.servers.commands import desk, json_option, reference_argument

if TYPE_CHECKING:
    from api.fleet.views import ModelView

SHORT_DIGEST = 12
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
@pass_invocation
def list_(invocation: Invocation, *, reference: str | None, removed_too: bool, as_json: bool) -> None:
    """List the models of all servers, or of one."""
    found = desk(invocation).models(reference, removed_too=removed_too)
    if as_json:
        output.as_json([model.model_dump(mode="json") for model in found])
    else:
        output.table(COLUMNS, _rows(found), empty="No model is known yet; `ollama-fleet servers list` shows why.")


@models.command(epilog="Example: ollama-fleet models where llama3.2:3b")
@click.argument("model", required=False)
@json_option
@pass_invocation
def where(invocation: Invocation, *, model: str | None, as_json: bool) -> None:
    """Show which servers have a model, or of every model how many.

    Of one model the first choice comes first. One name can mean different models: then their digests differ,
    and DRIFT says so.
    """
    from api.cli.models import catalogue_view  # noqa: PLC0415  (0.5 s that `--help` need not wait for)

    if model is None:
        catalogue_view.show_all(invocation, as_json=as_json)
    else:
        catalogue_view.show_one(invocation, model, as_json=as_json)


@models.command(epilog="Example: ollama-fleet models disable gpu-1 llama3.2:3b")
@reference_argument
@click.argument("model")
@pass_invocation
def disable(invocation: Invocation, *, reference: str, model: str) -> None:
    """Switch a model of one server off.

    It stays there, and is offered to nobody until it is enabled.
    """
    _say_state(desk(invocation).switched(reference, model, on=False))


@models.command(epilog="Example: ollama-fleet models enable gpu-1 llama3.2:3b")
@reference_argument
@click.argument("model")
@pass_invocation
def enable(invocation: Invocation, *, reference: str, model: str) -> None:
    """Switch a model of one server on again."""
    _say_state(desk(invocation).switched(reference, model, on=True))


def _rows(found: Sequence["ModelView"]) -> Iterator[list[str]]:
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


def _state(model: "ModelView") -> str:
    if model.removed_at is not None:
        return "removed"
    return "active" if model.is_active else "disabled"


def _say_state(model: "ModelView") -> None:
    output.say(f"{text.printable(model.model_name)} on {text.printable(model.server_name)} is {_state(model)}.")
