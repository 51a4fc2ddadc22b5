"""The base URL of a server: one spelling for each address, and a clear refusal for anything else.

Rules (contract section 5): http or https, host in lower case and ASCII, default port and trailing
slashes dropped, a path prefix kept, `/v1` and `/api` at the end dropped because people paste them, and the
routes of Ollama below these, `/api/generate` or `/v1/chat/completions`, with them.
"""

import ipaddress
import re
import string
from urllib.parse import quote

import idna

from monitor.domain.errors import InvalidUrlError

MAX_LENGTH = 2048
MAX_HOST_LENGTH = 253
MAX_PORT = 65535
DEFAULT_PORTS = {"http": 80, "https": 443}
ROUTES_OF_OLLAMA = "version|tags|ps|show|pull|generate|chat|embed|embeddings"
ROUTES_OF_OPENAI = "models|completions|chat/completions|embeddings|responses"
# What people paste along, by what it begins with.
PASTED = {"api": frozenset(ROUTES_OF_OLLAMA.split("|")), "v1": frozenset(ROUTES_OF_OPENAI.split("|"))}
OLLAMA_PORT = 11434
UNRESERVED = frozenset(string.ascii_letters + string.digits + "-._~")

_SHAPE = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<rest>.*)", re.DOTALL
)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
# An address that only lacks the http://, and is surely one: it is repeated, so nothing else may look like it.
_BARE = re.compile(
    rf"(localhost|[0-9]{{1,3}}(\.[0-9]{{1,3}}){{3}})(:[0-9]{{1,5}})?/?|[A-Za-z0-9.-]{{1,253}}:{OLLAMA_PORT}/?"
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
NO_HOST_NAME = "must be the name of a host alone, such as gpu-1.example, without scheme, port or path"
WITH_A_CREDENTIAL = "The URL must not carry a user name or password; give them as `auth` instead."


def normalize(text: str) -> str:
    """Return the one spelling of a base URL, without a trailing slash.

    Raises `InvalidUrlError` with a sentence that says what is wrong and what to write instead.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidUrlError(f"The URL is longer than {MAX_LENGTH} characters.")
    if any(char.isspace() or not char.isprintable() for char in text) or "\\" in text:
        raise InvalidUrlError("The URL contains blanks, control characters or a backslash; remove them.")
    shape = _SHAPE.fullmatch(text)
    if shape is None or shape["scheme"].lower() not in DEFAULT_PORTS:
        raise InvalidUrlError(f"The URL must begin with http:// or https://, {_example(text)}.")
    if shape["rest"]:
        raise InvalidUrlError("The URL must not have a part after ? or #; give the base address only.")
    scheme = shape["scheme"].lower()
    host, port = _split_authority(shape["authority"])
    suffix = "" if port is None or port == DEFAULT_PORTS[scheme] else f":{port}"
    url = f"{scheme}://{_normalize_host(host)}{suffix}{_normalize_path(shape['path'])}"
    if len(url) > MAX_LENGTH:
        raise InvalidUrlError(f"The URL is longer than {MAX_LENGTH} characters once it is encoded.")
    return url


def origin(url: str) -> str:
    """Return scheme, host and port of a normalised URL, as far as they are written: who answers there is one party."""
    scheme, rest = url.split("://", 1)
    return f"{scheme}://{rest.split('/', 1)[0]}"


def host_name(text: str) -> str:
    """Return the one spelling of a host's name or address alone; raises `InvalidUrlError`."""
    try:
        url = normalize(f"https://[{text}]" if ":" in text else f"https://{text}")
    except InvalidUrlError as error:
        raise InvalidUrlError(NO_HOST_NAME) from error
    host = url.removeprefix("https://")
    if "/" in host or "/" in text:
        raise InvalidUrlError(NO_HOST_NAME)
    return host.strip("[]")


def literal_address(url: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Return the IP address a normalised URL names, or None when it names a host."""
    host = url.split("://", 1)[1].split("/", 1)[0]
    host = host[1 : host.index("]")] if host.startswith("[") else host.split(":", 1)[0]
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _example(text: str) -> str:
    bare = _BARE.fullmatch(text)
    if bare is None:
        return f"for example http://gpu-1.example:{OLLAMA_PORT}"
    has_port = ":" in text
    return f"so write http://{text.rstrip('/')}{'' if has_port else f':{OLLAMA_PORT}'}"


def _split_authority(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise InvalidUrlError(WITH_A_CREDENTIAL)
    if authority.startswith("["):
        host, bracket, port_text = authority.partition("]")
        between, colon, port_text = port_text.partition(":")
        host += bracket
    else:
        host, colon, port_text = authority.partition(":")
        between, bracket = "", "]"
    if not bracket or between or ":" in port_text:
        raise InvalidUrlError("The IPv6 address in the URL must stand in brackets, as in http://[::1]:11434.")
    if not colon:
        return host, None
    if not port_text:
        raise InvalidUrlError("The URL has a colon after the host but no port number.")
    if not (port_text.isascii() and port_text.isdigit() and 0 < int(port_text) <= MAX_PORT):
        raise InvalidUrlError(f"The port in the URL must be a number from 1 to {MAX_PORT}.")
    return host, int(port_text)


def _normalize_host(host: str) -> str:
    if host.startswith("["):
        literal = _without_zone(host[1:-1])
        try:
            return f"[{_compressed(ipaddress.IPv6Address(literal))}]"
        except ValueError as error:
            raise InvalidUrlError("The URL holds no valid IPv6 address in its brackets.") from error
    name = _to_ascii(host).lower().removesuffix(".")
    if not name:
        raise InvalidUrlError("The URL names no host.")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _normalize_ipv4(name)
    if len(name) > MAX_HOST_LENGTH or not all(_LABEL.fullmatch(label) for label in labels):
        raise InvalidUrlError("The host in the URL is not a valid host name.")
    return name


def _without_zone(address: str) -> str:
    if "%" in address:
        raise InvalidUrlError("The IPv6 address in the URL must not carry a zone (the part after %).")
    return address


def _compressed(address: ipaddress.IPv6Address) -> str:
    inner = address.ipv4_mapped
    # Versions of Python differ in how they write these.
    return address.compressed if inner is None else f"::ffff:{int(inner) >> 16:x}:{int(inner) & 0xFFFF:x}"


def _to_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return idna.encode(host, uts46=True).decode("ascii")
    except idna.IDNAError as error:
        raise InvalidUrlError("The host in the URL is not a valid international host name.") from error


def _normalize_ipv4(name: str) -> str:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError as error:
        raise InvalidUrlError(
            "The host in the URL ends in a number but is not a plain IPv4 address like 192.168.1.20."
        ) from error


def _normalize_path(path: str) -> str:
    if _BAD_ESCAPE.search(path):
        raise InvalidUrlError("The path in the URL has a % that does not begin a percent-encoded character.")
    encoded = quote(path, safe="/%:@!$&'()*+,;=-._~")
    encoded = _ESCAPE.sub(_one_spelling, encoded)
    if any(segment in {".", ".."} for segment in encoded.split("/")):
        raise InvalidUrlError("The path in the URL must not contain . or .. as a segment.")
    return _without_pasted(encoded)


def _without_pasted(path: str) -> str:
    """Return a path without the slashes and pasted routes at its end, in one walk from there."""
    segments = path.split("/")
    while True:
        del segments[_end(segments, len(segments)) :]
        begin = _begin_of_pasted(segments)
        if begin is None:
            return "/".join(segments)
        del segments[begin:]


def _begin_of_pasted(segments: list[str]) -> int | None:
    """Return where a pasted prefix or route begins with which a path ends."""
    if segments[-1] in PASTED:
        return len(segments) - 1
    route = 2 if segments[-2:] == ["chat", "completions"] else 1
    end = _end(segments, len(segments) - route)
    return end - 1 if "/".join(segments[-route:]) in PASTED.get(segments[end - 1], ()) else None


def _end(segments: list[str], end: int) -> int:
    """Return where a path ends without empty segments; the one before the first slash stays."""
    while end > 1 and not segments[end - 1]:
        end -= 1
    return end


def _one_spelling(escape: re.Match[str]) -> str:
    """Return an escape in capitals, or the character itself where it needs none (RFC 3986, 6.2.2.2)."""
    char = chr(int(escape[0][1:], 16))
    return char if char in UNRESERVED else escape[0].upper()
