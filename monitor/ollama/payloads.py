"""From an answer's bytes to domain types: what cannot be used is dropped and counted, the rest is kept.

Nothing a server sends makes these functions raise. At most `MAX_MODELS` models of a list are kept.
Strings come out clean and bounded, fit for text and jsonb columns; file paths of the server
(`parent_model`, model files) are never read.
"""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TypeVar, cast

from monitor.domain import model_name
from monitor.domain.probe import (
    ListedModel,
    Listing,
    LoadedModel,
    ProbeResult,
    Reason,
    Residency,
    ShownModel,
)
from monitor.ollama import fields
from monitor.ollama.document import Unusable, parse, parse_object

MAX_MODELS = 10_000
MAX_VERSION = 64

Model = TypeVar("Model", ListedModel, LoadedModel)

_USER_INFO = re.compile(r"//[^/@]*@")


def read_version(body: bytes, *, latency: timedelta) -> ProbeResult:
    """Read the answer of `/api/version`."""
    document = parse_object(body)
    if isinstance(document, Unusable):
        return ProbeResult(reason=document.reason, detail=document.detail)
    version = document.get("version")
    version = fields.clean(version, MAX_VERSION) if isinstance(version, str) else ""
    if not version:
        return ProbeResult(reason=Reason.NOT_OLLAMA, detail="The answer names no version, as Ollama does.")
    return ProbeResult(reason=Reason.OK, latency=latency, server_version=version)


def read_listing(body: bytes) -> Listing:
    """Read the answer of `/api/tags`."""
    entries = _parse_entries(body)
    if isinstance(entries, Unusable):
        return Listing(reason=entries.reason, detail=entries.detail)
    models, dropped = _collect(entries, _listed)
    return Listing(reason=Reason.OK, models=models, dropped=dropped)


def read_openai_life(body: bytes, *, latency: timedelta) -> ProbeResult:
    """Read the answer of `/v1/models` as a sign of life, whatever models there are."""
    entries = _parse_openai_entries(body)
    if isinstance(entries, Unusable):
        return ProbeResult(reason=entries.reason, detail=entries.detail)
    return ProbeResult(reason=Reason.OK, latency=latency)


def read_openai_listing(body: bytes) -> Listing:
    """Read the answer of `/v1/models`: names and nothing else."""
    entries = _parse_openai_entries(body)
    if isinstance(entries, Unusable):
        return Listing(reason=entries.reason, detail=entries.detail)
    models, dropped = _collect(entries, _openai_listed, named_by=("id",))
    return Listing(reason=Reason.OK, models=models, dropped=dropped)


def read_residency(body: bytes) -> Residency:
    """Read the answer of `/api/ps`."""
    entries = _parse_entries(body)
    if isinstance(entries, Unusable):
        return Residency(reason=entries.reason, detail=entries.detail)
    models, _ = _collect(entries, _loaded)
    return Residency(reason=Reason.OK, models=models)


def read_shown(body: bytes) -> ShownModel:
    """Read the answer of `/api/show`."""
    document = parse_object(body)
    if isinstance(document, Unusable):
        return ShownModel(reason=document.reason, detail=document.detail)
    if "details" not in document and "model_info" not in document:
        return ShownModel(reason=Reason.NOT_OLLAMA, detail="The answer does not describe a model.")
    info = fields.mapping(document.get("model_info"))
    architecture = info.get("general.architecture")
    context_key = f"{architecture}.context_length" if isinstance(architecture, str) else ""
    return ShownModel(
        reason=Reason.OK,
        capabilities=fields.capabilities(document.get("capabilities")),
        context_length=fields.context_length(info.get(context_key)),
    )


def _parse_entries(body: bytes) -> list[Any] | Unusable:
    document = parse_object(body)
    if isinstance(document, Unusable):
        return document
    entries = document.get("models", "missing")
    if entries is None:
        # Servers before 0.1.4 say null for an empty list.
        return []
    if not isinstance(entries, list):
        return Unusable(reason=Reason.NOT_OLLAMA, detail="The answer holds no list of models, as Ollama's does.")
    return entries


def _parse_openai_entries(body: bytes) -> list[Any] | Unusable:
    document = parse(body)
    if isinstance(document, Unusable):
        return document
    # Some give the bare list, or leave out that it is one; of an empty one nobody could tell what it lists.
    said = {"data": document} if document and isinstance(document, list) else fields.mapping(document)
    entries, kind = said.get("data", "missing"), said.get("object")
    # Ollama says null for an empty list.
    if kind == "list" and entries is None:
        return []
    is_list = isinstance(entries, list) and kind in ("list", None)
    if not is_list or (
        entries and kind is None and not any(isinstance(each, dict) and "id" in each for each in entries)
    ):
        detail = "The answer is no list of models, as an OpenAI-style API gives."
        return Unusable(reason=Reason.NOT_OLLAMA, detail=detail)
    return cast(list[Any], entries)


def _collect(
    entries: list[Any],
    read: Callable[[str, dict[str, Any]], Model],
    *,
    named_by: tuple[str, ...] = ("model", "name"),
) -> tuple[tuple[Model, ...], int]:
    """Return the usable models, the first of each name, and the number of entries that are none."""
    models: dict[str, Model] = {}
    for name, entry in _named(entries, named_by):
        key = model_name.key(name)
        if key not in models:
            models[key] = read(name, entry)
            if len(models) == MAX_MODELS:
                break
    return tuple(models.values()), len(entries) - len(models)


def _named(entries: list[Any], named_by: tuple[str, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    for entry in entries:
        if isinstance(entry, dict):
            name = next(filter(None, (fields.name(entry.get(key)) for key in named_by)), None)
            if name is not None:
                yield name, entry


def _listed(name: str, entry: dict[str, Any]) -> ListedModel:
    details = fields.mapping(entry.get("details"))
    quantization = fields.string(details.get("quantization_level"))
    remote_host = fields.string(entry.get("remote_host"), limit=255)
    return ListedModel(
        model_name=name,
        digest=fields.digest(entry.get("digest")),
        size_bytes=fields.size(entry.get("size")),
        family=fields.string(details.get("family")),
        parameter_size=fields.string(details.get("parameter_size")),
        quantization=None if quantization == "unknown" else quantization,
        context_length=fields.context_length(details.get("context_length")),
        capabilities=fields.capabilities(entry.get("capabilities")),
        remote_host=_USER_INFO.sub("//", remote_host) if remote_host else None,
    )


def _openai_listed(name: str, _entry: dict[str, Any]) -> ListedModel:
    return ListedModel(model_name=name)


def _loaded(name: str, entry: dict[str, Any]) -> LoadedModel:
    return LoadedModel(
        model_name=name,
        size_bytes=fields.size(entry.get("size")),
        size_vram=fields.size(entry.get("size_vram")) or 0,
        expires_at=fields.moment(entry.get("expires_at")),
    )
