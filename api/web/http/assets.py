"""The dashboard's files as they go over the wire: their type, a tag of their content, and a compressed copy."""

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath

MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".md": "text/plain",
    ".svg": "image/svg+xml",
    "": "text/plain",
}
FOLDER = "web/dashboard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One file, as it is and compressed; `tag` is the same exactly for the same content."""

    media_type: str
    content: bytes
    compressed: bytes
    tag: str


def load() -> Mapping[str, Asset]:
    """Read all files of the dashboard, by their path in its folder; they take some 200 kB."""
    return {path: _asset(path, file.read_bytes()) for path, file in _files(resources.files("api") / FOLDER, "")}


def _files(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _files(entry, f"{prefix}{entry.name}/")
        elif PurePosixPath(entry.name).suffix in MEDIA_TYPES:
            yield prefix + entry.name, entry


def _asset(path: str, content: bytes) -> Asset:
    return Asset(
        media_type=MEDIA_TYPES[PurePosixPath(path).suffix],
        content=content,
        # No time of writing, so that the same file always is the same bytes.
        compressed=gzip.compress(content, mtime=0),
        tag=hashlib.sha256(content).hexdigest()[:32],
    )
