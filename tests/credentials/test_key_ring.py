"""The key ring as text and as a file: what a person can write, what is refused, and that no moment has half of one."""

import base64
import os
import stat
import threading
from functools import partial
from pathlib import Path

import pytest

from monitor.credentials import key_ring
from monitor.credentials.key_ring import KeyRingSyntaxError
from monitor.credentials.key_ring_file import KeyRingFile
from monitor.domain.errors import ConfigurationError, KeyRingError
from tests.credentials.conftest import AT, fresh_key


def line(secret: bytes, key_id: str | None = None) -> str:
    """A line of a ring, with the id that belongs to the key unless another one is given."""
    key_id = key_id or key_ring.Key(secret=secret).id
    return f"{key_id}:{base64.b64encode(secret).decode()}"


def test_a_ring_reads_back_as_it_was_written() -> None:
    key = fresh_key()
    ring = key_ring.parse(key_ring.first_text(key))
    assert ring.keys == (key,)
    assert ring.first.made_at == AT
    assert ring.get(key.id) == key
    assert ring.get("0" * 16) is None


def test_a_person_may_write_comments_blank_lines_and_no_time() -> None:
    one, other = os.urandom(32), os.urandom(32)
    text = f"# mine\n\n  {line(one)}   # since Monday\n{line(other)} 2026-01-02\n"
    ring = key_ring.parse(text)
    assert [key.secret for key in ring.keys] == [one, other]
    assert ring.first.made_at is None


def test_a_new_first_key_leaves_the_comments_and_the_other_keys_where_they_are() -> None:
    old, new = fresh_key(), fresh_key()
    before = key_ring.first_text(old) + "# the end\n"
    after = key_ring.with_first(before, new)
    assert key_ring.parse(after).keys == (new, old)
    assert after.startswith(key_ring.HEAD)
    assert after.endswith("# the end\n")
    assert key_ring.without(after, {new.id}) == before


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it holds no key"),
        ("# nothing but words\n", "it holds no key"),
        ("secret", "line 1"),
        ("a:b:c d e f", "line 1"),
        (f"\n{line(b'x' * 31)}", "line 2 is no key: it has 31 bytes"),
        (line(b"x" * 33), "it has 33 bytes"),
        ("0123456789abcdef:not*base64", "not base64"),
        (line(b"x" * 32, "0123456789abcdef"), "its id belongs to another key"),
        (f"{line(b'x' * 32)}\n{line(b'x' * 32)}", "the same key twice"),
        (f"{line(b'x' * 32)} yesterday", "line 1"),
        ("\n".join(line(number.to_bytes(32)) for number in range(1001)), "more than 1000 keys"),
    ],
)
def test_what_is_no_ring_is_refused_without_repeating_it(text: str, why: str) -> None:
    with pytest.raises(KeyRingSyntaxError, match=why) as caught:
        key_ring.parse(text)
    assert caught.value.__cause__ is None
    assert base64.b64encode(b"x" * 31).decode()[:8] not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_ring_is_made_for_its_owner_alone_and_never_over_another(file: KeyRingFile) -> None:
    key = fresh_key()
    assert file.create(key)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert not file.create(fresh_key())
    assert file.read()[0].keys == (key,)
    assert os.listdir(file.path.parent) == ["keyring"]


def test_of_many_who_make_it_at_once_one_does(file: KeyRingFile) -> None:
    made: list[bool] = []
    threads = [threading.Thread(target=lambda: made.append(file.create(fresh_key()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made.count(True) == 1
    assert len(file.read()[0].keys) == 1


def test_of_many_who_add_a_key_at_once_none_is_lost(file: KeyRingFile) -> None:
    file.create(fresh_key())
    added = [fresh_key() for _ in range(8)]
    threads = [threading.Thread(target=file.edit, args=[partial(key_ring.with_first, key=key)]) for key in added]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.id for key in file.read()[0].keys} >= {key.id for key in added}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_what_a_killed_writer_left_behind_goes_with_the_next_edit(file: KeyRingFile) -> None:
    file.create(fresh_key())
    file.path.with_name(".keyring.abc.new").write_text("half of a key")
    file.edit(partial(key_ring.with_first, key=fresh_key()))
    assert os.listdir(file.path.parent) == ["keyring"]


def test_an_edit_that_would_leave_no_ring_changes_nothing(file: KeyRingFile) -> None:
    file.create(fresh_key())
    before = file.path.read_text()
    with pytest.raises(KeyRingError, match="no key"):
        file.edit(lambda _text: "")
    assert file.path.read_text() == before


def test_an_edit_through_a_link_changes_the_file_behind_it(file: KeyRingFile, tmp_path: Path) -> None:
    file.create(fresh_key())
    (tmp_path / "link").symlink_to(file.path)
    KeyRingFile(tmp_path / "link").edit(partial(key_ring.with_first, key=fresh_key()))
    assert (tmp_path / "link").is_symlink()
    assert len(file.read()[0].keys) == 2


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o444, 0o620, 0o610])
def test_a_file_that_is_open_to_others_is_refused(file: KeyRingFile, mode: int) -> None:
    file.create(fresh_key())
    file.path.chmod(mode)
    with pytest.raises(ConfigurationError, match=r"open to others .* chmod 600"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of root's")
@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_credential_as_systemd_hands_it_over_is_taken(file: KeyRingFile, mode: int) -> None:
    file.create(fresh_key())
    file.path.chmod(mode)
    assert len(file.read()[0].keys) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_group_may_read_only_what_is_root_s(file: KeyRingFile) -> None:
    file.create(fresh_key())
    os.chown(file.path, 65_534, 65_534)
    file.path.chmod(0o440)
    with pytest.raises(KeyRingError, match="open to others"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_an_edit_by_root_leaves_the_file_to_its_owner(file: KeyRingFile) -> None:
    file.create(fresh_key())
    os.chown(file.path, 65_534, 65_534)
    file.edit(partial(key_ring.with_first, key=fresh_key()))
    assert (file.path.stat().st_uid, stat.S_IMODE(file.path.stat().st_mode)) == (65_534, 0o600)


def test_what_is_no_file_or_not_there_is_refused_with_what_to_do(file: KeyRingFile, tmp_path: Path) -> None:
    with pytest.raises(KeyRingError, match=r"does not exist: .*`ollama-fleet keys create"):
        file.read()
    with pytest.raises(KeyRingError, match="is not a file"):
        KeyRingFile(tmp_path).read()
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(KeyRingError, match="is not a file"):
        KeyRingFile(tmp_path / "pipe").read()


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"\x00" * 100, b"x" * 1_000_000, b"-----BEGIN PRIVATE KEY-----"]
)
def test_junk_is_refused_and_stays_as_it_is(file: KeyRingFile, content: bytes) -> None:
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    with pytest.raises(KeyRingError, match=r"cannot be used: .* from your copy"):
        file.read()
    assert file.path.read_bytes() == content
