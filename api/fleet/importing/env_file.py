"""A `.env` file, from bytes to assignments by python-dotenv's rules; nothing of it gets into the environment.

`${NAME}` means what the file itself says further up: whoever runs the import may have another environment
than the program that the file was written for.
"""

import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import parser, variables

from monitor.domain.errors import ImportFileError

MAX_BYTES = 1024 * 1024
MAX_VALUE = 8192
MOST_REFERENCES = 20
# python-dotenv takes quadratic time for blanks in a row, so there is a limit.
MOST_BLANKS = 100

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BLANKS = re.compile(rf"[^\S\r\n]{{{MOST_BLANKS + 1}}}")
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """One variable; with `trouble`, the end of a sentence about it, its value cannot be known and is empty."""

    line: int
    name: str
    value: str = field(repr=False)
    trouble: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvFile:
    """What a file says, in its order; `broken_lines` are those that are no assignment, by their numbers from 1."""

    assignments: tuple[Assignment, ...]
    broken_lines: tuple[int, ...]


def read(path: Path) -> EnvFile:
    """Read a file, which may also be a pipe; raises `ImportFileError`, which repeats nothing of what is in it."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ImportFileError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return parse(data)
    except ValueError as error:
        raise ImportFileError(f"{path} {error} Nothing was imported.") from error


def parse(data: bytes) -> EnvFile:
    """Read the bytes of a file; raises ValueError with the end of a sentence for what is no `.env`."""
    text = _decode(data)
    assignments: list[Assignment] = []
    broken: list[int] = []
    known: dict[str, str | None] = {}
    for line, binding in _bindings(text):
        if binding.error or (binding.key is not None and not _is_usable(binding.key, binding.value)):
            broken.append(line)
        elif binding.key is not None:
            assignment = _resolved(line, binding.key, binding.value or "", known=known)
            known[assignment.name] = None if assignment.trouble else assignment.value
            assignments.append(assignment)
    return EnvFile(assignments=tuple(assignments), broken_lines=tuple(broken))


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise ValueError(f"is bigger than {MAX_BYTES // 1024} KiB, so it is no .env file.")
    if data.startswith(_UTF_16):
        raise ValueError("is written in UTF-16; save it as UTF-8.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text (line {_line_of(error.object, error.start)}).") from error
    if "\0" in text:
        raise ValueError(f"is no text, it holds a zero byte (line {text[: text.index(chr(0))].count(chr(10)) + 1}).")
    if (blanks := _BLANKS.search(text)) is not None:
        line = text[: blanks.start()].count("\n") + 1
        raise ValueError(f"has more than {MOST_BLANKS} blanks in a row in line {line}; remove them.")
    return text


def _line_of(data: bytes, position: int) -> int:
    return data[:position].count(b"\n") + 1


def _bindings(text: str) -> Iterator[tuple[int, parser.Binding]]:
    """Yield what python-dotenv finds, each with the line it stands in rather than that of the blank ones before."""
    for binding in parser.parse_stream(io.StringIO(text, newline=None)):
        original = binding.original.string
        leading = original[: len(original) - len(original.lstrip())]
        yield binding.original.line + leading.count("\n"), binding


def _is_usable(name: str, value: str | None) -> bool:
    # `OLLAMA_API_KEY:secret` is a name without a value to python-dotenv: such a name must not be repeated.
    return value is not None and (NAME.fullmatch(name) is not None or "OLLAMA" not in name.upper())


def _resolved(line: int, name: str, value: str, *, known: Mapping[str, str | None]) -> Assignment:
    try:
        return Assignment(line=line, name=name, value=_interpolated(value, known))
    except ValueError as error:
        return Assignment(line=line, name=name, value="", trouble=str(error))


def _interpolated(value: str, known: Mapping[str, str | None]) -> str:
    """Put in what `${NAME}` and `${NAME:-default}` stand for; raises ValueError, which repeats no part of it."""
    if value.count("${") > MOST_REFERENCES:
        raise ValueError(f"it has more than {MOST_REFERENCES} references of the form ${{…}}")
    parts: list[str] = []
    for atom in variables.parse_variables(value):
        if isinstance(atom, variables.Variable):
            found = known.get(atom.name, atom.default)
            if found is None:
                raise ValueError(
                    "it refers with ${…} to what the file does not set further up, and the environment is not asked"
                )
            parts.append(found)
        else:
            parts.append(atom.resolve({}))
    resolved = "".join(parts)
    if len(resolved) > MAX_VALUE:
        raise ValueError(f"it is longer than {MAX_VALUE} characters")
    return resolved
