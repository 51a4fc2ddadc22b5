"""Every problem code the API can answer with: its status and what it means, for the description of the API."""

from dataclasses import dataclass
from http import HTTPStatus


@dataclass(frozen=True, slots=True)
class Code:
    """`meaning` is a sentence without the particulars of one request."""

    status: HTTPStatus
    meaning: str


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
    "scope_missing": Code(HTTPStatus.FORBIDDEN, "The token lacks a scope; `scope` says which."),
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
    "too_many_failures": Code(HTTPStatus.TOO_MANY_REQUESTS, "Too many wrong tokens came from this address."),
    "internal": Code(HTTPStatus.INTERNAL_SERVER_ERROR, "A fault of the API; its log says more."),
    "discovery_failed": Code(HTTPStatus.BAD_GATEWAY, "The server did not list its models; `reason` says why."),
    "database_unavailable": Code(HTTPStatus.SERVICE_UNAVAILABLE, "PostgreSQL is away; try again in a moment."),
    "credential_unreadable": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No key of the key ring opens the credential."),
    "key_ring_unavailable": Code(HTTPStatus.SERVICE_UNAVAILABLE, "There is no key to store a credential with."),
    "no_server_available": Code(
        HTTPStatus.SERVICE_UNAVAILABLE, "All that have the model are down; `servers` says why."
    ),
    "no_active_server": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No server is active."),
    "fleet_not_read": Code(HTTPStatus.SERVICE_UNAVAILABLE, "The API has not read the fleet yet since its start."),
    "monitor_absent": Code(HTTPStatus.SERVICE_UNAVAILABLE, "No monitor is at work; the request stands."),
    "too_many_streams": Code(HTTPStatus.SERVICE_UNAVAILABLE, "As many streams as may be are open already."),
    "not_answered_in_time": Code(HTTPStatus.GATEWAY_TIMEOUT, "The monitor has not done it in time; it still will."),
}
