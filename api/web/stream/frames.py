"""What goes over an event stream, as bytes: events and all else that Server-Sent Events have, plain or in gzip.

The gzip is made of parts: what many streams send is compressed once, what is urgent not at all. A deflate stream is a
row of blocks. One that was made by a compressor of its own and ends at a byte refers to nothing before it, so it can
stand in any stream; a stored block takes 5 bytes and no time.
"""

import functools
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from uuid import UUID

from api.fleet import event_pages
from api.fleet.refusals import Refused
from api.web import problems
from monitor.domain.event import Event, EventType

# How long a browser waits before it connects again.
RETRY_MS = 2000
HEARTBEAT = b":\n\n"
# No more than this is written to a client at once, unless a single event is bigger.
SLICE_BYTES = 64 * 1024
# Deflate, no name, no time, an unknown system. Nothing ends a stream but the end of its connection.
GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
RAW_DEFLATE = -15
MOST_IN_A_BLOCK = 0xFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which events a stream is for: no types are all types, no server is all servers."""

    types: frozenset[EventType]
    server_id: UUID | None

    @property
    def is_open(self) -> bool:
        """Whether every event is let through."""
        return not self.types and self.server_id is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One event as bytes, and of the event what a filter looks at."""

    seq: int
    type: EventType
    server_id: UUID | None
    data: bytes


def frame(event: Event) -> Frame:
    """Write an event down: once, for all streams."""
    document = event_pages.view(event).model_dump_json()
    data = f"id: {event.seq}\nevent: {event.type}\ndata: {document}\n\n".encode()
    return Frame(seq=event.seq, type=event.type, server_id=event.server_id, data=data)


def joined(frames: Iterable[Frame], wanted: Filter) -> bytes:
    """Return the bytes of those frames that a filter lets through."""
    if wanted.is_open:
        return b"".join([frame.data for frame in frames])
    return b"".join(
        [
            frame.data
            for frame in frames
            if (not wanted.types or frame.type in wanted.types) and wanted.server_id in {None, frame.server_id}
        ]
    )


def slices(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Cut a row of frames into shorter ones, none empty, that are small enough to be written at once."""
    row: list[Frame] = []
    size = 0
    for frame in frames:
        if row and size + len(frame.data) > SLICE_BYTES:
            yield row
            row, size = [], 0
        row.append(frame)
        size += len(frame.data)
    if row:
        yield row


def beginning(cursor: int | None) -> bytes:
    """Return the first bytes of a stream, sent before there is anything to tell."""
    mark = b"" if cursor is None else cursor_mark(cursor)
    return f": ollama-fleet events\nretry: {RETRY_MS}\n\n".encode() + mark


def cursor_mark(seq: int) -> bytes:
    """Return an id without data: it dispatches no event, but a client that reconnects goes on from there."""
    return f"id: {seq}\n\n".encode()


def message(name: str, document: str, *, seq: int | None = None) -> bytes:
    """Return a message of some name with JSON on one line; `seq` moves the client's cursor."""
    mark = "" if seq is None else f"id: {seq}\n"
    return f"{mark}event: {name}\ndata: {document}\n\n".encode()


def error(refused: Refused) -> bytes:
    """Return the last message of a stream that cannot go on."""
    return message("error", json.dumps(problems.document(refused)))


class Shared:
    """Bytes that go to many clients, compressed for those that want them so."""

    def __init__(self, plain: bytes) -> None:
        self.plain = plain

    @functools.cached_property
    def packed(self) -> bytes:
        """The bytes as compressed blocks."""
        compressor = zlib.compressobj(wbits=RAW_DEFLATE)
        return compressor.compress(self.plain) + compressor.flush(zlib.Z_SYNC_FLUSH)


def stored(data: bytes) -> bytes:
    """Return bytes as blocks that only hold them."""
    blocks = [data[start : start + MOST_IN_A_BLOCK] for start in range(0, len(data), MOST_IN_A_BLOCK)]
    return b"".join([_block_header(len(block)) + block for block in blocks])


def _block_header(length: int) -> bytes:
    return b"\x00" + length.to_bytes(2, "little") + (length ^ MOST_IN_A_BLOCK).to_bytes(2, "little")
