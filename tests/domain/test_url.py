"""The base URL rules as tables: what is accepted and how it is spelt, what is refused and why."""

import ipaddress

import pytest

from monitor.domain import url
from monitor.domain.errors import FleetError, InvalidUrlError

HOST = "http://gpu-1.example"
BASE = f"{HOST}:11434"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        # Scheme, host, port.
        (BASE, BASE),
        ("HTTP://GPU-1.Example:11434", BASE),
        ("hTTps://GPU-1.Example", "https://gpu-1.example"),
        (f"{HOST}:80", HOST),
        ("https://gpu-1.example:443", "https://gpu-1.example"),
        ("https://gpu-1.example:80", "https://gpu-1.example:80"),
        (f"{HOST}:443", f"{HOST}:443"),
        (f"{HOST}:0080", HOST),
        (f"{HOST}:00000000000011434", BASE),
        (f"{HOST}:1", f"{HOST}:1"),
        (f"{HOST}:65535", f"{HOST}:65535"),
        ("http://gpu-1.example.:11434", BASE),
        ("http://gpu_1:11434", "http://gpu_1:11434"),
        ("http://localhost", "http://localhost"),
        (f"http://{'a' * 63}.example", f"http://{'a' * 63}.example"),
        # IPv4, in its plain form only.
        ("http://192.168.1.20:11434", "http://192.168.1.20:11434"),
        ("http://192.168.1.20.", "http://192.168.1.20"),
        ("http://１２７.０.０.１", "http://127.0.0.1"),
        ("http://127。0。0。1", "http://127.0.0.1"),
        ("http://10.gpu", "http://10.gpu"),
        # IPv6.
        ("http://[::1]:11434", "http://[::1]:11434"),
        ("http://[::1]", "http://[::1]"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[FD00:0:0:0::ABCD]", "http://[fd00::abcd]"),
        ("http://[2001:0db8:0000:0000:0000:0000:0000:0001]", "http://[2001:db8::1]"),
        ("http://[::FFFF:192.168.1.20]", "http://[::ffff:c0a8:114]"),
        ("http://[::ffff:c0a8:114]", "http://[::ffff:c0a8:114]"),
        # International names.
        ("http://bücher.example", "http://xn--bcher-kva.example"),
        ("http://BÜCHER.example.", "http://xn--bcher-kva.example"),
        ("http://xn--bcher-kva.example", "http://xn--bcher-kva.example"),
        ("http://faß.example", "http://xn--fa-hia.example"),
        ("http://ⓖⓟⓤ.example", "http://gpu.example"),
        # Paths.
        (f"{BASE}/", BASE),
        (f"{BASE}///", BASE),
        (f"{BASE}/ollama", f"{BASE}/ollama"),
        (f"{BASE}/Ollama/", f"{BASE}/Ollama"),
        (f"{BASE}/a//b", f"{BASE}/a//b"),
        (f"{BASE}/v1", BASE),
        (f"{BASE}/v1/", BASE),
        (f"{BASE}/api", BASE),
        (f"{BASE}/api/v1//", BASE),
        (f"{BASE}/ollama/v1", f"{BASE}/ollama"),
        (f"{BASE}/ollama//api/", f"{BASE}/ollama"),
        (f"{BASE}/my-api", f"{BASE}/my-api"),
        (f"{BASE}/api/tags", BASE),
        (f"{BASE}/api/generate/", BASE),
        (f"{BASE}/ollama//api//chat", f"{BASE}/ollama"),
        (f"{BASE}/v1/chat/completions", BASE),
        (f"{BASE}/api/v1/models", BASE),
        (f"{BASE}/tags", f"{BASE}/tags"),
        (f"{BASE}/api/fleet", f"{BASE}/api/fleet"),
        (f"{BASE}/my-api/chat", f"{BASE}/my-api/chat"),
        (f"{BASE}/a%2fb", f"{BASE}/a%2Fb"),
        (f"{BASE}/%6fll%61m%41%2D%2e%5f%7E%30", f"{BASE}/ollamA-._~0"),
        (f"{BASE}/%61pi/%761", BASE),
        (f"{BASE}/größe", f"{BASE}/gr%C3%B6%C3%9Fe"),
        (f'{BASE}/"|"', f"{BASE}/%22%7C%22"),
        (f"{BASE}/%252e%252e", f"{BASE}/%252e%252e"),
        (f"{BASE}/user@host:8", f"{BASE}/user@host:8"),
    ],
)
def test_an_address_has_one_spelling(text: str, normal: str) -> None:
    assert url.normalize(text) == normal
    assert url.normalize(normal) == normal


