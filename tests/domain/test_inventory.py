"""What a listing changes, as tables: added, changed, removed after two listings, kept on record."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from monitor.domain import inventory
from monitor.domain.inventory import CapabilitySource, Difference, KnownModel, ModelId, Sighting
from monitor.domain.probe import ListedModel, LoadedModel

NOBODY: frozenset[str] = frozenset()
TINY = ListedModel(
    model_name="tiny:latest",
    digest="a" * 64,
    size_bytes=7,
    quantization="Q4_0",
    context_length=4096,
    capabilities=("completion",),
)
PLAIN = replace(TINY, capabilities=None, context_length=None, quantization=None)


def known(
    facts: ListedModel = TINY,
    source: CapabilitySource = CapabilitySource.TAGS,
    *,
    removed: bool = False,
    loaded: LoadedModel | None = None,
) -> KnownModel:
    """A model on record."""
    return KnownModel(id=ModelId(uuid.uuid4()), facts=facts, source=source, removed=removed, loaded=loaded)


def seen(facts: ListedModel = TINY, source: CapabilitySource = CapabilitySource.TAGS) -> Sighting:
    """A model in a listing."""
    return Sighting(facts=facts, source=source)


def test_a_model_that_is_listed_and_on_record_changes_nothing() -> None:
    difference = inventory.diff([known()], [seen()], missed_before=NOBODY)
    assert difference == Difference(unchanged=1)
    assert difference.is_empty


def test_a_model_that_is_not_on_record_is_added() -> None:
    difference = inventory.diff([], [seen()], missed_before=NOBODY)
    assert difference == Difference(added=(seen(),))
    assert not difference.is_empty


@pytest.mark.parametrize("name", ["tiny", "TINY:latest", "library/tiny", "registry.ollama.ai/library/Tiny:LATEST"])
def test_another_spelling_of_the_name_is_the_same_model(name: str) -> None:
    record = known(replace(TINY, model_name=name))
    assert inventory.diff([record], [seen()], missed_before=NOBODY) == Difference(unchanged=1)
    assert inventory.merged(record, seen())[0].model_name == name


def test_a_model_listed_twice_counts_once() -> None:
    difference = inventory.diff([], [seen(), seen(replace(TINY, model_name="Tiny"))], missed_before=NOBODY)
    assert [sighting.facts.model_name for sighting in difference.added] == ["Tiny"]


@pytest.mark.parametrize(
    "change",
    [
        {"digest": "b" * 64},
        {"size_bytes": 8},
        {"quantization": "Q8_0"},
        {"context_length": 8192},
        {"capabilities": ()},
        {"capabilities": ("completion", "tools")},
        {"remote_host": "https://ollama.com"},
        {"family": "llama"},
    ],
)
def test_what_the_listing_says_otherwise_is_a_change(change: dict[str, object]) -> None:
    record, sighting = known(), seen(replace(TINY, **change))  # type: ignore[arg-type]  # a table of any field
    difference = inventory.diff([record], [sighting], missed_before=NOBODY)
    assert difference == Difference(changed=((record, sighting),))
    assert inventory.merged(record, sighting) == (sighting.facts, CapabilitySource.TAGS)


def test_a_model_goes_only_when_two_listings_in_a_row_lack_it() -> None:
    record, other = known(), known(replace(TINY, model_name="other:1b"))
    first = inventory.diff([record, other], [seen()], missed_before=NOBODY)
    assert first == Difference(missing=frozenset({"other:1b"}), unchanged=1)
    assert first.is_empty
    second = inventory.diff([record, other], [seen()], missed_before=first.missing)
    assert second == Difference(removed=(other,), unchanged=1)


def test_what_a_listing_lacks_is_absent_whether_it_goes_now_or_not() -> None:
    record, other = known(), known(replace(TINY, model_name="other:1b"))
    difference = inventory.diff([record, other], [], missed_before=frozenset({"other:1b"}))
    assert difference.absent == {"tiny:latest", "other:1b"}


def test_a_model_that_is_back_in_time_has_to_be_missed_twice_again() -> None:
    record = known()
    first = inventory.diff([record], [], missed_before=NOBODY)
    back = inventory.diff([record], [seen()], missed_before=first.missing)
    assert back == Difference(unchanged=1)
    assert inventory.diff([record], [], missed_before=back.missing).removed == ()


def test_of_two_missing_models_only_the_one_missed_before_goes() -> None:
    old, young = known(), known(replace(TINY, model_name="young:1b"))
    difference = inventory.diff([old, young], [], missed_before=frozenset({"tiny:latest", "stranger:1b"}))
    assert difference.removed == (old,)
    assert difference.missing == {"young:1b"}


def test_a_tombstone_is_neither_missing_nor_removed_again() -> None:
    assert inventory.diff([known(removed=True)], [], missed_before=frozenset({"tiny:latest"})) == Difference()


def test_a_tombstone_that_is_listed_again_comes_back_as_the_same_model() -> None:
    record = known(removed=True)
    difference = inventory.diff([record], [seen()], missed_before=NOBODY)
    assert difference == Difference(changed=((record, seen()),))


@pytest.mark.parametrize("digest", ["a" * 64, "b" * 64])
@pytest.mark.parametrize("told", [None, (), ("vision",)])
def test_what_the_operator_says_of_capabilities_stays(digest: str, told: tuple[str, ...] | None) -> None:
    record = known(replace(TINY, capabilities=("tools",)), CapabilitySource.OPERATOR)
    sighting = seen(replace(TINY, digest=digest, capabilities=told))
    facts, source = inventory.merged(record, sighting)
    assert (facts.capabilities, source) == (("tools",), CapabilitySource.OPERATOR)
    assert facts.digest == digest


@pytest.mark.parametrize("source", [CapabilitySource.SHOW, CapabilitySource.TAGS])
def test_what_was_learnt_of_a_file_is_kept_while_the_file_is_the_same(source: CapabilitySource) -> None:
    record = known(TINY, source)
    sighting = seen(PLAIN, CapabilitySource.NONE)
    assert inventory.merged(record, sighting) == (TINY, source)
    assert inventory.diff([record], [sighting], missed_before=NOBODY) == Difference(unchanged=1)


def test_nothing_learnt_of_a_file_is_carried_over_to_another_file() -> None:
    other = replace(PLAIN, digest="b" * 64)
    record = known(TINY, CapabilitySource.SHOW)
    assert inventory.merged(record, seen(other, CapabilitySource.NONE)) == (other, CapabilitySource.NONE)


def test_what_show_told_now_replaces_what_nobody_knew() -> None:
    sighting = seen(TINY, CapabilitySource.SHOW)
    assert inventory.merged(known(PLAIN, CapabilitySource.NONE), sighting) == (TINY, CapabilitySource.SHOW)


FAR = datetime(2100, 1, 1, tzinfo=UTC)
LOADED = LoadedModel(model_name="tiny:latest", size_bytes=9, size_vram=9, expires_at=FAR)


@pytest.mark.parametrize(
    ("before", "now", "changes"),
    [
        (None, [], []),
        (None, [LOADED], [LOADED]),
        (LOADED, [LOADED], []),
        (LOADED, [], [None]),
        (LOADED, [replace(LOADED, size_vram=4)], [replace(LOADED, size_vram=4)]),
        (LOADED, [replace(LOADED, model_name="TINY")], []),
        (None, [replace(LOADED, model_name="stranger:1b")], []),
    ],
)
def test_residency_changes_name_each_model_whose_state_is_another_one(
    before: LoadedModel | None, now: list[LoadedModel], changes: list[LoadedModel | None]
) -> None:
    record, idle = known(loaded=before), known(replace(TINY, model_name="idle:1b"))
    expected = [(record.id, state) for state in changes]
    assert list(inventory.residency_changes([record, idle], now).items()) == expected


NOW = datetime(2030, 1, 1, tzinfo=UTC)


def leaving(seconds: float | None) -> LoadedModel:
    """A model in memory that is to leave it in so many seconds."""
    return replace(LOADED, expires_at=None if seconds is None else NOW + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("seconds", "moves", "delay"),
    [
        ((), False, None),
        ((), True, 10.0),
        ((None,), False, None),
        ((300.0,), False, 301.0),
        ((300.0, 30.0, None), False, 31.0),
        ((2.0,), False, 10.0),
        ((300.0,), True, 10.0),
    ],
)
def test_memory_is_looked_at_soon_while_it_changes_and_when_the_time_of_a_model_ends(
    seconds: tuple[float | None, ...], moves: bool, delay: float | None
) -> None:
    assert inventory.next_look([leaving(each) for each in seconds], moves=moves, at=NOW) == delay


def test_a_model_that_is_there_after_its_time_is_in_use_until_nobody_knows_when() -> None:
    found = inventory.in_memory([leaving(-1.0), leaving(0.0), leaving(1.0), leaving(None)], at=NOW)
    assert found == (leaving(None), leaving(None), leaving(1.0), leaving(None))
