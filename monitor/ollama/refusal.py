"""What an answer with another status than 200 means, in a reason, a sentence and the server's own words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit

from monitor.domain import credential as credentials
from monitor.domain import reasons
from monitor.domain import url as base_url
from monitor.domain.credential import Credential
from monitor.domain.errors import InvalidUrlError
from monitor.domain.probe import MAX_DETAIL, Reason
from monitor.ollama import fields
from monitor.ollama.document import Unusable, parse_object
from monitor.ollama.failure import Failure

MAX_RETRY_AFTER = timedelta(hours=1)
FIRST_SERVER_ERROR = 500
UNLIKE_OLLAMA = "Ollama does not answer like this (HTTP {})."
GATEWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT})
# They may repeat what they were sent, such as the credential with its middle starred out.
SILENT = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
# What nginx, Go's own server (Caddy, Traefik) and Apache say to plain HTTP on a port for HTTPS.
ON_HTTPS_PORT = (b"https port", b"https server", b"ssl-enabled server port")
MAX_WORDS = 120
MOST_READ = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An answer that is none: `asked` is the whole URL, `body` None when it is longer than is read."""

    status: int
    body: bytes | None
    headers: Mapping[str, str]
    asked: str
    credential: Credential | None


def explain(refusal: Refusal) -> Failure:
    """Return what it means; `elsewhere` where the server is to be asked at another address."""
    retry_after = _parse_retry_after(refusal.headers.get("Retry-After"))
    elsewhere = _elsewhere(refusal)
    if elsewhere is not None:
        reason, detail = Reason.NOT_OLLAMA, elsewhere
    else:
        reason, detail = _meaning(refusal)
        words = _words(refusal)
        detail = f'{detail[:-1]}: "{words}".' if words else detail
    return Failure(
        reason=reason,
        detail=fields.clean(detail, MAX_DETAIL),
        status=refusal.status,
        retry_after=retry_after,
        elsewhere=elsewhere is not None,
    )


def _meaning(refusal: Refusal) -> tuple[Reason, str]:
    status = refusal.status
    if status == HTTPStatus.UNAUTHORIZED or (status == HTTPStatus.FORBIDDEN and refusal.body != b""):
        is_native = "/api/" in urlsplit(refusal.asked).path
        who = "A proxy in front of the server" if is_native else "The server, or a proxy in front of it,"
        refused = "wants a credential, and none is stored" if refusal.credential is None else "refuses the credential"
        return Reason.AUTH, f"{who} {refused} (HTTP {status})."
    if status == HTTPStatus.FORBIDDEN:
        return Reason.HOST_RULE, "Ollama refused the Host header (HTTP 403); set OLLAMA_HOST on the server."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return Reason.BUSY, f"The server is busy (HTTP {status})."
    if status in GATEWAY:
        # Ollama never says so to these questions: its queue is at generate and chat.
        return Reason.SERVER_ERROR, f"A proxy in front of the server does not reach it (HTTP {status})."
    if status >= FIRST_SERVER_ERROR:
        return Reason.SERVER_ERROR, f"The server failed (HTTP {status})."
    is_redirect = HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST
    seen = "A redirect (HTTP {}), which Ollama never sends; not followed." if is_redirect else UNLIKE_OLLAMA
    return Reason.NOT_OLLAMA, seen.format(status)


def _elsewhere(refusal: Refusal) -> str | None:
    """Return the detail of an answer that sends the same question to https, None of any other one."""
    asked = urlsplit(refusal.asked)
    if refusal.status == HTTPStatus.BAD_REQUEST and asked.scheme == "http":
        said = (refusal.body or b"")[:MOST_READ].lower()
        return reasons.HTTPS_PORT if any(words in said for words in ON_HTTPS_PORT) else None
    location = refusal.headers.get("Location")
    if location is None or not HTTPStatus.MULTIPLE_CHOICES <= refusal.status < HTTPStatus.BAD_REQUEST:
        return None
    try:
        there = urlsplit(urljoin(refusal.asked, location[: base_url.MAX_LENGTH]))
        if there.scheme != "https" or there.path.rsplit("/", 2)[1:] != asked.path.rsplit("/", 2)[1:]:
            return None
        address = base_url.normalize(f"https://{there.netloc}{there.path}")
    except (InvalidUrlError, ValueError):
        return None
    detail = reasons.HTTPS_REDIRECT.format(status=refusal.status, url=address)
    # A longer one would be cut in the middle of the address.
    return detail if len(detail) <= MAX_DETAIL else None


def _words(refusal: Refusal) -> str | None:
    """Return the error that the server tells, natively or in OpenAI's way, unless a secret of ours is in it."""
    if refusal.status in SILENT or not refusal.body or len(refusal.body) > MOST_READ:
        return None
    document = parse_object(refusal.body)
    if isinstance(document, Unusable):
        return None
    told = document.get("error")
    told = told.get("message") if isinstance(told, dict) else told
    if not isinstance(told, str) or any(secret in told for secret in credentials.secrets(refusal.credential)):
        return None
    return fields.string(told.rstrip(" ."), limit=MAX_WORDS)


def _parse_retry_after(value: str | None) -> timedelta | None:
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=min(int(value[:9]), 10**6)), MAX_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(value)
        wait = moment.astimezone(UTC) - datetime.now(UTC)
    except (ValueError, OverflowError):
        return None
    return min(max(wait, timedelta()), MAX_RETRY_AFTER)
