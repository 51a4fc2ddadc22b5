"""Answers of real servers, and answers that no server should send, read into domain types."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.domain.probe import Listing, ProbeResult, Reason, Residency, ShownModel
from monitor.ollama import payloads
from tests.fakes import recordings

LATENCY = timedelta(milliseconds=3)
DIGEST = "a" * 64


def tags(*entries: Any) -> bytes:
    """Return the answer of a server that lists these entries."""
    return json.dumps({"models": list(entries)}).encode()


def version(body: bytes) -> ProbeResult:
    """Read a version's answer."""
    return payloads.read_version(body, latency=LATENCY)


@pytest.mark.parametrize("recorded", [recordings.LATEST, recordings.OLD])
def test_the_version_of_a_real_server_is_read(recorded: str) -> None:
    result = version(recordings.load(recorded, "version").body)
    assert result == ProbeResult(reason=Reason.OK, latency=LATENCY, server_version=recorded)


def test_the_list_of_a_new_server_has_capabilities_and_context_and_marks_cloud_stubs() -> None:
    listing = payloads.read_listing(recordings.load(recordings.LATEST, "tags").body)
    by_name = {model.model_name: model for model in listing.models}
    assert (listing.reason, listing.dropped, len(by_name)) == (Reason.OK, 0, 6)
    cloud = by_name["gpt-oss:120b-cloud"]
    assert cloud.remote_host == "https://ollama.com:443"
    assert cloud.capabilities == ("completion", "tools", "thinking")
    assert cloud.context_length == 131072
    assert cloud.quantization == "MXFP4"
    assert "hf.co/acme/Tiny-GGUF:Q4_K_M" in by_name


def test_the_list_of_an_old_server_says_nothing_of_capabilities_and_quantization() -> None:
    listing = payloads.read_listing(recordings.load(recordings.OLD, "tags").body)
    model = next(model for model in listing.models if model.model_name == "tiny-plain:7b-q4_K_M")
    assert model.capabilities is None
    assert model.quantization is None
    assert model.context_length is None
    assert model.size_bytes == 691978
    assert model.digest == "c4c0e1769504b8fb9dedffe19d5fde163985b73922276bc990bab59b962eb4f8"
    assert model.parameter_size == "172K"


def test_an_empty_server_lists_nothing() -> None:
    body = recordings.load(recordings.EMPTY, "tags").body
    assert payloads.read_listing(body) == Listing(reason=Reason.OK)


def test_what_a_real_server_has_in_memory_is_read() -> None:
    (loaded,) = payloads.read_residency(recordings.load(recordings.OLD, "ps").body).models or ()
    assert loaded.model_name == "tiny-chat:latest"
    assert loaded.size_bytes == 88943872
    assert loaded.size_vram == 0
    assert loaded.expires_at == datetime(2026, 11, 24, 1, 13, 45, 963661, tzinfo=UTC)


@pytest.mark.parametrize("recorded", [recordings.LATEST, recordings.OLD])
@pytest.mark.parametrize("name", ["tiny-chat", "nomic-tiny", "user-tiny-v2"])
def test_what_a_real_server_shows_of_a_model_is_read(recorded: str, name: str) -> None:
    recording = recordings.load(recorded, f"show-{name}")
    shown = payloads.read_shown(recording.body)
    info = recording.document["model_info"]
    assert shown.reason is Reason.OK
    assert shown.capabilities == tuple(recording.document["capabilities"])
    assert shown.context_length == info[f"{info['general.architecture']}.context_length"]


@pytest.mark.parametrize("recorded", [recordings.LATEST, recordings.OLD])
def test_no_path_of_the_server_is_kept(recorded: str) -> None:
    for path in recordings.FOLDER.joinpath(recorded).glob("*.json"):
        body = recordings.load(recorded, path.stem).body
        for result in (payloads.read_listing(body), payloads.read_shown(body)):
            assert "/var/lib" not in repr(result)
    leaking = {"model": "a:b", "details": {"parent_model": "/var/lib/ollama/blobs/x"}}
    assert "/var/lib" not in repr(payloads.read_listing(tags(leaking)))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.BAD_JSON),
        (b"{", Reason.BAD_JSON),
        (b'{"version": "1"} x', Reason.BAD_JSON),
        (b"\xff\xfe\x00", Reason.BAD_JSON),
        (b'{"version": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", Reason.BAD_JSON),
        (b" <html>", Reason.NOT_OLLAMA),
        (b"[]", Reason.NOT_OLLAMA),
        (b"null", Reason.NOT_OLLAMA),
        (b"1" * 5000, Reason.NOT_OLLAMA),
        (b"{}", Reason.NOT_OLLAMA),
        (b'{"version": 1}', Reason.NOT_OLLAMA),
        (b'{"version": null}', Reason.NOT_OLLAMA),
        (b'{"version": ""}', Reason.NOT_OLLAMA),
        (b'{"version": "\\u0000\\ud800"}', Reason.NOT_OLLAMA),
    ],
)
def test_an_answer_without_a_version_has_a_reason(body: bytes, reason: Reason) -> None:
    result = version(body)
    assert result.reason is reason
    assert result.detail


@pytest.mark.parametrize("value", ["missing", {}, "", 0, False, "text", {"a": 1}])
def test_a_list_of_the_wrong_shape_is_not_an_empty_list(value: Any) -> None:
    document = {} if value == "missing" else {"models": value}
    assert payloads.read_listing(json.dumps(document).encode()).reason is Reason.NOT_OLLAMA
    assert payloads.read_residency(json.dumps(document).encode()).reason is Reason.NOT_OLLAMA


