"""What REST takes and shows of TLS: authorities and certificates in the clear, a private key never."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import CLIENT_KEY, Sealed
from monitor.credentials.vault import Vault
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.client import ApiClient
from tests.credentials.conftest import fresh_key
from tests.fakes.tls import chain_of, key_of, pem_of

URL = "https://gpu-1.example"
STORED = "SELECT id, url, client_key FROM ollama_servers WHERE name = $1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Return an authority."""
    return trustme.CA()


@pytest.fixture(scope="module")
def certificate(authority: trustme.CA) -> trustme.LeafCert:
    """Return a client certificate."""
    return authority.issue_cert("monitor.example")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRingFile:
    """The key ring of the API."""
    file = KeyRingFile(tmp_path / "keyring")
    file.create(fresh_key())
    return file


@pytest.fixture
def settings(ring: KeyRingFile) -> Settings:
    """Settings of an API that can store keys."""
    return Settings.model_validate({"api_port": "0", "check_timeout": "1s", "keyring_file": str(ring.path)})


def pair(certificate: trustme.LeafCert) -> dict[str, str]:
    """Return a client certificate as REST takes it."""
    return {"client_cert": chain_of(certificate), "client_key": key_of(certificate).pem}


def secret_line(certificate: trustme.LeafCert) -> str:
    """Return a line that is in the private key and in nothing else."""
    return key_of(certificate).pem.splitlines()[1]


async def opened(psql: Connection, ring: KeyRingFile, name: str = "anna") -> object:
    """Open the stored key of a server."""
    row = await psql.fetchrow(STORED, name)
    assert row is not None
    if row["client_key"] is None:
        return None
    sealed = Sealed(server_id=row["id"], url=row["url"], auth_type=CLIENT_KEY, auth_config=row["client_key"])
    return Vault(ring, makes_ring=False, must_exist=True).open_client_key(sealed)


async def test_all_of_it_is_stored_and_all_but_the_key_is_shown(
    api: ApiClient, psql: Connection, ring: KeyRingFile, authority: trustme.CA, certificate: trustme.LeafCert
) -> None:
    given = {"ca_pem": pem_of(authority), "tls_server_name": "Ollama.Internal.", **pair(certificate)}
    created = await api.add("anna", url=URL, **given)
    read = await api.ask("GET", f"/api/servers/{created['id']}")
    events = await api.ask("GET", "/api/events?after=0")
    listed = await api.ask("GET", "/api/servers")

    assert read.body == created
    shown = {name: created[name] for name in ("ca_pem", "client_cert", "tls_server_name", "tls_expires_at")}
    assert shown == {
        "ca_pem": given["ca_pem"],
        "client_cert": given["client_cert"],
        "tls_server_name": "ollama.internal",
        "tls_expires_at": None,
    }
    assert "client_key" not in created
    assert await opened(psql, ring) == key_of(certificate)
    assert secret_line(certificate) not in json.dumps([created, events.body, listed.body])
    assert secret_line(certificate) not in str(await psql.fetchrow("SELECT * FROM ollama_servers"))
    assert "BEGIN CERTIFICATE" not in json.dumps(events.body)
    assert events.body["items"][0]["body"]["tls_server_name"] == "ollama.internal"


async def test_a_change_is_told_by_name_and_drops_the_verdict(
    api: ApiClient, psql: Connection, authority: trustme.CA, certificate: trustme.LeafCert
) -> None:
    created = await api.add("anna", url=URL)
    path = f"/api/servers/{created['id']}"
    edits: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"ca_pem": pem_of(authority)}, {"ca_configured": True}),
        ({"ca_pem": None}, {"ca_configured": False}),
        (pair(certificate), {"client_cert_configured": True}),
        ({"client_cert": None}, {"client_cert_configured": False}),
        ({"tls_server_name": "a.example"}, {"tls_server_name": "a.example"}),
    ]
    for number, (edit, told) in enumerate(edits, 2):
        await psql.execute("UPDATE ollama_servers SET status = 'up', tls_expires_at = now()")
        answer = await api.ask("PATCH", path, json=edit)
        assert (answer.status, answer.body["status"], answer.body["tls_expires_at"]) == (200, "unknown", None)
        body = (await api.ask("GET", "/api/events?after=0&limit=1000")).body["items"][-1]["body"]
        known = {"row_version": number, "status": "unknown", "is_available": False, "actor": body["actor"]}
        assert body == known | told


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_the_key_stays_while_its_certificate_does(
    api: ApiClient, psql: Connection, ring: KeyRingFile, certificate: trustme.LeafCert, method: str
) -> None:
    given = pair(certificate)
    created = await api.add("anna", url=URL, **given)
    body = {"name": "anna", "url": "https://gpu-2.example", "client_cert": given["client_cert"]}
    answer = await api.ask(method, f"/api/servers/{created['id']}", json=body)
    assert (answer.status, answer.body["client_cert"]) == (200, given["client_cert"])
    assert await opened(psql, ring) == key_of(certificate), "also with another host: it only signs"
    again = await api.ask(method, f"/api/servers/{created['id']}", json=body)
    assert again.body["row_version"] == answer.body["row_version"]


