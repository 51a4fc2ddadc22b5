"""How addresses in a `.env` are read: what Ollama makes of OLLAMA_HOST, what other programs make of a URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.fleet.importing import addresses
from monitor.domain.errors import InvalidUrlError

LOCAL = "http://127.0.0.1:11434"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("gpu-1", "http://gpu-1:11434"),
        ("gpu-1:1234", "http://gpu-1:1234"),
        ("GPU-1.Example", "http://gpu-1.example:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        ("1.2.3.4:80", "http://1.2.3.4"),
        ("http://1.2.3.4", "http://1.2.3.4"),
        ("https://1.2.3.4", "https://1.2.3.4"),
        ("http://1.2.3.4:11434", "http://1.2.3.4:11434"),
        ("HTTPS://gpu-1:443/", "https://gpu-1"),
        ("https://example.com/ollama/v1", "https://example.com/ollama"),
        ("example.com/ollama/", "http://example.com:11434/ollama"),
        ("ollama.com", "https://ollama.com"),
        (":11434", LOCAL),
        (":1234", "http://127.0.0.1:1234"),
        ("http://", "http://127.0.0.1"),
        ("0.0.0.0", LOCAL),
        ("0.0.0.0:1234", "http://127.0.0.1:1234"),
        ("http://0.0.0.0:11434", LOCAL),
        ("::", "http://[::1]:11434"),
        ("[::]:1234", "http://[::1]:1234"),
        ("[0:0::0]:1234", "http://[::1]:1234"),
        ("::1", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("[fd00::7]:1234", "http://[fd00::7]:1234"),
        ("http://[fd00:0::7]", "http://[fd00::7]"),
        (' "1.2.3.4" ', "http://1.2.3.4:11434"),
        ("'gpu-1:1234'", "http://gpu-1:1234"),
        ("gpu-1:", "http://gpu-1:11434"),
        ("gpu-1:66000", "http://gpu-1:11434"),
        ("http://gpu-1:ollama", "http://gpu-1"),
        ("gpu-1:-1", "http://gpu-1:11434"),
        ("http://user:word@gpu-1:1", "http://gpu-1:1"),
    ],
)
def test_ollama_host_is_read_as_ollama_reads_it(text: str, url: str) -> None:
    assert addresses.read(text, like_ollama=True).url == url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://gpu-1:11434/api", "http://gpu-1:11434"),
        ("http://gpu-1:11434/v1/", "http://gpu-1:11434"),
        ("http://gpu-1", "http://gpu-1"),
        ("gpu-1", "http://gpu-1:11434"),
        ("gpu-1:1234", "http://gpu-1:1234"),
        ("http://0.0.0.0:11434", LOCAL),
        ("http://[::]:11434", "http://[::1]:11434"),
        ("http://bücher.example:11434", "http://xn--bcher-kva.example:11434"),
    ],
)
def test_a_url_is_read_as_programs_read_it(text: str, url: str) -> None:
    assert addresses.read(text).url == url


@pytest.mark.parametrize(
    "text",
    [
        "http://gpu-1:66000",
        "http://gpu-1:port",
        ":11434",
        "http://",
        "ftp://gpu-1",
        "unix:///run/ollama.sock",
        "http://gpu-1?key=hunter2",
        "http://gpu-1/#hunter2",
        "http://user:hun/ter2@gpu-1",
        "http://user:hun#ter2@gpu-1",
        "http://us%fer:hunter2@gpu-1",
        "http://[fe80::1%eth0]:1",
        "http://[zz]:1",
        "[::1",
        "[::1]1234",
        "http://0:11434",
        "gpu 1",
        "gpu-1\\x",
        "http://" + "a" * 3000,
    ],
)
def test_what_is_no_address_is_refused_without_repeating_any_of_it(text: str) -> None:
    with pytest.raises(InvalidUrlError) as caught:
        addresses.read(text)
    assert "ter2" not in str(caught.value)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("text", "username", "password"),
    [
        ("http://anna:word@gpu-1", "anna", "word"),
        ("http://anna:p%40%2F%3A@gpu-1", "anna", "p@/:"),
        ("http://anna:a@b@gpu-1", "anna", "a@b"),
        ("anna:word@gpu-1:1234", "anna", "word"),
        ("http://token@gpu-1", "token", ""),
        ("http://anna:a:b@gpu-1", "anna", "a:b"),
    ],
)
def test_a_user_in_the_address_is_taken_out_of_it_and_masked(text: str, username: str, password: str) -> None:
    address = addresses.read(text)
    assert (address.username, address.password) == (username, password)
    assert address.url.startswith("http://gpu-1")
    assert address.shown.startswith("http://•••@gpu-1")


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("0.0.0.0:1", "0.0.0.0 is an address to listen on, so this machine is meant"),
        (":1", "it names no host, which means this machine"),
        ("gpu-1:x", "its port is none, so Ollama takes the default one"),
        ("gpu-1:1", ""),
    ],
)
def test_what_is_not_taken_as_it_stands_is_said(text: str, note: str) -> None:
    assert addresses.read(text, like_ollama=True).note == note


@given(st.text(max_size=60), st.booleans())
def test_any_text_is_an_address_or_refused(text: str, like_ollama: bool) -> None:
    try:
        url = addresses.read(text, like_ollama=like_ollama).url
    except InvalidUrlError:
        return
    assert addresses.read(url).url == url
