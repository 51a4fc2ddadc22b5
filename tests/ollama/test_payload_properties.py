"""Whatever bytes come in, what comes out is a result that a database can hold."""

import json
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.ollama import payloads

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        key: values | st.text(st.characters(codec=None), min_size=1)
        for key in ("id", "name", "model", "size", "digest", "capabilities", "remote_host", "expires_at", "size_vram")
    }
    | {"details": values | st.dictionaries(st.sampled_from(["family", "parameter_size"]), values)},
)
documents = st.builds(
    lambda found, kind: json.dumps({"models": found, "object": kind, "data": found}).encode(),
    st.none() | st.lists(entries | values),
    st.just("list") | values,
)


def all_texts(value: Any) -> list[str]:
    """Return every string in a result."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, tuple):
        return [text for part in value for text in all_texts(part)]
    slots = getattr(type(value), "__slots__", ())
    return [text for slot in slots for text in all_texts(getattr(value, slot))]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary() | documents)
def test_any_bytes_give_a_result_that_a_database_can_hold(body: bytes) -> None:
    results = (
        payloads.read_version(body, latency=timedelta()),
        payloads.read_listing(body),
        payloads.read_openai_life(body, latency=timedelta()),
        payloads.read_openai_listing(body),
        payloads.read_residency(body),
        payloads.read_shown(body),
    )
    for text in all_texts(results):
        assert "\x00" not in text
        assert text.encode("utf-8").decode("utf-8") == text
        assert len(text) <= 512
