"""Model names as Ollama reads them, as tables; and what must hold for any text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.domain import model_name
from monitor.domain.errors import FleetError, InvalidModelNameError
from monitor.domain.model_name import ModelName

HOST, NAMESPACE = model_name.DEFAULT_HOST, model_name.DEFAULT_NAMESPACE


@pytest.mark.parametrize(
    ("text", "parts", "short"),
    [
        ("llama3", (HOST, NAMESPACE, "llama3", "latest"), "llama3:latest"),
        ("llama3:8b", (HOST, NAMESPACE, "llama3", "8b"), "llama3:8b"),
        ("library/llama3", (HOST, NAMESPACE, "llama3", "latest"), "llama3:latest"),
        ("acme/llama3:8b", (HOST, "acme", "llama3", "8b"), "acme/llama3:8b"),
        (f"{HOST}/library/llama3:8b", (HOST, NAMESPACE, "llama3", "8b"), "llama3:8b"),
        ("Registry.Ollama.AI/Library/Llama3", ("Registry.Ollama.AI", "Library", "Llama3", "latest"), "Llama3:latest"),
        (f"{HOST}/acme/tiny", (HOST, "acme", "tiny", "latest"), "acme/tiny:latest"),
        ("hf.co/acme/tiny:Q4_K_M", ("hf.co", "acme", "tiny", "Q4_K_M"), "hf.co/acme/tiny:Q4_K_M"),
        ("hf.co/library/tiny", ("hf.co", "library", "tiny", "latest"), "hf.co/library/tiny:latest"),
        (
            "registry.acme.example:5000/team/tiny",
            ("registry.acme.example:5000", "team", "tiny", "latest"),
            "registry.acme.example:5000/team/tiny:latest",
        ),
        ("localhost:5000/team/tiny:1b", ("localhost:5000", "team", "tiny", "1b"), "localhost:5000/team/tiny:1b"),
        ("gpt-oss:120b-cloud", (HOST, NAMESPACE, "gpt-oss", "120b-cloud"), "gpt-oss:120b-cloud"),
        ("qwen3:cloud", (HOST, NAMESPACE, "qwen3", "cloud"), "qwen3:cloud"),
        ("qwen2.5-coder:7b-instruct-q4_0", (HOST, NAMESPACE, "qwen2.5-coder", "7b-instruct-q4_0"), None),
    ],
)
def test_a_name_has_four_parts_and_a_short_form(text: str, parts: tuple[str, ...], short: str | None) -> None:
    name = ModelName.parse(text)
    assert (name.host, name.namespace, name.model, name.tag) == parts
    assert str(name) == (short or text)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("llama3", "llama3:latest", True),
        ("llama3", "LLAMA3:Latest", True),
        ("llama3", "library/llama3", True),
        ("llama3", "registry.ollama.ai/library/llama3:latest", True),
        ("hf.co/Acme/Tiny:Q4_K_M", "hf.co/acme/tiny:q4_k_m", True),
        ("llama3", "llama3:8b", False),
        ("llama3", "acme/llama3", False),
        ("acme/tiny", "hf.co/acme/tiny", False),
        ("qwen3", "qwen3:cloud", False),
        ("", "", True),
        ("a b", "A B", True),
    ],
)
def test_names_compare_as_ollama_compares_them(one: str, other: str, same: bool) -> None:
    assert (model_name.key(one) == model_name.key(other)) is same


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "llama 3",
        "llama3\n",
        "llama3\x00",
        "llama3\ud800",
        "llama3:",
        ":8b",
        "/",
        "/llama3",
        "//llama3",
        "acme/",
        "acme/:8b",
        "hf.co//tiny",
        "/acme/tiny",
        "//tiny/x",
        "x" * 513,
    ],
)
def test_what_no_server_could_list_is_refused(text: str) -> None:
    with pytest.raises(InvalidModelNameError) as caught:
        ModelName.parse(text)
    assert isinstance(caught.value, FleetError)
    assert model_name.key(text) == text.lower()


def test_the_tag_counts_towards_the_longest_name() -> None:
    longest = "x" * (512 - len(":latest"))
    assert len(str(ModelName.parse(longest))) == 512
    with pytest.raises(InvalidModelNameError, match="tag included"):
        ModelName.parse(longest + "x")


PART = st.text(alphabet="aB3.-_ü", min_size=1, max_size=6)
NAMES = st.one_of(
    st.text(max_size=30),
    st.text(alphabet="aB/:. ", max_size=12),
    st.builds("{}:{}/{}/{}:{}".format, PART, st.integers(1, 65_535), PART, PART, PART),
    st.builds("{}/{}".format, st.sampled_from([HOST, HOST.upper(), f"{HOST}/library", "library", "hf.co/x"]), PART),
)


@settings(deadline=None, max_examples=200)
@given(NAMES)
def test_the_short_form_names_the_same_model(text: str) -> None:
    try:
        name = ModelName.parse(text)
    except InvalidModelNameError:
        return
    again = ModelName.parse(str(name))
    assert again.key == name.key == model_name.key(text)
    assert str(again) == str(name)
    assert model_name.key(text.swapcase()) == name.key or not text.isascii()
