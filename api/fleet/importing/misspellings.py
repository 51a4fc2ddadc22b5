"""Which variable was meant by a name that is a slip of the finger away from one that is known."""

import re
from collections.abc import Iterable, Iterator
from itertools import takewhile

# Other letters in its place are other programs: LLAMA_API_KEY is one slip away, too.
FIRST_LETTER = "O"

_NUMBER = re.compile(r"[0-9]+")


def meant(name: str, words: Iterable[str]) -> str | None:
    """Return the known name that is one slip away, with the number of this one; `words` may follow OLLAMA_."""
    typed = name.upper()
    numbers = _NUMBER.findall(typed)
    if not typed.startswith(FIRST_LETTER) or len(numbers) > 1:
        return None
    known = (one for word in words for one in _spelt(word, *numbers))
    return next((one for one in known if _is_a_slip_away(typed, one)), None)


def _spelt(word: str, number: str = "") -> Iterator[str]:
    """Yield the names that people give a variable, or one of a numbered family."""
    if number:
        yield from (f"OLLAMA_SERVER_{number}_{word}", f"OLLAMA_{word}_{number}", f"OLLAMA_{number}_{word}")
    else:
        yield from (f"OLLAMA_{word}", f"OLLAMA_SERVER_{word}")


def _is_a_slip_away(one: str, other: str) -> bool:
    """Whether a letter too many, too few or wrong, or two in each other's place, is all that differs."""
    same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
    one, other = one[same:], other[same:]
    exchanged = one[1::-1] + one[2:]
    return one[1:] in {other, other[1:]} or other in {exchanged, other[:1] + one}
