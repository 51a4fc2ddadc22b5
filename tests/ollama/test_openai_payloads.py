"""Lists in the OpenAI style, of real servers and of none, read into domain types."""

import json
from datetime import timedelta
from typing import Any

import pytest

from monitor.domain.probe import ListedModel, Listing, ProbeResult, Reason
from monitor.ollama import payloads
from tests.fakes import recordings

LATENCY = timedelta(milliseconds=3)


def models(*entries: Any) -> bytes:
    """Return the answer of a server that lists these entries."""
    return json.dumps({"object": "list", "data": list(entries)}).encode()


@pytest.mark.parametrize("recorded", [recordings.LATEST, recordings.OLD, recordings.EMPTY])
def test_the_list_of_a_real_server_has_the_names_of_its_native_one_and_is_a_sign_of_life(recorded: str) -> None:
    body = recordings.load(recorded, "v1-models").body
    listing = payloads.read_openai_listing(body)
    native = payloads.read_listing(recordings.load(recorded, "tags").body)
    assert {model.model_name for model in listing.models} == {model.model_name for model in native.models}
    assert (listing.reason, listing.dropped) == (Reason.OK, 0)
    assert payloads.read_openai_life(body, latency=LATENCY) == ProbeResult(reason=Reason.OK, latency=LATENCY)


@pytest.mark.parametrize("data", ["null", "[]"])
def test_a_server_without_models_says_null_or_lists_none(data: str) -> None:
    body = f'{{"object": "list", "data": {data}}}'.encode()
    assert payloads.read_openai_listing(body) == Listing(reason=Reason.OK)
    assert payloads.read_openai_life(body, latency=LATENCY).reason is Reason.OK


@pytest.mark.parametrize(
    "body", [b'{"data": [{"id": "a:b"}]}', b'{"data": [{"id": "a:b"}], "models": []}', b'[{"id": "a:b"}]']
)
def test_a_list_that_does_not_say_that_it_is_one_is_read_all_the_same(body: bytes) -> None:
    listing = payloads.read_openai_listing(body)
    assert [model.model_name for model in listing.models] == ["a:b"]
    assert payloads.read_openai_life(body, latency=LATENCY).reason is Reason.OK
    assert payloads.read_openai_listing(b'{"data": []}') == Listing(reason=Reason.OK)


def test_only_names_are_read_and_each_once() -> None:
    entries = [{"id": "a:b", "digest": "a" * 64, "capabilities": ["x"], "remote_host": "h"}, {"id": "A:B"}]
    listing = payloads.read_openai_listing(models(*entries))
    assert listing == Listing(reason=Reason.OK, models=(ListedModel(model_name="a:b"),), dropped=1)


def test_entries_without_a_usable_name_are_dropped_and_counted() -> None:
    bad: list[Any] = [None, 1, "a:b", [], {}, {"id": None}, {"id": ""}, {"id": "a\x00b"}, {"id": "\ud800"}]
    bad += [{"id": "x" * 513}, {"name": "a:b"}, {"model": "a:b"}, {"id": ["a:b"]}]
    listing = payloads.read_openai_listing(models(*bad, {"id": "good:1b"}))
    assert [model.model_name for model in listing.models] == ["good:1b"]
    assert listing.dropped == len(bad)


def test_no_more_models_are_kept_than_of_a_native_list() -> None:
    listing = payloads.read_openai_listing(models(*({"id": f"m{number}"} for number in range(payloads.MAX_MODELS + 5))))
    assert (len(listing.models), listing.dropped) == (payloads.MAX_MODELS, 5)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"object": "list"}', Reason.NOT_OLLAMA),
        (b'{"data": null}', Reason.NOT_OLLAMA),
        (b'{"data": [{"name": "a:b"}]}', Reason.NOT_OLLAMA),
        (b'[{"name": "a:b"}]', Reason.NOT_OLLAMA),
        (b'["a:b"]', Reason.NOT_OLLAMA),
        (b'{"object": "model", "data": []}', Reason.NOT_OLLAMA),
        (b'{"object": ["list"], "data": []}', Reason.NOT_OLLAMA),
        (b'{"object": "list", "data": {}}', Reason.NOT_OLLAMA),
        (b'{"object": "list", "data": "missing"}', Reason.NOT_OLLAMA),
        (b'{"object": "list", "data": 0}', Reason.NOT_OLLAMA),
        (b'{"error": {"message": "no"}}', Reason.NOT_OLLAMA),
        (b"[]", Reason.NOT_OLLAMA),
        (b"<html>", Reason.NOT_OLLAMA),
        (b"", Reason.BAD_JSON),
    ],
)
def test_anything_else_is_no_list_and_no_sign_of_life(body: bytes, reason: Reason) -> None:
    listing, life = payloads.read_openai_listing(body), payloads.read_openai_life(body, latency=LATENCY)
    assert (listing.reason, listing.models) == (reason, ())
    assert (life.reason, life.latency) == (reason, None)
    assert listing.detail == life.detail != ""
