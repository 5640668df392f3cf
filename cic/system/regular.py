"""Open regular files without waiting, and read them no further than their end at that time."""

import errno
import io
import os
import stat
from typing import Any, BinaryIO

from cic.system.typing import Source, StrPath


class _AsOpened(io.FileIO):
    """A file that seems to end where it ended when it was opened, even if it grows."""

    def __init__(self, handle: int) -> None:
        super().__init__(handle, "rb")
        self.stamp = _stamp(handle)
        self.size = self.stamp[0]

    def readinto(self, buffer: Any) -> int:
        left = max(0, self.size - self.tell())
        return super().readinto(memoryview(buffer)[:left])

    def readall(self) -> bytes:
        return super().read(max(0, self.size - self.tell()))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence == os.SEEK_END:
            offset, whence = max(0, self.size + offset), os.SEEK_SET
        return super().seek(offset, whence)


def _stamp(handle: int) -> tuple[int, int]:
    state = os.fstat(handle)
    return state.st_size, state.st_mtime_ns


def open_regular(path: StrPath) -> io.BufferedReader:
    """Open a regular file for reading, as a buffered binary file.

    Raises OSError, naming it, for a folder, a pipe, a socket or a device, all without waiting, and
    for what cannot be opened.
    """
    _check(os.stat(path), path)  # before the opening: that of a device may do something
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        _check(os.fstat(handle), path)  # it may have been replaced in between
        return io.BufferedReader(_AsOpened(handle))
    except BaseException:
        os.close(handle)
        raise


def open_source(source: Source) -> BinaryIO:
    """Open a path as `open_regular` does, or what has `open` by that."""
    return open_regular(source) if isinstance(source, str | os.PathLike) else source.open()


def _check(state: os.stat_result, path: StrPath) -> None:
    if stat.S_ISDIR(state.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(state.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


def has_changed(file: object) -> bool:
    """Return whether somebody has written to a file of `open_regular` since it was opened."""
    raw = getattr(file, "raw", None)
    return isinstance(raw, _AsOpened) and _stamp(raw.fileno()) != raw.stamp
