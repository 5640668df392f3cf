"""Identify a file by its content, so that a later step can tell whether it is still the same."""

import hashlib
import os
import zlib
from typing import NamedTuple

from cic.system.regular import open_source
from cic.system.typing import Source, StrPath

_CHUNK = 1 << 20
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class Content(NamedTuple):
    """A file's size in bytes, its SHA-256 in hexadecimal, and its sum as `cksum` prints it."""

    size: int
    sha256: str
    cksum: int


def digest(source: Source) -> Content:
    """Return the Content of a photo: a path, or an object whose method `open` returns a binary
    file.

    Raises OSError if it cannot be read, or is no regular file.
    """
    digest, crc = hashlib.sha256(), 0xFFFFFFFF
    with open_source(source) as file:
        left = size = file.seek(0, os.SEEK_END)  # and no more: it may grow meanwhile
        file.seek(0)
        while data := file.read(min(left, _CHUNK)):
            left -= len(data)
            digest.update(data)
            crc = zlib.crc32(data.translate(_REVERSED), crc)
    size -= left
    return Content(size, digest.hexdigest(), _cksum(crc, size))


def _cksum(crc: int, size: int) -> int:
    """Return the POSIX cksum from zlib's CRC, begun at all ones, of the data's bytes with their
    bits reversed.

    Both have the polynomial 0x04C11DB7, zlib's with the bits of bytes and result the other way
    round. POSIX begins at 0, zlib at the complement of what it is given; POSIX appends the size.
    """
    length = size.to_bytes((size.bit_length() + 7) // 8, "little")
    return int(f"{zlib.crc32(length.translate(_REVERSED), crc):032b}"[::-1], 2)


def state(source: Source) -> tuple[int, ...] | None:
    """Return a value that changes whenever a photo's file does, without reading it; None if it is
    gone.

    The file of a photo in a shard is the shard. Of one that a store listed it is what that said.
    """
    if listed := getattr(source, "listed", None):
        return listed
    try:
        found = os.stat(getattr(source, "shard", source))  # type: ignore[arg-type]
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def is_newer(source: Source, path: StrPath) -> bool:
    """Return whether a photo's file has changed since the work on its result, the file at `path`,
    began.

    It tells by the time at which the system noted the last change, which no copying sets back.
    """
    found = state(source)
    return found is not None and found[-1] > os.stat(path).st_mtime_ns