@pytest.mark.parametrize(
    ("text", "why"),
    [
        # Not a web address at all.
        ("", "begin with http"),
        ("gpu-1:11434", "begin with http:// or https://, so write http://gpu-1:11434."),
        ("127.0.0.1:8080/", "begin with http:// or https://, so write http://127.0.0.1:8080."),
        ("localhost", "begin with http:// or https://, so write http://localhost:11434."),
        ("operator:2718", "begin with http:// or https://, for example http://gpu-1.example:11434."),
        ("gpu-1.example", "begin with http"),
        ("//gpu-1.example", "begin with http"),
        ("http:/gpu-1.example", "begin with http"),
        ("http:gpu-1", "begin with http"),
        ("ftp://gpu-1.example", "begin with http"),
        ("file:///etc/passwd", "begin with http"),
        ("javascript://gpu-1", "begin with http"),
        ("unix:///run/ollama.sock", "begin with http"),
        # Hidden characters.
        (f" {BASE}", "blanks"),
        (f"{BASE}\n", "blanks"),
        ("http://gpu\t-1", "blanks"),
        ("http://gpu\x00", "blanks"),
        ("http://gpu\u200b-1", "blanks"),
        ("http://gpu\u202e1", "blanks"),
        ("http://gpu\ud800", "blanks"),
        ("http:\\\\gpu-1", "backslash"),
        ("http://gpu-1\\@evil.example", "backslash"),
        # Parts a base address does not have.
        (f"{BASE}?", "after ? or #"),
        (f"{BASE}/?x=1", "after ? or #"),
        (f"{BASE}#", "after ? or #"),
        (f"{BASE}/#/models", "after ? or #"),
        ("http://user@gpu-1", "user name or password"),
        ("http://user:secret@gpu-1", "user name or password"),
        ("http://@gpu-1", "user name or password"),
        ("http://gpu-1:80@169.254.169.254", "user name or password"),
        # Ports.
        (f"{HOST}:", "no port number"),
        ("http://[::1]:", "no port number"),
        (f"{HOST}:0", "from 1 to 65535"),
        (f"{HOST}:000000", "from 1 to 65535"),
        (f"{HOST}:65536", "from 1 to 65535"),
        (f"{HOST}:0000011434999", "from 1 to 65535"),
        (f"{HOST}:-1", "from 1 to 65535"),
        (f"{HOST}:+80", "from 1 to 65535"),
        (f"{HOST}:8_0", "from 1 to 65535"),
        (f"{HOST}:０８０", "from 1 to 65535"),
        (f"{HOST}:²", "from 1 to 65535"),
        (f"{HOST}:http", "from 1 to 65535"),
        # Hosts.
        ("http://", "names no host"),
        ("http:///path", "names no host"),
        ("http://:11434", "names no host"),
        ("http://.", "names no host"),
        ("http://gpu..example", "not a valid host name"),
        ("http://.gpu", "not a valid host name"),
        ("http://gpu-1..", "not a valid host name"),
        ("http://-gpu", "not a valid host name"),
        ("http://gpu-", "not a valid host name"),
        ("http://gpu%2d1", "not a valid host name"),
        ("http://%67pu", "not a valid host name"),
        ("http://gpu,1", "not a valid host name"),
        ("http://gpu*", "not a valid host name"),
        ("http://gpu'1", "not a valid host name"),
        (f"http://{'a' * 64}.example", "not a valid host name"),
        (f"http://{'a.' * 127}example", "not a valid host name"),
        ("http://gpu：80", "international"),
        ("http://gpu＠evil.example", "international"),
        ("http://ⓖ／ü", "international"),
        ("http://😀.example", "international"),
        (f"http://{'ü' * 64}.example", "international"),
        # IPv4 in disguise.
        ("http://2130706433", "plain IPv4"),
        ("http://0x7f000001", "plain IPv4"),
        ("http://0X7F.0.0.1", "plain IPv4"),
        ("http://0x7f.1", "plain IPv4"),
        ("http://0177.0.0.1", "plain IPv4"),
        ("http://017700000001", "plain IPv4"),
        ("http://127.1", "plain IPv4"),
        ("http://127.0.0.01", "plain IPv4"),
        ("http://127.0.0.0x1", "plain IPv4"),
        ("http://1.2.3.4.5", "plain IPv4"),
        ("http://256.1.1.1", "plain IPv4"),
        ("http://２１３０７０６４３３", "plain IPv4"),
        ("http://gpu.0x", "plain IPv4"),
        ("http://gpu.1", "plain IPv4"),
        # IPv6.
        ("http://::1", "stand in brackets"),
        ("http://::1:11434", "stand in brackets"),
        ("http://[::1", "stand in brackets"),
        ("http://[::1]80", "stand in brackets"),
        ("http://[::1]:80:80", "stand in brackets"),
        ("http://gpu]:80:1", "stand in brackets"),
        ("http://[]", "no valid IPv6"),
        ("http://[gpu]", "no valid IPv6"),
        ("http://[127.0.0.1]", "no valid IPv6"),
        ("http://[::1::]", "no valid IPv6"),
        ("http://[v1.x]", "no valid IPv6"),
        ("http://[[::1]]", "stand in brackets"),
        ("http://[fe80::1%eth0]", "zone"),
        ("http://[fe80::1%25eth0]", "zone"),
        # Paths.
        (f"{BASE}/..", "as a segment"),
        (f"{BASE}/a/../b", "as a segment"),
        (f"{BASE}/./", "as a segment"),
        (f"{BASE}/%2e%2E/api", "as a segment"),
        (f"{BASE}/.%2e", "as a segment"),
        (f"{BASE}/%", "percent-encoded"),
        (f"{BASE}/%zz", "percent-encoded"),
        (f"{BASE}/%2", "percent-encoded"),
    ],
)
def test_what_is_no_base_url_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(InvalidUrlError, match=why.replace(".", r"\.").replace("?", r"\?")) as caught:
        url.normalize(text)
    assert isinstance(caught.value, FleetError)
    assert isinstance(caught.value, ValueError)


def test_a_secret_in_a_url_is_not_repeated_in_the_refusal() -> None:
    with pytest.raises(InvalidUrlError) as caught:
        url.normalize("http://operator:hunter2@gpu-1")
    assert "hunter2" not in str(caught.value)


def test_a_url_has_at_most_2048_characters_as_written_and_as_encoded() -> None:
    room = url.MAX_LENGTH - len(BASE) - 1
    assert len(url.normalize(f"{BASE}/{'a' * room}")) == 2048
    with pytest.raises(InvalidUrlError, match="longer than 2048"):
        url.normalize(f"{BASE}/{'a' * (room + 1)}")
    with pytest.raises(InvalidUrlError, match="once it is encoded"):
        url.normalize(f"{BASE}/{'ü' * (room // 2)}")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("http://127.0.0.1:11434/ollama", "127.0.0.1"),
        ("http://[fd00::1]:11434", "fd00::1"),
        ("https://[::1]/x", "::1"),
        (BASE, None),
        ("http://localhost", None),
    ],
)
def test_a_literal_address_is_told_from_a_name(text: str, address: str | None) -> None:
    assert url.literal_address(text) == (None if address is None else ipaddress.ip_address(address))