async def test_put_without_the_certificate_and_patch_with_null_take_both_away(
    api: ApiClient, psql: Connection, ring: KeyRingFile, certificate: trustme.LeafCert
) -> None:
    created = await api.add("anna", url=URL, **pair(certificate))
    path = f"/api/servers/{created['id']}"
    for edit in (
        api.ask("PUT", path, json={"name": "anna", "url": URL}),
        api.ask("PATCH", path, json={"client_cert": None}),
    ):
        answer = await edit
        assert (answer.status, answer.body["client_cert"]) == (200, None)
        assert await opened(psql, ring) is None
        assert (await api.ask("PATCH", path, json=pair(certificate))).status == 200


async def test_a_new_certificate_comes_with_its_key(
    api: ApiClient, psql: Connection, ring: KeyRingFile, authority: trustme.CA, certificate: trustme.LeafCert
) -> None:
    created = await api.add("anna", url=URL, **pair(certificate))
    path, renewed = f"/api/servers/{created['id']}", authority.issue_cert("monitor.example")
    alone = await api.ask("PATCH", path, json={"client_cert": chain_of(renewed)})
    crossed = await api.ask("PATCH", path, json={"client_key": key_of(renewed).pem})
    assert (alone.status, crossed.status) == (422, 422)
    assert "client_key: goes with client_cert: give both" in alone.body["detail"]
    assert "client_key: must be the key of the first certificate" in crossed.body["detail"]
    assert await opened(psql, ring) == key_of(certificate)
    assert (await api.ask("PATCH", path, json=pair(renewed))).status == 200
    assert await opened(psql, ring) == key_of(renewed)


def encrypted(certificate: trustme.LeafCert) -> str:
    """Return the key of a certificate as a careful person keeps it."""
    key = load_pem_private_key(key_of(certificate).pem.encode(), password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase")).decode()


@pytest.mark.parametrize(
    ("field", "why"),
    [
        ("no PEM", "ca_pem: must be certificates in PEM"),
        ("a broken one", "ca_pem: must be certificates in PEM"),
        ("a key as authority", "ca_pem: must hold certificates alone"),
        ("a key in the chain", "client_cert: must hold certificates alone"),
        ("too long", "ca_pem: must have at most 32768 characters"),
        ("a certificate as key", "client_key: must be a private key in PEM"),
        ("an encrypted key", "client_key: must be a key without a passphrase"),
        ("another key", "client_key: must be the key of the first certificate in client_cert"),
        ("no key", "client_key: goes with client_cert"),
        ("no certificate", "client_key: goes with client_cert"),
        ("a URL", "tls_server_name: must be the name of a host alone"),
        ("a port", "tls_server_name: must be the name of a host alone"),
    ],
)
async def test_what_cannot_be_used_is_refused_in_a_sentence_that_repeats_nothing(
    api: ApiClient, psql: Connection, authority: trustme.CA, certificate: trustme.LeafCert, field: str, why: str
) -> None:
    good = pair(certificate)
    edits = {
        "no PEM": {"ca_pem": "authority.pem"},
        "a broken one": {"ca_pem": pem_of(authority).replace("M", "!")},
        "a key as authority": {"ca_pem": key_of(certificate).pem},
        "a key in the chain": good | {"client_cert": good["client_cert"] + good["client_key"]},
        "too long": {"ca_pem": "A" * 33_000},
        "a certificate as key": good | {"client_key": good["client_cert"]},
        "an encrypted key": good | {"client_key": encrypted(certificate)},
        "another key": good | {"client_key": key_of(authority.issue_cert("other.example")).pem},
        "no key": {"client_cert": good["client_cert"]},
        "no certificate": {"client_key": good["client_key"]},
        "a URL": {"tls_server_name": "https://gpu-1.example"},
        "a port": {"tls_server_name": "gpu-1.example:443"},
    }
    answer = await api.ask("POST", "/api/servers", json={"name": "anna", "url": URL} | edits[field])
    assert (answer.status, answer.body["code"]) == (422, "invalid")
    assert answer.body["detail"].startswith(why)
    assert secret_line(certificate) not in json.dumps(answer.body)
    assert await psql.fetchval("SELECT count(*) FROM ollama_servers") == 0


async def test_an_expired_certificate_is_stored_with_a_warning(api: ApiClient, authority: trustme.CA) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    expired = authority.issue_cert("monitor.example", not_before=past - timedelta(days=9), not_after=past)
    created = await api.add("anna", url=URL, **pair(expired))
    (notice,) = created.pop("notices")
    assert notice["code"] == "certificate_expired"
    assert "in client_cert expired on 2020-01-01" in notice["detail"]
    again = await api.ask("PATCH", f"/api/servers/{created['id']}", json=pair(expired))
    assert [each["code"] for each in again.body["notices"]] == ["certificate_expired"]
    other = await api.ask("PATCH", f"/api/servers/{created['id']}", json={"priority": 3})
    assert other.body["notices"] == []


async def test_what_stands_around_the_certificates_is_not_stored(api: ApiClient, authority: trustme.CA) -> None:
    pem = pem_of(authority)
    created = await api.add("anna", url=URL, ca_pem=f"# subject: \u202eroot\n{pem}\nand more\r\n{pem}")
    assert created["ca_pem"] == pem + pem
