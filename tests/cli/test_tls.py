"""Certificates by hand: files are read where the command is typed, and a private key is shown nowhere."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
import trustme

from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import CLIENT_KEY, Sealed
from monitor.credentials.vault import Vault
from monitor.postgres.database import Connection
from monitor.settings import Settings
from tests.api.serving import serving_beside
from tests.cli.conftest import Typed
from tests.fakes.tls import chain_of, key_of, pem_of

pytestmark = pytest.mark.usefixtures("on_database", "ring")

URL = "https://gpu-1.example"


class Files:
    """An authority, a client certificate and its key, in files as an operator has them."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.certificate = self.authority.issue_cert("monitor.example")
        self._folder = folder
        self.ca = self.write("ca.pem", pem_of(self.authority))
        self.cert = self.write("client.pem", chain_of(self.certificate))
        self.key = self.write("client.key", key_of(self.certificate).pem)

    def write(self, name: str, text: str) -> str:
        """Return the path of a file with a text."""
        (path := self._folder / name).write_text(text)
        return str(path)

    @property
    def options(self) -> tuple[str, ...]:
        """All of them."""
        return "--ca-file", self.ca, "--client-cert", self.cert, "--client-key", self.key


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Files of the test's own."""
    return Files(tmp_path)


def opened(dsn: str, ring: KeyRingFile) -> object:
    """Open the stored key of the only server."""

    async def read() -> object:
        connection: Connection = await asyncpg.connect(dsn)
        try:
            row = await connection.fetchrow("SELECT id, url, client_key::text AS client_key FROM ollama_servers")
        finally:
            await connection.close()
        assert row is not None
        if row["client_key"] is None:
            return None
        config = json.loads(row["client_key"])
        sealed = Sealed(server_id=row["id"], url=row["url"], auth_type=CLIENT_KEY, auth_config=config)
        return Vault(ring, makes_ring=False, must_exist=True).open_client_key(sealed)

    return asyncio.run(read())


def test_files_are_stored_shown_in_words_and_taken_away(
    typed: Typed, on_database: str, ring: KeyRingFile, files: Files
) -> None:
    added = typed("servers", "add", "a", URL, *files.options, "--tls-server-name", "ollama.internal")
    assert (added.code, added.err) == (0, "")
    assert opened(on_database, ring) == key_of(files.certificate)
    shown = typed("servers", "show", "a")
    assert "BEGIN" not in shown.out
    (ca_line,) = (line for line in shown.out.splitlines() if line.startswith("ca_pem"))
    assert "trustme" in ca_line
    assert " until 3000-" in ca_line
    document = json.loads(typed("servers", "show", "a", "--json").out)
    assert (document["ca_pem"], document["client_cert"]) == (pem_of(files.authority), chain_of(files.certificate))
    assert document["tls_server_name"] == "ollama.internal"
    assert "client_key" not in document

    same = typed("servers", "set", "a", "--client-cert", files.cert, "--client-key", files.key)
    assert "(given anew)" in same.out
    gone = typed("servers", "set", "a", "--ca-file", "none", "--client-cert", "none", "--tls-server-name", "none")
    assert gone.code == 0, gone.err
    assert "ca_pem=- (was " in gone.out
    assert opened(on_database, ring) is None


def test_all_goes_to_a_fleet_elsewhere_and_the_key_does_not_come_back(
    typed: Typed, on_database: str, ring: KeyRingFile, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.model_validate({"api_port": "0", "keyring_file": str(ring.path)})
    monkeypatch.delenv("OLLAMA_FLEET_KEYRING_FILE")
    with serving_beside(settings, on_database) as address, monkeypatch.context() as patch:
        patch.setenv("OLLAMA_FLEET_API_URL", address)
        assert typed("servers", "add", "a", "https://127.0.0.1:9", *files.options).code == 0
        assert opened(on_database, ring) == key_of(files.certificate)
        explained = typed("servers", "check", "a", "--explain")
        assert "asked without its client certificate" in explained.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--ca-file", "missing.pem"), "The certificates cannot be read from missing.pem: No such file or directory."),
        (("--ca-file", "{key}"), "--ca-file: must hold certificates alone"),
        (("--client-cert", "{cert}"), "--client-key: goes with client_cert"),
        (("--client-cert", "{cert}", "--client-key", "{ca}"), "--client-key: must be a private key in PEM"),
        (("--client-cert", "{cert}", "--client-key", "{other}"), "--client-key: must be the key of the first"),
        (("--tls-server-name", "https://a"), "--tls-server-name: must be the name of a host alone"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(typed: Typed, files: Files, options: tuple[str, ...], why: str) -> None:
    other = files.write("other.key", key_of(files.authority.issue_cert("other.example")).pem)
    places = {"ca": files.ca, "cert": files.cert, "key": files.key, "other": other}
    outcome = typed("servers", "add", "a", URL, *(option.format_map(places) for option in options))
    assert outcome.code == 1
    assert why in outcome.err.replace("\n", " ")
    assert key_of(files.certificate).pem.splitlines()[1] not in outcome.out + outcome.err


def test_an_expired_certificate_is_a_note(typed: Typed, files: Files) -> None:
    past = datetime(2020, 1, 1, tzinfo=UTC)
    expired = files.authority.issue_cert("monitor.example", not_before=past - timedelta(days=9), not_after=past)
    cert, key = files.write("old.pem", chain_of(expired)), files.write("old.key", key_of(expired).pem)
    added = typed("servers", "add", "a", URL, "--client-cert", cert, "--client-key", key)
    assert added.code == 0
    assert "in client_cert expired on 2020-01-01" in added.err.replace("\n", " ")
