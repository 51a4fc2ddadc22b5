"""Functions and triggers of the revisions, as SQL files: one file per revision, read by it."""

from importlib import resources

SEPARATOR = "\n-- next\n"


def statements(name: str) -> list[str]:
    """Return the statements of one file of this folder; a line `-- next` stands between two of them."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8").split(SEPARATOR)
