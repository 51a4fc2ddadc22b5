"""Certificates and private keys in PEM, as an operator gives them: checked before they are stored or used.

What is wrong is told without repeating anything of the text: a person in a hurry may have put a key there.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from monitor.domain.credential import ClientKey
from monitor.domain.errors import InvalidPemError

# Of what a server has for itself, in characters; some twenty certificates.
MAX_PEM = 32 * 1024
MAX_NAME = 80
PRIVATE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
NO_CERTIFICATE = "must be certificates in PEM, which begin with -----BEGIN CERTIFICATE-----"
KEY_AMONG_CERTIFICATES = "must hold certificates alone, as it is shown to others; there is a private key in it, too"
NO_KEY = "must be a private key in PEM, which begins with -----BEGIN PRIVATE KEY-----"
ENCRYPTED = "must be a key without a passphrase, for nobody is there to type it: `openssl pkey -in FILE` prints it so"
OTHER_KEY = "must be the key of the first certificate in client_cert; it is another one's"


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """Who a certificate is for, in at most 80 printable characters, and until when it is valid."""

    subject: str
    expires_at: datetime


def tidy(pem: str) -> str:
    """Return the certificates of a text in their one spelling, without what stands between them.

    Raises `InvalidPemError`.
    """
    return "".join(each.public_bytes(Encoding.PEM).decode("ascii") for each in _load(pem))


def read(pem: str) -> list[Certificate]:
    """Return what the certificates of a text are; raises `InvalidPemError`."""
    return [Certificate(subject=_subject(each), expires_at=each.not_valid_after_utc) for each in _load(pem)]


def read_key(pem: str) -> ClientKey:
    """Return a private key in its one spelling; raises `InvalidPemError` for an encrypted one, too."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    except TypeError:
        # Without the cause: nothing that has the text at hand goes into a log.
        raise InvalidPemError(ENCRYPTED) from None
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidPemError(NO_KEY) from None
    return ClientKey(pem=plain.decode("ascii"))


def require_pair(client_cert: str, client_key: ClientKey) -> None:
    """Raise `InvalidPemError` unless the key is the one of the first certificate; both are in their one spelling."""
    certified = _load(client_cert)[0].public_key()
    given = load_pem_private_key(client_key.pem.encode(), password=None).public_key()
    if _spelt(certified) != _spelt(given):
        raise InvalidPemError(OTHER_KEY)


def _load(pem: str) -> list[x509.Certificate]:
    if PRIVATE.search(pem):
        raise InvalidPemError(KEY_AMONG_CERTIFICATES)
    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidPemError(NO_CERTIFICATE) from None


def _subject(certificate: x509.Certificate) -> str:
    try:
        name = certificate.subject.rfc4514_string()
    except ValueError:
        name = ""
    return "".join(char if char.isprintable() else "?" for char in name)[:MAX_NAME] or "a certificate without a name"


def _spelt(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
