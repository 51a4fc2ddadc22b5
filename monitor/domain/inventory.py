"""The difference between the models a server listed and the models on record, as plain data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import UUID

from monitor.domain import model_name
from monitor.domain.probe import ListedModel, LoadedModel

ModelId = NewType("ModelId", UUID)
# Seconds to the next look into a memory that changes, and from the end of a model's time to the look that confirms it.
WHILE_MOVING = 10.0
AFTER_END = 1.0


class CapabilitySource(StrEnum):
    """Who said what a model can do; what the operator says is never overwritten."""

    NONE = "none"
    TAGS = "tags"
    SHOW = "show"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A model on record. `removed` marks a tombstone: it was listed once and is not any more."""

    id: ModelId
    facts: ListedModel
    source: CapabilitySource
    removed: bool = False
    loaded: LoadedModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """A listed model together with who told its capabilities."""

    facts: ListedModel
    source: CapabilitySource


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a good listing changes.

    `missing` holds the names that were absent now but may be back; named again by the next
    listing's difference they end up in `removed`.
    """

    added: tuple[Sighting, ...] = ()
    changed: tuple[tuple[KnownModel, Sighting], ...] = ()
    removed: tuple[KnownModel, ...] = ()
    missing: frozenset[str] = frozenset()
    unchanged: int = 0

    @property
    def absent(self) -> frozenset[str]:
        """The names of all that the listing lacked although it is on record."""
        return self.missing | {model_name.key(record.facts.model_name) for record in self.removed}

    @property
    def size(self) -> int:
        """How many models it changes, each by an event."""
        return len(self.added) + len(self.changed) + len(self.removed)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return self.size == 0


def diff(known: Sequence[KnownModel], listed: Sequence[Sighting], *, missed_before: frozenset[str]) -> Difference:
    """Compare what is on record with a good listing.

    A model that is absent is removed only when `missed_before`, the `missing` of the previous good
    listing, names it too: a manifest that is being pulled is silently absent for a moment.
    """
    records = {model_name.key(record.facts.model_name): record for record in known}
    sightings = {model_name.key(sighting.facts.model_name): sighting for sighting in listed}
    added: list[Sighting] = []
    changed: list[tuple[KnownModel, Sighting]] = []
    for key, sighting in sightings.items():
        record = records.get(key)
        if record is None:
            added.append(sighting)
        elif record.removed or merged(record, sighting) != (record.facts, record.source):
            changed.append((record, sighting))
    absent = {key for key, record in records.items() if key not in sightings and not record.removed}
    removed = absent & missed_before
    return Difference(
        added=tuple(added),
        changed=tuple(changed),
        removed=tuple(records[key] for key in sorted(removed)),
        missing=frozenset(absent - removed),
        unchanged=len(sightings) - len(added) - len(changed),
    )


def merged(record: KnownModel, sighting: Sighting) -> tuple[ListedModel, CapabilitySource]:
    """Return the facts to store: the listing's, with what lists of older servers leave out kept from the record.

    What was learnt about one digest is not carried over to another one, but the operator's word on
    capabilities always stands.
    """
    facts, source = sighting.facts, sighting.source
    same_file = facts.digest == record.facts.digest
    if record.source is CapabilitySource.OPERATOR or (facts.capabilities is None and same_file):
        facts, source = replace(facts, capabilities=record.facts.capabilities), record.source
    if same_file:
        facts = replace(
            facts,
            context_length=facts.context_length or record.facts.context_length,
            quantization=facts.quantization or record.facts.quantization,
        )
    return replace(facts, model_name=record.facts.model_name), source


def residency_changes(
    known: Sequence[KnownModel], loaded: Sequence[LoadedModel]
) -> Mapping[ModelId, LoadedModel | None]:
    """Return the new loaded state of each model on record whose loaded state is different now."""
    now = {model_name.key(model.model_name): model for model in loaded}
    changes: dict[ModelId, LoadedModel | None] = {}
    for record in known:
        state = now.get(model_name.key(record.facts.model_name))
        if state is not None:
            state = replace(state, model_name=record.facts.model_name)
        if state != record.loaded:
            changes[record.id] = state
    return changes


def in_memory(loaded: Sequence[LoadedModel], *, at: datetime) -> tuple[LoadedModel, ...]:
    """Return the models of a look at a time as they are to be kept.

    What is in use stays beyond its `expires_at`, which then tells nothing: it is None until the model is idle again.
    """
    return tuple(
        replace(model, expires_at=None) if model.expires_at is not None and model.expires_at <= at else model
        for model in loaded
    )


def next_look(loaded: Sequence[LoadedModel], *, moves: bool, at: datetime) -> float | None:
    """Return the seconds to the next look into memory, None when it has time until the next listing.

    `moves`: it holds other models, or another share of them, than at the look before. It is looked at right after the
    time of a model ends.
    """
    if moves:
        return WHILE_MOVING
    ends = [(model.expires_at - at).total_seconds() for model in loaded if model.expires_at is not None]
    return max(WHILE_MOVING, min(ends) + AFTER_END) if ends else None


def told(known: Sequence[KnownModel], changes: Mapping[ModelId, LoadedModel | None]) -> int:
    """Return how many changes of what is in memory are events: when a model is to be unloaded is none."""
    before = {record.id: record.loaded for record in known}
    return sum(_without_end(before[model_id]) != _without_end(after) for model_id, after in changes.items())


def _without_end(loaded: LoadedModel | None) -> LoadedModel | None:
    return loaded and replace(loaded, expires_at=None)
