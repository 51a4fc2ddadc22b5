"""Why a request brought no usable answer: every error as one reason of the contract."""

import errno
import ssl
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

import aiohttp
from aiohttp.http_exceptions import LineTooLong

from monitor.domain.probe import MAX_DETAIL, Reason
from monitor.ollama import fields

# The connection ended before the head of an answer came.
DISCONNECTIONS = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
OWN_FAULTS = {
    errno.EMFILE: "This monitor has no file descriptors left.",
    errno.ENFILE: "This machine has no file descriptors left.",
    errno.ENOBUFS: "This machine has no buffers left for a connection.",
    errno.ENOMEM: "This machine has no memory left for a connection.",
    errno.EADDRNOTAVAIL: "This machine has no local address or port left for a connection.",
    errno.ENETDOWN: "The network of this machine is down.",
    errno.EACCES: "This machine does not permit the connection.",
    errno.EPERM: "This machine does not permit the connection.",
}
# By the numbers that OpenSSL gives to what is wrong with a certificate.
UNTRUSTED = {
    **dict.fromkeys((2, 18, 19, 20, 21), "No authority that is trusted here has signed the certificate"),
    9: "The certificate is not valid yet",
    10: "The certificate, or one that it was signed with, has expired",
    **dict.fromkeys((62, 64), "The certificate is for another name"),
}
# Alerts by which a server speaks of the certificate that it was shown, or was not.
OF_OUR_CERTIFICATE = frozenset(
    {
        "access denied",
        "bad certificate",
        "certificate expired",
        "certificate required",
        "certificate revoked",
        "certificate unknown",
        "decrypt error",
        "unknown ca",
        "unsupported certificate",
    }
)
REFUSES, WANTS = "refuses the client certificate", "wants a client certificate, and none is set"
# What nginx says in the body of a 400.
NGINX_ON_CERTIFICATES = (b"No required SSL certificate was sent", b"The SSL certificate error")
NO_ROUTE = {
    errno.EHOSTUNREACH: "The host cannot be reached.",
    errno.EHOSTDOWN: "The host cannot be reached.",
    errno.ENETUNREACH: "There is no route to the network of the host.",
    # So Linux says of a route that is a black hole.
    errno.EINVAL: "The route to the host leads nowhere.",
    errno.EAFNOSUPPORT: "This machine does not speak the address family of the host.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request without a usable answer; `status` is the HTTP status if there was one.

    `elsewhere`: the server said at which other address it is to be asked.
    """

    reason: Reason
    detail: str
    status: int | None = None
    retry_after: timedelta | None = None
    elsewhere: bool = False


class FailureError(Exception):
    """Carries a failure out of the depth of a connection attempt; it never leaves this package."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.failure = Failure(reason=reason, detail=fields.clean(detail, MAX_DETAIL))


def of_connecting(error: OSError) -> Failure:
    """Return what an error of the operating system while connecting means."""
    number = error.errno
    if number in OWN_FAULTS:
        return Failure(reason=Reason.LOCAL, detail=OWN_FAULTS[number])
    if number in NO_ROUTE:
        return Failure(reason=Reason.UNREACHABLE, detail=NO_ROUTE[number])
    if number == errno.ECONNREFUSED:
        return Failure(reason=Reason.REFUSED, detail="Nothing listens on the port.")
    if number == errno.ETIMEDOUT:
        return Failure(reason=Reason.CONNECT_TIMEOUT, detail="No connection in time.")
    if isinstance(error, ConnectionError):
        return Failure(reason=Reason.RESET, detail="The connection was closed while it was being made.")
    name = errno.errorcode.get(number or 0, "unknown")
    return Failure(reason=Reason.PROTOCOL, detail=f"The connection failed with the error {name}.")


def of_tls(error: ssl.SSLError | ssl.CertificateError, *, shown: bool = False) -> Failure:
    """Return what a failure of TLS means, in OpenSSL's words but without its source lines.

    `shown` is whether this side has a certificate to show. A server that does not take it, or wants one, says so
    in the handshake, and with TLS 1.3 after it, in the place of an answer.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or "unknown cause"
        meaning = UNTRUSTED.get(error.verify_code, "The certificate is not trusted")
        return Failure(reason=Reason.TLS, detail=fields.clean(f"{meaning}: {why}.", MAX_DETAIL))
    why = (getattr(error, "reason", None) or "unknown cause").replace("_", " ").lower()
    _, _, alert = why.partition(" alert ")
    if alert in OF_OUR_CERTIFICATE:
        return Failure(reason=Reason.TLS, detail=f"The server {REFUSES if shown else WANTS} (TLS alert: {alert}).")
    if alert == "handshake failure" and not shown:
        why = f"{alert}; it may want a client certificate, and none is set"
    return Failure(reason=Reason.TLS, detail=fields.clean(f"The TLS handshake failed: {why}.", MAX_DETAIL))


def of_certificate(status: int, content: bytes | None, *, shown: bool) -> Failure | None:
    """Return what nginx answers to a client certificate that it does not take, or misses; None for other answers."""
    if status != HTTPStatus.BAD_REQUEST or not any(words in (content or b"") for words in NGINX_ON_CERTIFICATES):
        return None
    detail = f"A proxy in front of the server {REFUSES if shown else WANTS} (HTTP {status})."
    return Failure(reason=Reason.TLS, detail=detail, status=status)


def of_exchange(error: Exception, *, shown: bool = False) -> Failure:
    """Return what an error means that came up anywhere in a request; unknown ones are `protocol`."""
    # aiohttp's own error takes over the number of an error of TLS, which is EPERM to the operating system.
    chain = sorted(_chain(error), key=lambda link: not isinstance(link, FailureError | ssl.SSLError))
    for link in chain:
        known = _of_link(link, shown=shown)
        if known is not None:
            return known
    if isinstance(error, DISCONNECTIONS) or _was_cut_short(chain):
        return Failure(reason=Reason.RESET, detail="The connection was closed or reset before the whole answer.")
    return Failure(reason=Reason.PROTOCOL, detail="The answer breaks the rules of HTTP.")


def _of_link(error: BaseException, *, shown: bool) -> Failure | None:
    match error:
        case FailureError():
            return error.failure
        case LineTooLong():
            return Failure(reason=Reason.TOO_LARGE, detail="A header of the answer is too long.")
        case ssl.SSLError():
            return of_tls(error, shown=shown)
        case OSError() if error.errno in OWN_FAULTS or error.errno in NO_ROUTE:
            return of_connecting(error)
        case OSError() if error.errno == errno.ETIMEDOUT:
            return Failure(reason=Reason.TIMEOUT, detail="The connection went dead before the whole answer.")
        case _:
            return None


def _was_cut_short(chain: list[BaseException]) -> bool:
    return any(isinstance(link, aiohttp.ClientPayloadError) and "not completed" in str(link) for link in chain)


def _chain(error: BaseException) -> list[BaseException]:
    links: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in links:
        links.append(link)
        link = link.__cause__ or link.__context__
    return links
