"""Refusals as HTTP has them (RFC 9457): each code with its status and its headers, and what to ask for next."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import hdrs

from api.fleet.refusals import Next, Refused

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:ollama-fleet:problem:"
RETRY_SECONDS = 2
# A fact that is told in a header.
RETRY_AFTER = "retry_after"
INVALID_TOKEN = 'Bearer error="invalid_token"'
# What a client without a good token is told to send, by code.
CHALLENGES = {
    "token_missing": "Bearer",
    "token_unknown": INVALID_TOKEN,
    "token_expired": INVALID_TOKEN,
    "token_revoked": INVALID_TOKEN,
    "token_changed": INVALID_TOKEN,
    "scope_missing": 'Bearer error="insufficient_scope", scope="{scope}"',
}
NEXT = {
    Next.LIST_SERVERS: "GET /api/servers lists those there are.",
    Next.LIST_MODELS: "GET /api/models lists those there are.",
    Next.LIST_MODELS_OF_SERVER: "GET /api/servers/{id}/models lists those it has.",
    Next.ACTIVATE: "Set is_active to true first.",
    Next.READ_SERVER_AGAIN: "Read the server again in a moment.",
    Next.ASK_READINESS: "/readyz says why.",
    Next.FIT_MODEL: "Ask for less, or pull it on one that fits.",
    Next.FIT_SERVER: "Ask for less, or ask with server_url.",
    Next.ALLOW_CLOUD: "Ask with cloud=true if prompts may go there.",
    Next.ADD_OR_NAME_URL: "Add one, or ask with server_url.",
    Next.ACTIVATE_OR_NAME_URL: "Activate one, or ask with server_url.",
    Next.ASK_FOR_A_MODEL: "That is the name of a server; ask for a model, or ask with server_url.",
}


@dataclass(frozen=True, slots=True)
class Code:
    """`meaning` is a sentence without the particulars of one request; with `retries` the same may soon succeed."""

    status: HTTPStatus
    meaning: str
    retries: bool = False


CODES = {
    "bad_json": Code(HTTPStatus.BAD_REQUEST, "The body is not JSON that can be read in one way only."),
    "bad_request": Code(HTTPStatus.BAD_REQUEST, "The request is not proper HTTP."),
    "token_in_query": Code(HTTPStatus.BAD_REQUEST, "A token is in the address, where it does not belong."),
    "several_tokens": Code(HTTPStatus.BAD_REQUEST, "There are several Authorization headers."),
    "token_missing": Code(HTTPStatus.UNAUTHORIZED, "The API wants a token."),
    "token_unknown": Code(HTTPStatus.UNAUTHORIZED, "The API does not know this token."),
    "token_expired": Code(HTTPStatus.UNAUTHORIZED, "The token has expired."),
    "token_revoked": Code(HTTPStatus.UNAUTHORIZED, "The token was revoked."),
    "token_changed": Code(HTTPStatus.UNAUTHORIZED, "The token was changed meanwhile; ask again."),
    "scope_missing": Code(HTTPStatus.FORBIDDEN, "The token, or who has none, lacks a scope; `scope` says which."),
    "cross_site": Code(HTTPStatus.FORBIDDEN, "A web page of another site had a browser send this."),
    "host_not_allowed": Code(HTTPStatus.FORBIDDEN, "The Host header does not name this API."),
    "not_found": Code(HTTPStatus.NOT_FOUND, "Nothing is at this path."),
    "server_not_found": Code(HTTPStatus.NOT_FOUND, "There is no such server."),
    "model_not_found": Code(HTTPStatus.NOT_FOUND, "There is no such model."),
    "method_not_allowed": Code(HTTPStatus.METHOD_NOT_ALLOWED, "The path does not take this method."),
    "body_too_slow": Code(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."),
    "name_taken": Code(HTTPStatus.CONFLICT, "Another server has this name; `existing_id` says which."),
    "url_taken": Code(HTTPStatus.CONFLICT, "Another server has this URL; `existing_id` says which."),
    "server_inactive": Code(HTTPStatus.CONFLICT, "The server is inactive, so nobody asks it anything."),
    "cursor_unknown": Code(HTTPStatus.CONFLICT, "That event number was never given: the database was restored."),
    "cursor_expired": Code(HTTPStatus.GONE, "Events after that number are no longer held; `first_seq` is the oldest."),
    "precondition_failed": Code(HTTPStatus.PRECONDITION_FAILED, "The server is not at the row version of If-Match."),
    "too_large": Code(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is larger than is taken."),
    "unsupported_media_type": Code(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is of another type than is taken."),
    "invalid": Code(HTTPStatus.UNPROCESSABLE_ENTITY, "A field or parameter is wrong; `errors` names each."),
    "invalid_cursor": Code(HTTPStatus.UNPROCESSABLE_ENTITY, "The cursor is none that a page before gave."),
    "unknown_parameter": Code(HTTPStatus.UNPROCESSABLE_ENTITY, "The path does not know this parameter."),
    "too_many_failures": Code(
        HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens came from this address.", retries=True
    ),
    "internal": Code(HTTPStatus.INTERNAL_SERVER_ERROR, "A fault of the API; its log says more."),
    "discovery_failed": Code(HTTPStatus.BAD_GATEWAY, "The server did not list its models; `reason` says why."),
    "database_unavailable": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "PostgreSQL is away; try again in a moment.", retries=True
    ),
    "credential_unreadable": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No key of the key ring opens the credential."),
    "key_ring_unavailable": Code(HTTPStatus.SERVICE_UNAVAILABLE, "There is no key to store a credential with."),
    "no_server_available": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "All that have the model are down; `servers` says why.", retries=True
    ),
    "no_active_server": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No server is active.", retries=True),
    "fleet_not_read": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "The API has not read the fleet yet since its start.", retries=True
    ),
    "monitor_absent": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No monitor is at work; the request stands.", retries=True),
    "too_many_connections": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "As many connections as may be have a request already.", retries=True
    ),
    "too_many_streams": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "As many streams as may be are open already.", retries=True
    ),
    "not_answered_in_time": Code(HTTPStatus.GATEWAY_TIMEOUT, "The monitor has not done it in time; it still will."),
}


class HttpRefused(Refused):
    """A refusal that only HTTP knows, with a status or headers that its code alone does not tell."""

    def __init__(
        self,
        code: str,
        detail: str,
        /,
        *,
        status: HTTPStatus | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.status = status
        self.headers = dict(headers or {})


def status(refused: Refused) -> HTTPStatus:
    """Return the status that a refusal is told with."""
    own = refused.status if isinstance(refused, HttpRefused) else None
    return own or CODES[refused.code].status


def headers(refused: Refused) -> dict[str, str]:
    """Return the headers that go with a refusal."""
    found = dict(refused.headers) if isinstance(refused, HttpRefused) else {}
    if (challenge := CHALLENGES.get(refused.code)) is not None:
        found[hdrs.WWW_AUTHENTICATE] = challenge.format(**refused.facts)
    if CODES[refused.code].retries:
        found[hdrs.RETRY_AFTER] = str(refused.facts.get(RETRY_AFTER, RETRY_SECONDS))
    return found


def document(refused: Refused) -> dict[str, Any]:
    """Return the body that tells a refusal.

    `why` is what `detail` says without what to do over HTTP, for those who say in other words what is `next`.
    """
    detail, then = refused.detail, {}
    if refused.next is not None:
        detail, then = f"{detail} {NEXT[refused.next]}", {"why": detail, "next": refused.next.value}
    return {
        "type": TYPE_PREFIX + refused.code,
        "title": title(refused.code),
        "status": status(refused).value,
        **{name: value for name, value in refused.document().items() if name != RETRY_AFTER},
        "detail": detail,
        **then,
    }


def title(code: str) -> str:
    """Return a code for people."""
    return code.replace("_", " ").capitalize()
