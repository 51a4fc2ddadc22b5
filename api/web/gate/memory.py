"""What is remembered of the many requests that are the same, and never of so many that differ that it fills up."""

from typing import TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Memory(dict[Key, Value]):
    """Forgets everything, once it is full, for the next thing to keep: a look-up costs no more than in a dictionary."""

    def __init__(self, *, most: int) -> None:
        super().__init__()
        self._most = most

    def __setitem__(self, key: Key, value: Value, /) -> None:
        """Keep a value."""
        if len(self) >= self._most:
            self.clear()
        super().__setitem__(key, value)
