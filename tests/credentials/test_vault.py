"""The vault of a process: where its ring is, when it is made, refused, and read again."""

from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from monitor.credentials import key_ring
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.credentials.sealing import Sealed
from monitor.credentials.vault import Vault
from monitor.domain.credential import Bearer, Unreadable
from monitor.domain.errors import KeyRingError
from monitor.settings import Settings
from tests.credentials.conftest import fresh_key

TOKEN = Bearer(token="abc")
SERVER, URL = UUID(int=1), "http://gpu-1:11434"


def stored(vault: Vault) -> Sealed:
    return vault.seal(TOKEN, server_id=SERVER, url=URL)


def settings(tmp_path: Path, **values: Any) -> Settings:
    return Settings.model_validate({"state_dir": str(tmp_path / "state")} | values)


def test_the_first_credential_makes_the_ring_and_what_was_sealed_opens_after_a_restart(file: KeyRingFile) -> None:
    first = Vault(file, makes_ring=True, must_exist=False)
    assert not file.path.exists()
    sealed = stored(first)
    assert first.open(sealed) == TOKEN
    assert Vault(file, makes_ring=False, must_exist=False).open(sealed) == TOKEN


def test_a_server_without_a_credential_needs_no_ring(vault: Vault, file: KeyRingFile) -> None:
    vault.require(set())
    assert vault.open(Sealed(server_id=SERVER, url=URL, auth_type="none", auth_config={})) is None
    assert not file.path.exists()


def test_a_process_that_makes_no_ring_says_how_it_is_made(file: KeyRingFile) -> None:
    with pytest.raises(KeyRingError, match=r"keys create FILE.*OLLAMA_FLEET_KEYRING_FILE"):
        stored(Vault(file, makes_ring=False, must_exist=False))
    assert not file.path.exists()


def test_a_lost_ring_is_refused_and_not_replaced(vault: Vault, file: KeyRingFile) -> None:
    with pytest.raises(KeyRingError, match=r"the key ring that opens them is not at .* Put it back"):
        vault.require({"0123456789abcdef"})
    assert not file.path.exists()


def test_a_ring_of_another_database_is_refused(vault: Vault, file: KeyRingFile) -> None:
    file.create(fresh_key())
    with pytest.raises(KeyRingError, match=r"not the one of this database: .*0123456789abcdef"):
        vault.require({"0123456789abcdef"})


@pytest.mark.parametrize(
    ("servers", "whose"),
    [
        ((), "so are the credentials: take"),
        (("a", "b\x1b[2J"), "so are the credentials, which are those of a, 'b\\x1b[2J': take"),
        (("a", "b", "c", "d"), "so are the credentials, which are those of a, b, c and others: take"),
    ],
)
@pytest.mark.parametrize("is_there", [True, False])
def test_whose_credentials_are_lost_is_told_with_how_to_go_on(
    vault: Vault, file: KeyRingFile, *, is_there: bool, servers: tuple[str, ...], whose: str
) -> None:
    if is_there:
        file.create(fresh_key())
    with pytest.raises(KeyRingError) as caught:
        vault.require({"0123456789abcdef"}, servers=servers)
    assert f"If it is lost, {whose} each away with `ollama-fleet servers set NAME --auth-type none`" in str(
        caught.value
    )


def test_one_key_in_common_is_enough(vault: Vault, file: KeyRingFile) -> None:
    key = fresh_key()
    file.create(key)
    vault.require({"0123456789abcdef", key.id})


def test_a_ring_that_was_named_has_to_be_there_and_any_ring_has_to_be_good(file: KeyRingFile) -> None:
    with pytest.raises(KeyRingError, match="does not exist"):
        Vault(file, makes_ring=True, must_exist=True).require(set())
    file.path.write_text("junk")
    file.path.chmod(0o600)
    with pytest.raises(KeyRingError, match="line 1 is no key"):
        Vault(file, makes_ring=True, must_exist=False).require(set())


def test_a_key_that_another_process_added_is_found(file: KeyRingFile) -> None:
    ours, theirs = (Vault(file, makes_ring=True, must_exist=False) for _ in range(2))
    before = stored(ours)
    key = fresh_key()
    file.edit(partial(key_ring.with_first, key=key))
    sealed = stored(theirs)
    assert sealed.key_id == key.id
    assert ours.open(sealed) == TOKEN
    assert stored(ours).key_id == key.id, "whoever seals takes the key that is the first now"
    assert theirs.open(before) == TOKEN


def test_a_ring_that_goes_away_or_breaks_leaves_the_keys_that_were_read(vault: Vault, file: KeyRingFile) -> None:
    sealed = stored(vault)
    foreign = Vault(KeyRingFile(file.path.with_name("other")), makes_ring=True, must_exist=False)
    text = file.path.read_text()
    file.path.write_text("junk")
    assert vault.open(sealed) == TOKEN
    assert isinstance(vault.open(stored(foreign)), Unreadable)
    with pytest.raises(KeyRingError):
        stored(vault)
    file.path.unlink()
    assert vault.open(sealed) == TOKEN
    with pytest.raises(KeyRingError, match="is gone"):
        stored(vault)
    assert vault.has_changed()
    file.path.write_text(text)
    file.path.chmod(0o600)
    assert vault.open(stored(vault)) == TOKEN


def test_the_place_of_the_ring_is_the_setting_s_then_systemd_s_then_the_state_folder_s(tmp_path: Path) -> None:
    systemd = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    named = settings(tmp_path, keyring_file=str(tmp_path / "mine"))
    assert Vault.of(named, environ=systemd).file.path == tmp_path / "mine"
    assert Vault.of(settings(tmp_path), environ=systemd).file.path == tmp_path / "state" / "keyring"
    (tmp_path / "keyring").touch()
    assert Vault.of(settings(tmp_path), environ=systemd).file.path == tmp_path / "keyring"
    assert Vault.of(settings(tmp_path), environ={}).file.path == tmp_path / "state" / "keyring"


def test_a_ring_is_made_only_beside_a_database_of_our_own(tmp_path: Path) -> None:
    elsewhere = settings(tmp_path, database_url="postgresql://fleet@db/fleet")
    with pytest.raises(KeyRingError):
        stored(Vault.of(elsewhere, environ={}))
    assert stored(Vault.of(settings(tmp_path), environ={})).auth_type == "bearer"
    with pytest.raises(KeyRingError):
        stored(Vault.of(settings(tmp_path, keyring_file=str(tmp_path / "mine")), environ={}))