def test_a_list_that_is_null_is_the_empty_list_of_an_old_server() -> None:
    assert payloads.read_listing(b'{"models": null}') == Listing(reason=Reason.OK)
    assert payloads.read_residency(b'{"models": null}') == Residency(reason=Reason.OK, models=())


@pytest.mark.parametrize(
    "entry",
    [
        None,
        1,
        "llama3",
        [],
        {},
        {"model": ""},
        {"model": " "},
        {"model": 7},
        {"model": "a\u0000b"},
        {"model": "a\nb"},
        {"model": "a\ud800b"},
        {"model": "a" * 513},
        {"name": None},
        {"model": "GOOD:latest"},
        {"model": "library/good"},
    ],
)
def test_a_bad_entry_is_dropped_and_counted_and_the_good_ones_are_kept(entry: Any) -> None:
    listing = payloads.read_listing(tags({"model": "good:latest"}, entry, {"name": "old-style:1b"}))
    assert [model.model_name for model in listing.models] == ["good:latest", "old-style:1b"]
    assert listing.dropped == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"size": -1},
        {"size": 0},
        {"size": 2**63},
        {"size": 10**30},
        {"size": True},
        {"size": 1.5},
        {"size": "5"},
        {"size": None},
        {"digest": "a" * 63},
        {"digest": "sha256:" + DIGEST},
        {"digest": DIGEST + "\n"},
        {"digest": 5},
        {"details": None},
        {"details": []},
        {"details": {"family": 1, "parameter_size": [], "context_length": 2**31}},
        {"details": {"context_length": -5, "quantization_level": "unknown", "family": "\u0000"}},
        {"capabilities": "completion"},
        {"remote_host": 5},
    ],
)
def test_a_field_that_cannot_be_used_is_unknown(fields: dict[str, Any]) -> None:
    listing = payloads.read_listing(tags({"model": "a:b"} | fields))
    assert listing == payloads.read_listing(tags({"model": "a:b"}))


def test_not_a_number_and_numbers_without_an_end_cost_only_their_field() -> None:
    body = b'{"models": [{"model": "a:b", "size": NaN}, {"model": "c:d", "size": %s}]}' % (b"9" * 5000)
    listing = payloads.read_listing(body)
    assert [(model.model_name, model.size_bytes) for model in listing.models] == [("a:b", None), ("c:d", None)]


def test_texts_are_cleaned_and_bounded() -> None:
    details = {"family": "lla\u0000ma\ud800\u202e", "parameter_size": "7" * 1000}
    (model,) = payloads.read_listing(tags({"model": "a:b", "details": details, "digest": DIGEST.upper()})).models
    assert model.family == "llama"
    assert model.parameter_size == "7" * 64
    assert model.digest == DIGEST


def test_a_credential_in_the_address_of_a_cloud_is_not_kept() -> None:
    (model,) = payloads.read_listing(tags({"model": "a:b", "remote_host": "https://me:secret@cloud.example"})).models
    assert model.remote_host == "https://cloud.example"


def test_capabilities_keep_unknown_words_once_and_tell_none_from_absent() -> None:
    words = ["completion", "telepathy", "completion", 5, "", None]
    (some, none, absent) = payloads.read_listing(
        tags({"model": "a", "capabilities": words}, {"model": "b", "capabilities": []}, {"model": "c"})
    ).models
    assert some.capabilities == ("completion", "telepathy")
    assert none.capabilities == ()
    assert absent.capabilities is None


def test_a_list_is_cut_at_the_most_models_and_the_rest_is_counted() -> None:
    entries = [{"model": f"m{number}:latest"} for number in range(payloads.MAX_MODELS + 5)]
    listing = payloads.read_listing(tags(*entries))
    assert len(listing.models) == payloads.MAX_MODELS
    assert listing.dropped == 5


def test_a_million_entries_that_are_no_models_are_counted() -> None:
    listing = payloads.read_listing(b'{"models": [' + b"{}," * 1_000_000 + b'{"model": "a:b"}]}')
    assert [model.model_name for model in listing.models] == ["a:b"]
    assert listing.dropped == 1_000_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24T01:13:45.963661192Z", datetime(2026, 11, 24, 1, 13, 45, 963661, tzinfo=UTC)),
        ("2026-11-24T03:13:45.5+02:00", datetime(2026, 11, 24, 1, 13, 45, 500000, tzinfo=UTC)),
        ("2318-03-07T09:00:00Z", datetime(2318, 3, 7, 9, tzinfo=UTC)),
        ("9999-12-31T23:59:59-12:00", None),
        ("0001-01-01T00:00:00Z", None),
        ("2026-11-24T01:13:45", None),
        ("12026-11-24T01:13:45Z", None),
        ("soon", None),
        (17, None),
        (None, None),
    ],
)
def test_the_end_of_a_loaded_model_is_read_or_unknown(text: Any, moment: datetime | None) -> None:
    (loaded,) = payloads.read_residency(tags({"model": "a:b", "expires_at": text})).models or ()
    assert loaded.expires_at == moment


@pytest.mark.parametrize("info", [None, [], {}, {"general.architecture": 5}, {"general.architecture": "x"}])
def test_a_model_without_a_known_context_length_is_shown_without_one(info: Any) -> None:
    body = json.dumps({"details": {}, "model_info": info}).encode()
    assert payloads.read_shown(body) == ShownModel(reason=Reason.OK)


def test_an_answer_that_describes_no_model_is_not_from_ollama() -> None:
    assert payloads.read_shown(b"{}").reason is Reason.NOT_OLLAMA
