"""Files that are there whole or not at all."""

import errno
import os
import re
import stat
import tempfile
from contextlib import contextmanager

_MARK = ".partial"
_LEFTOVER = re.compile(rf"\..*\.[a-z0-9_]{{8}}\{_MARK}(\.[^.]*)?", re.DOTALL)  # mkstemp's names


@contextmanager
def replacing(path):
    """Path of a fresh file beside `path` that takes its place when the block ends without error.

    A crash at any moment leaves the old file, or none, never a part: the bytes are on disk before
    the name changes.
    """
    path = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(path)
    os.makedirs(folder, exist_ok=True)
    stem, suffix = os.path.splitext(name)
    try:
        handle, fresh = tempfile.mkstemp(_MARK + suffix, f".{stem[:40]}.", folder)
    except OSError as error:  # it names a file that nobody knows
        raise OSError(error.errno, error.strerror, path) from None
    os.close(handle)
    try:
        yield fresh
        with open(fresh, "r+b") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)  # it can only be read by setting it
        os.umask(umask)
        os.chmod(fresh, 0o666 & ~umask)  # mkstemp's files are private
        os.replace(fresh, path)
    except BaseException as error:
        os.unlink(fresh)
        if isinstance(error, OSError) and error.errno and not error.filename:  # the disk is full
            raise OSError(error.errno, error.strerror, path) from None
        raise


def open_regular(path, buffering=-1):
    """Binary file at `path`; raises OSError, and never waits, if it is a pipe or a device.

    Opening a pipe waits for someone to write, and some devices have no end.
    """
    opener = None
    if hasattr(os, "O_NONBLOCK"):  # of no effect on files
        opener = lambda name, flags: os.open(name, flags | os.O_NONBLOCK)  # noqa: E731
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    file = open(path, "rb", buffering, opener=opener)  # noqa: SIM115 - closed by the caller
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):  # it has become one
        file.close()
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    return file


def check(path):
    """Raise OSError, before any work, if `replacing` could not write a file of that name."""
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder, not a file to write")
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise NotADirectoryError(f"{path}: cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: cannot be written: no permission to write in {folder}")


def lies_in(path, folder):
    """Whether a file written as `path` would lie in `folder`, at any depth."""
    parent, folder = (os.path.realpath(place) for place in (os.path.dirname(path), folder))
    return os.path.commonpath((parent, folder)) == folder


def is_leftover(name):
    """Whether a file's name is one that `replacing` leaves when it is killed, and nobody else."""
    return bool(_LEFTOVER.fullmatch(name))


def remove_leftovers(folder, deep=True):
    """Remove what `replacing` left in `folder` when it was killed; nobody may write there.

    Folders in it are entered if `deep`; never hidden ones: nothing is written in them.
    """
    for root, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if deep and not name.startswith("."))
        for name in filter(is_leftover, names):
            os.unlink(os.path.join(root, name))
