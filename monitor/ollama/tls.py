"""What the TLS of a connection goes by: whom to trust, what to show, and which name to expect.

There is one context for each distinct configuration, and as many are kept as go into a quarter of a gigabyte. The
certificate of a server is verified with each of them: nothing turns that off.
"""

import os
import ssl
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from monitor.credentials import certificates
from monitor.domain.credential import ClientKey, Unreadable
from monitor.domain.errors import ConfigurationError, InvalidPemError
from monitor.domain.probe import Reason
from monitor.domain.server import Tls
from monitor.ollama.failure import FailureError
from monitor.settings import PREFIX, Settings

# In weights of 32 kB. A context with all authorities of the system takes some 850 kB and 50 ms, another one 30 kB.
MOST_WEIGHT = 8192
WEIGHT_OF_SYSTEM = 32
# How often the files of the settings are looked at; a renewed certificate needs no restart.
LOOK_SECONDS = 5.0
# Four times as much as all authorities that a system brings along.
MAX_FILE = 1024 * 1024
OPEN_FILES = Path("/proc/self/fd")

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The TLS of one connection; `name` must be in the server's certificate."""

    context: ssl.SSLContext
    name: str
    shows_certificate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsFiles:
    """The settings that hold for servers without a configuration of their own; the files are in PEM."""

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None
    server_name: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> "TlsFiles":
        """Return those of the settings."""
        return cls(
            ca_file=settings.ca_file,
            client_cert=settings.client_cert,
            client_key=settings.client_key,
            server_name=settings.tls_server_name,
        )

    def signature(self) -> tuple[object, ...]:
        """Return what changes whenever one of the files does."""
        return tuple(_signature(path) for path in (self.ca_file, self.client_cert, self.client_key))

    def read(self) -> Tls:
        """Read the files; raises `ConfigurationError` with the setting whose file cannot be used, and why."""
        ca_pem = _read("CA_FILE", self.ca_file, certificates.tidy)
        client_cert = _read("CLIENT_CERT", self.client_cert, certificates.tidy)
        client_key = _read("CLIENT_KEY", self.client_key, certificates.read_key)
        if client_cert is not None and client_key is not None:
            try:
                certificates.require_pair(client_cert, client_key)
            except InvalidPemError as error:
                raise _unusable("CLIENT_KEY", self.client_key, error) from None
        return Tls(ca_pem=ca_pem, client_cert=client_cert, client_key=client_key, server_name=self.server_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What makes a context another one: `only` these authorities, or those of the system and `more`."""

    only: str | None
    more: str | None
    client_cert: str | None
    client_key: ClientKey | None

    @property
    def weight(self) -> int:
        """What a context of it takes."""
        return WEIGHT_OF_SYSTEM if self.only is None else 1


class Contexts:
    """Keeps the contexts of the servers, the longest unused going first; raises `ConfigurationError` at the start."""

    def __init__(self, files: TlsFiles | None = None, *, plain: ssl.SSLContext | None = None) -> None:
        """`plain` is the context of servers for which nothing is configured."""
        self._files = files or TlsFiles()
        self._plain = plain or ssl.create_default_context()
        self._plain.minimum_version = ssl.TLSVersion.TLSv1_2
        self._made: OrderedDict[_Wanted, ssl.SSLContext | FailureError] = OrderedDict()
        self._weight = 0
        self._seen = self._files.signature()
        self._defaults = self._files.read()
        self._look_at = time.monotonic() + LOOK_SECONDS

    def of(self, tls: Tls, host: str) -> Security:
        """Return what holds for a connection to a server at a host; raises `FailureError` with the reason."""
        defaults = self._current()
        shown = defaults if tls.client_cert is None else tls
        if isinstance(shown.client_key, Unreadable):
            raise FailureError(Reason.CREDENTIAL, shown.client_key.why)
        wanted = _Wanted(
            only=tls.ca_pem,
            more=defaults.ca_pem if tls.ca_pem is None else None,
            client_cert=shown.client_cert,
            client_key=shown.client_key,
        )
        name = tls.server_name or defaults.server_name or host
        return Security(context=self._context(wanted), name=name, shows_certificate=shown.client_cert is not None)

    def _current(self) -> Tls:
        """Return what the settings' files say; when they cannot be read any more, what they said before."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_SECONDS
            signature = self._files.signature()
            if signature != self._seen:
                self._seen = signature
                try:
                    self._defaults = self._files.read()
                    log.info("tls_files_read")
                except ConfigurationError as error:
                    log.warning("tls_files_not_read", error=str(error))
        return self._defaults

    def _context(self, wanted: _Wanted) -> ssl.SSLContext:
        if wanted == _Wanted(only=None, more=None, client_cert=None, client_key=None):
            return self._plain
        made = self._made.get(wanted)
        if made is None:
            made = self._made[wanted] = _make(wanted)
            self._weight += wanted.weight
            while self._weight > MOST_WEIGHT:
                unused, _ = self._made.popitem(last=False)
                self._weight -= unused.weight
        else:
            self._made.move_to_end(wanted)
        if isinstance(made, FailureError):
            raise FailureError(made.failure.reason, made.failure.detail)
        return made


def _make(wanted: _Wanted) -> ssl.SSLContext | FailureError:
    """Return a context, or why there can be none: the database may have been edited by hand."""
    try:
        context = ssl.create_default_context(cadata=wanted.only)
        if wanted.more is not None:
            context.load_verify_locations(cadata=wanted.more)
        if wanted.only is not None or wanted.more is not None:
            # As Python up to 3.12 has it: authorities made by hand often lack what the strict rules of RFC 5280 ask
            # for. And one that is trusted need not be the root: it may be the certificate of the server itself.
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    except (ssl.SSLError, ValueError) as error:
        return FailureError(Reason.TLS, f"The authorities in ca_pem cannot be used: {_words(error)}. Set them anew.")
    if wanted.client_cert is None:
        return context
    if wanted.client_key is None:
        return FailureError(Reason.TLS, "There is a client certificate without its key. Set both anew.")
    try:
        with _as_file(f"{wanted.client_key.pem}{wanted.client_cert}") as file:
            context.load_cert_chain(file)
    except (ssl.SSLError, ValueError) as error:
        return FailureError(Reason.TLS, f"The client certificate cannot be used: {_words(error)}. Set it anew.")
    return context


@contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Lend a text as a file, which OpenSSL wants of a key: where it can be in memory alone."""
    if hasattr(os, "memfd_create") and OPEN_FILES.exists():
        with os.fdopen(os.memfd_create("client-certificate", os.MFD_CLOEXEC), "w") as file:
            file.write(text)
            file.flush()
            yield str(OPEN_FILES / str(file.fileno()))
    else:
        with tempfile.NamedTemporaryFile("w") as file:
            file.write(text)
            file.flush()
            yield file.name


def _read(setting: str, path: Path | None, parse: Callable[[str], T]) -> T | None:
    if path is None:
        return None
    try:
        with path.expanduser().open(encoding="utf-8") as file:
            return parse(file.read(MAX_FILE))
    except OSError as error:
        why = f"it cannot be read: {error.strerror}"
        raise ConfigurationError(f"{PREFIX}{setting} cannot be used: {path}: {why}.") from error
    except ValueError as error:
        # InvalidPemError, or no text at all.
        raise _unusable(setting, path, error) from None


def _unusable(setting: str, path: Path | None, error: ValueError) -> ConfigurationError:
    why = str(error) if isinstance(error, InvalidPemError) else certificates.NO_CERTIFICATE
    return ConfigurationError(f"{PREFIX}{setting} cannot be used: what is in {path} {why}.")


def _signature(path: Path | None) -> object:
    try:
        found = None if path is None else path.expanduser().stat()
    except OSError as error:
        return error.errno
    return None if found is None else (found.st_ino, found.st_size, found.st_mtime_ns)


def _words(error: Exception) -> str:
    return (getattr(error, "reason", None) or "unknown cause").replace("_", " ").lower()
