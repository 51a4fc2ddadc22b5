"""Whether a person looks on, and at how wide a screen."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console


def is_screen() -> bool:
    """Whether a person looks on."""
    return sys.stdout.isatty()


def has_terminal() -> bool:
    """Whether this was started at a terminal, though its output may go elsewhere."""
    # Python has none where the descriptor was closed.
    return any(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))


def is_decorated() -> bool:
    """Whether a person looks on who did not ask for plain text (https://no-color.org)."""
    return is_screen() and not os.environ.get("NO_COLOR")


def width() -> int:
    """Return how many columns the screen has."""
    return shutil.get_terminal_size().columns


def console(*, stderr: bool = False) -> Console:
    """Return rich's console."""
    # Left to itself it takes every simple terminal for one of 80 columns.
    size = shutil.get_terminal_size()
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=size.columns, height=size.lines)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C end a block that does not await: the event loop would hear of it only afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
