"""Where the PostgreSQL of a test keeps its files: in memory where there is room, since a disk takes most of a test."""

import os
import shutil
from pathlib import Path

_IN_MEMORY = Path("/dev/shm")


def folder(room: int) -> str:
    """Return the folder in memory if it has more than `room` bytes left, else /tmp; any account can reach both."""
    roomy = _IN_MEMORY.is_dir() and os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > room
    return str(_IN_MEMORY) if roomy else "/tmp"
