"""Files that are there whole or not at all."""

import os
import tempfile
from contextlib import contextmanager


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
    handle, fresh = tempfile.mkstemp(suffix, f".{stem[:40]}.", folder)
    os.close(handle)
    try:
        yield fresh
        with open(fresh, "r+b") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)  # it can only be read by setting it
        os.umask(umask)
        os.chmod(fresh, 0o666 & ~umask)  # mkstemp's files are private
        os.replace(fresh, path)
    except BaseException:
        os.unlink(fresh)
        raise
