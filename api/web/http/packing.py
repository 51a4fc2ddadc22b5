"""Gzip for event streams, made of parts: what many streams send is compressed once, what is urgent not at all.

A deflate stream is a row of blocks. One that was made by a compressor of its own and ends at a byte refers to
nothing before it, so it can stand in any stream; a stored block takes 5 bytes and no time.
"""

import functools
import zlib

# Deflate, no name, no time, an unknown system. Nothing ends a stream but the end of its connection.
HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
RAW_DEFLATE = -15
MOST_IN_A_BLOCK = 0xFFFF


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
    return b"".join([_header(len(block)) + block for block in blocks])


def _header(length: int) -> bytes:
    return b"\x00" + length.to_bytes(2, "little") + (length ^ MOST_IN_A_BLOCK).to_bytes(2, "little")
