"""The catalogue of models for a person: one model with its servers, or every model in a line."""

import sys
from collections.abc import Iterator, Sequence

from api.cli.invocation import Invocation
from api.cli.reach import Reach
from api.cli.screen import output, text
from api.cli.screen.column import Column
from api.fleet.resolution.catalogue import CatalogueEntry

PAGE = 500
SHORT_DIGEST = 12
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


def show_all(invocation: Invocation, *, as_json: bool) -> None:
    """Print every model with how many servers have it."""
    found = invocation.on_fleet(_all_models)
    if as_json:
        output.as_json(found)
    else:
        output.table(
            MODEL_COLUMNS, _models(found), empty="No model is known yet; `ollama-fleet servers list` shows why."
        )


def show_one(invocation: Invocation, model: str, *, as_json: bool) -> None:
    """Print the servers that have a model; raises the `Refused` that names the nearest ones."""
    entry = invocation.on_fleet(lambda reach: reach.resolver.model(model))
    if as_json:
        output.as_json(entry)
        return
    output.table(PLACE_COLUMNS, _places(entry), empty="")
    if entry["digest_drift"]:
        output.note(f"The servers have {len(entry['digests'])} different models under this name: pull it anew on them.")


async def _all_models(reach: Reach) -> list[CatalogueEntry]:
    found: list[CatalogueEntry] = []
    cursor: str | None = None
    while True:
        page = await reach.resolver.models(limit=PAGE, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


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
