"""Says whose a file is that this user may not read, and what to type: "Permission denied" alone names no way out."""

import os
import pwd
from pathlib import Path


def way_out(path: Path) -> str:
    """Return the beginning of a sentence about a file that could not be read; what else helps may follow it."""
    reader = user()
    try:
        owner = _name(path.stat().st_uid)
    except OSError:
        return f"This runs as {reader}, who may not even look into {path.parent}: run it with `sudo`"
    # Root may read what belongs to a number without a name, and sudo wants such a number in a spelling of its own.
    how = "sudo" if owner == "root" or owner.isdecimal() else f"sudo -u {owner}"
    return f"It belongs to {owner}, and this runs as {reader}: run it with `{how}`"


def user() -> str:
    """Return the name of the user as whom this runs."""
    return _name(os.geteuid())


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
