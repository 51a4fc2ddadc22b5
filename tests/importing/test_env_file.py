"""Bytes to assignments: quoting, line numbers, references, and files that are no `.env`."""

import os
import time
from pathlib import Path

import pytest

from api.fleet.importing import env_file
from monitor.domain.errors import ImportFileError


def values(text: str) -> dict[str, str]:
    """The last value of each name."""
    return {one.name: one.value for one in env_file.parse(text.encode()).assignments if one.trouble is None}


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("A = b ", "b"),
        ("export A=b", "b"),
        ("A='b # c'", "b # c"),
        ('A="b\\nc"', "b\nc"),
        ("A='b\\nc'", "b\\nc"),
        ("A=b # c", "b"),
        ("A=b#c", "b#c"),
        ("A=", ""),
        ("A= # c", ""),
        ('A="b\nc"', "b\nc"),
        ("A='it\\'s'", "it's"),
        ("'A'=b", "b"),
        ("\ufeffA=b", "b"),
        ("A=b\r\n", "b"),
    ],
)
def test_quotes_and_comments_are_those_of_python_dotenv(line: str, value: str) -> None:
    assert values(line) == {"A": value}


def test_line_numbers_count_blank_lines_comments_and_values_of_several_lines() -> None:
    data = b"\xef\xbb\xbf\r\n# comment\r\n\r\nA=1\r\nB='x\r\ny'\r\nC=3\r\n  what is this\r\nA=4"
    found = env_file.parse(data)
    assert [(one.line, one.name, one.value) for one in found.assignments] == [
        (4, "A", "1"),
        (5, "B", "x\ny"),
        (7, "C", "3"),
        (9, "A", "4"),
    ]
    assert found.broken_lines == (8,)


@pytest.mark.parametrize("line", ["OLLAMA_API_KEY: hunter2", "OLLAMA_API_KEY:hunter2=1", "hunter2", "A='hunter2", "=x"])
def test_a_line_that_is_no_assignment_is_known_by_its_number_alone(line: str) -> None:
    found = env_file.parse(f"A=1\n{line}\nB=2".encode())
    assert found.broken_lines == (2,)
    assert "hunter2" not in repr(found)


def test_a_reference_is_to_what_stands_further_up_and_never_to_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "from-outside")
    text = "A=${HOST}\nHOST=gpu-1\nB=http://${HOST}:${PORT:-11434}\nC=${A}\nHOST=gpu-2\nD=${HOST}"
    found = env_file.parse(text.encode())
    assert values(text) == {"HOST": "gpu-2", "B": "http://gpu-1:11434", "D": "gpu-2"}
    assert [one.name for one in found.assignments if one.trouble] == ["A", "C"]
    assert "the environment is not asked" in str(found.assignments[0].trouble)


def test_references_cannot_make_a_value_grow_without_end() -> None:
    lines = ["A=xxxxxxxxxx", *(f"A={'${A}' * 20}" for _ in range(30)), f"B={'${A}' * 21}"]
    found = env_file.parse("\n".join(lines).encode())
    assert max(len(one.value) for one in found.assignments) <= env_file.MAX_VALUE
    assert "longer than 8192 characters" in str(found.assignments[3].trouble)
    assert "more than 20 references" in str(found.assignments[-1].trouble)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"A=" + b"x" * env_file.MAX_BYTES, "is bigger than 1024 KiB"),
        ("A=b".encode("utf-16"), "is written in UTF-16; save it as UTF-8"),
        (b"A=b\nB=\xff\xfe", r"is not UTF-8 text \(line 2\)"),
        (b"A=b\nB=c\nC=\0", r"is no text, it holds a zero byte \(line 3\)"),
        (b"A=b\nB=" + b" " * 101 + b"c", "has more than 100 blanks in a row in line 2"),
    ],
)
def test_what_is_no_env_file_is_refused_with_the_reason(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "odd.env"
    path.write_bytes(data)
    with pytest.raises(ImportFileError, match=rf"odd\.env {said}.*Nothing was imported\."):
        env_file.read(path)


def test_a_file_that_is_not_there_or_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImportFileError, match=r"none\.env cannot be read: No such file or directory\."):
        env_file.read(tmp_path / "none.env")
    with pytest.raises(ImportFileError, match="cannot be read: Is a directory"):
        env_file.read(tmp_path)


def test_a_pipe_will_do() -> None:
    ours, theirs = os.pipe()
    os.write(theirs, b"A=b")
    os.close(theirs)
    try:
        assert env_file.read(Path(f"/dev/fd/{ours}")).assignments[0].value == "b"
    finally:
        os.close(ours)


@pytest.mark.parametrize("piece", ["'x ", '"', "A='", 'A="\\"\n', "${", "A=${", " x", "#", "=", "\n\n", "A='\\'\n"])
def test_a_big_file_takes_no_quadratic_time(piece: str) -> None:
    data = (piece * (256 * 1024 // len(piece))).encode()
    before = time.process_time()
    env_file.parse(data)
    # A quadratic way takes minutes at this size.
    assert time.process_time() - before < 30
