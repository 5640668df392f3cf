"""Read photos in tar shards, as WebDataset lays them out, by their offset, without unpacking."""

import io
import json
import os
import stat
import tarfile
from typing import BinaryIO, NamedTuple, TypeAlias

from cic.photos.images import PhotoError
from cic.system import bounded_json
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.system.typing import StrPath

BLOCK = tarfile.BLOCKSIZE
Entry: TypeAlias = tuple[str, int, int]  # name, offset, size
_SIZE = slice(124, 136)  # of a header
FORMAT = 2  # of the index; one of another format is made anew
# What tarfile raises for headers that are damaged or made up.
_DAMAGE = (
    tarfile.TarError, ValueError, TypeError, LookupError, ArithmeticError,
    MemoryError, RecursionError,
)  # fmt: skip


class Member(NamedTuple):
    """A photo in a shard: `size` bytes from `offset` on."""

    shard: str
    name: str
    offset: int
    size: int

    def __str__(self) -> str:
        return os.path.join(self.shard, self.name)

    def open(self) -> BinaryIO:
        """Return the photo's bytes as a file.

        Raises PhotoError if the shard has changed since it was listed, OSError if it is gone.
        """
        with open_regular(self.shard) as shard:
            shard.seek(self.offset - BLOCK)
            header, data = shard.read(BLOCK), shard.read(self.size)
        if len(data) < self.size or not self._is_of(header):
            raise PhotoError(f"{str(self)!r}: the shard has changed since it was listed: run again")
        return io.BytesIO(data)

    def _is_of(self, header: bytes) -> bool:
        """Return whether the block before the photo's bytes is its header; a long name stands
        elsewhere.

        So does one that is not ASCII, in some formats.
        """
        name = os.fsencode(self.name).ljust(tarfile.LENGTH_NAME, b"\0")
        if header.startswith(name) and header[_SIZE] == b"%011o\0" % self.size:
            return True  # as nearly all are, and ten times as quick
        try:
            info = tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
        except tarfile.HeaderError:
            return False
        short = self.name.isascii() and len(self.name) <= tarfile.LENGTH_NAME
        return info.size == self.size and (info.name == self.name or not short)


def members(shard: StrPath) -> tuple[list[Member], str | None]:
    """Return (members, problem) of a tar file: every regular file in it, and what is wrong, or
    None.

    Of a shard that is cut off or damaged, the members before that place are whole. The result is
    kept in `shard`.index.json, if that can be written, until the shard changes.
    Raises PhotoError if the file cannot be read or is no tar file.
    """
    shard = os.fspath(shard)
    try:
        state = os.stat(shard)
        if not stat.S_ISREG(state.st_mode):
            raise PhotoError(f"{shard!r}: not a regular file")
        stamp = [FORMAT, state.st_size, state.st_mtime_ns]
        found, problem = _read_index(shard, stamp) or _make_index(shard, stamp)
    except OSError as error:
        raise PhotoError(f"{shard!r}: {error.strerror or error}") from None
    return [Member(shard, *entry) for entry in found], problem and f"{shard!r}: {problem}"


def _read_index(shard: str, stamp: list[int]) -> tuple[list[Entry], str | None] | None:
    """Return what `_make_index` returned when the shard had the same stamp, or None."""
    try:
        index = bounded_json.load(f"{shard}.index.json")
        if index["stamp"] == stamp:
            found = [(str(name), int(at), int(size)) for name, at, size in index["members"]]
            return found, index["problem"]
    except (OSError, ValueError, LookupError, TypeError):
        pass  # there is none, or it is not ours: it is made anew
    return None


def _make_index(shard: str, stamp: list[int]) -> tuple[list[Entry], str | None]:
    found, problem = _scan(shard, size=stamp[1])
    try:
        with replacing(f"{shard}.index.json") as fresh, open(fresh, "w", encoding="ascii") as file:
            json.dump({"stamp": stamp, "members": found, "problem": problem}, file)
    except OSError:
        pass  # a folder that cannot be written to: the index is made at every start
    return found, problem


def _scan(shard: str, size: int) -> tuple[list[Entry], str | None]:
    """Return ([(name, offset, size), ...], problem or None) of a tar file of `size` bytes."""
    found: list[Entry] = []
    try:
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as tar:
            sound = _read_headers(tar, size, found)
    except _DAMAGE:
        raise PhotoError(
            f"{shard!r}: not a tar file, or a compressed one, which must be decompressed first"
        ) from None
    return found, None if sound else f"cut off or damaged after {len(found):,} whole files"


def _read_headers(tar: tarfile.TarFile, size: int, found: list[Entry]) -> bool:
    """Append every whole file's (name, offset, size) to `found`; whether the end mark follows."""
    try:
        for info in tar:
            tar.members.clear()  # type: ignore[attr-defined]  # or it would keep them all
            if info.isfile() and not info.issparse() and 0 <= info.size <= size - info.offset_data:
                found.append((info.name, info.offset_data, info.size))
            if not info.offset < tar.offset <= size:
                return False  # cut off in its data, or its size is made up
    except _DAMAGE:
        return False
    tar.fileobj.seek(tar.offset)
    return tar.fileobj.read(BLOCK) == bytes(BLOCK)
