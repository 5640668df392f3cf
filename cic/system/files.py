"""Write files whole or not at all."""

import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from cic.system import storage
from cic.system.addresses import is_address, refuse
from cic.system.errors import FileError, InputError
from cic.system.typing import StrPath

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

LONGEST_NAME = 255  # bytes: NAME_MAX of Linux, and no more elsewhere
LONGEST_PATH = 4095  # bytes: PATH_MAX of Linux, less the end's zero
_MARK = ".partial"
_turn = threading.Lock()  # there is one umask
_LEFTOVER = re.compile(rf"\..*\.[a-z0-9_]{{8}}\{_MARK}(\.[^.]*)?", re.DOTALL)  # mkstemp's names


@contextmanager
def replacing(path: StrPath) -> Iterator[str]:
    """Path of a fresh file beside `path` that takes its place when the block ends without error.

    A crash at any moment leaves the old file, or none, never a part: the bytes are on disk before
    the name changes. The path may be an address, see `storage`.
    """
    if is_address(path):
        with storage.replacing(os.fspath(path)) as fresh:
            yield fresh
        return
    path = os.path.abspath(os.fspath(path))
    folder, name = os.path.split(path)
    with _turn:  # or another thread's `_umask` might open it to all
        os.makedirs(folder, exist_ok=True)
    suffix = os.path.splitext(name)[1]
    try:
        handle, fresh = tempfile.mkstemp(_MARK + suffix, _hidden(name), folder)
    except OSError as error:  # it names a file that nobody knows
        raise OSError(error.errno, error.strerror, path) from None
    if fcntl:
        with suppress(OSError):  # a file system without locks
            _lock(handle)  # as long as somebody writes: see remove_stale
    else:
        os.close(handle)  # Windows renames no open file
    try:
        yield fresh
        with open(fresh, "r+b") as written:
            os.fsync(written.fileno())
        os.chmod(fresh, 0o666 & ~_umask())  # mkstemp's files are private
        os.replace(fresh, path)
    except BaseException as error:
        with suppress(FileNotFoundError):  # Ctrl-C came just after it took its place
            os.unlink(fresh)
        is_ours = isinstance(error, OSError) and error.filename in (None, fresh)
        if isinstance(error, OSError) and is_ours and error.errno:  # the disk is full
            raise OSError(error.errno, error.strerror, path) from None
        raise
    finally:
        if fcntl:
            os.close(handle)


def give_name(path: StrPath, other: StrPath) -> None:
    """Let the file `path` be `other`, too, atomically: by a link, or a copy where none can be.

    Whoever then writes one of them, by `replacing`, leaves the other as it is.
    """
    if os.path.exists(other) and os.path.samefile(path, other):
        return
    with replacing(other) as fresh:
        os.unlink(fresh)
        try:
            os.link(path, fresh)
        except OSError:  # a file system without links
            shutil.copyfile(path, fresh)


def _umask() -> int:
    with _turn:
        umask = os.umask(0)  # it can only be read by setting it
        os.umask(umask)
    return umask


def _lock(handle: int) -> None:
    """Lock an open file for this process; raises OSError if another has it locked."""
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_stale(path: StrPath) -> None:
    """Remove what `replacing` left beside `path`, of this name, when it was killed.

    What another process writes just now is locked, and stays.
    """
    folder, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(folder):
        return
    mine = _hidden(name)
    for other in os.listdir(folder):
        if other.startswith(mine) and is_leftover(other):
            _remove_unlocked(os.path.join(folder, other))


def _hidden(name: str) -> str:
    """Return what the name of a fresh file begins with."""
    return f".{os.path.splitext(name)[0][:40]}."


def check(path: StrPath) -> None:
    """Raise FileError, before any work, if `replacing` could not write a file of that name.

    What it left of that name when it was killed is removed. An address is refused.
    """
    refuse(path)
    if os.path.isdir(path):
        raise FileError(f"{path}: is a folder, not a file to write")
    if (length := len(os.fsencode(os.path.basename(path)))) > LONGEST_NAME:
        raise FileError(f"{path}: the name has {length} bytes; {LONGEST_NAME} can be written")
    if (length := len(os.fsencode(os.path.abspath(path)))) > LONGEST_PATH:
        raise FileError(f"{path}: has {length} bytes; a path of {LONGEST_PATH} can be written")
    folder = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(folder):
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise FileError(f"{path}: cannot be written: {folder} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FileError(f"{path}: cannot be written: no permission to write in {folder}")
    remove_stale(path)


def lies_in(path: StrPath, folder: StrPath) -> bool:
    """Return whether a file written as `path` would lie in `folder`, at any depth."""
    parent, folder = (os.path.realpath(place) for place in (os.path.dirname(path), folder))
    return os.path.commonpath((parent, folder)) == folder


def check_outside(paths: Iterable[StrPath], folders: Iterable[StrPath], refusal: str) -> None:
    """`check` each path to write; raise InputError, with the words `refusal`, in any of `folders`.

    These hold photos: what is written there would be taken for one.
    """
    for path in paths:
        check(path)
        if any(os.path.isdir(folder) and lies_in(path, folder) for folder in folders):
            raise InputError(f"{path}: {refusal}")


def is_leftover(name: str) -> bool:
    """Return whether a file's name is one that `replacing` leaves when it is killed, and nobody
    else.
    """
    return bool(_LEFTOVER.fullmatch(name))


def remove_leftovers(folder: StrPath, deep: bool = True, alone: bool = True) -> None:
    """Remove what `replacing` left in `folder` when it was killed; nobody may write there.

    If this process is not `alone`, others may: what they write just now is locked, and stays.
    Folders in it are entered if `deep`; never hidden ones: nothing is written in them.
    """
    for root, folders, names in os.walk(folder):
        folders[:] = (name for name in folders if deep and not name.startswith("."))
        for path in (os.path.join(root, name) for name in names if is_leftover(name)):
            if alone:
                os.unlink(path)
            else:
                _remove_unlocked(path)


def _remove_unlocked(path: str) -> None:
    """Remove what `replacing` left, unless another process writes it just now."""
    if not fcntl:
        return
    with suppress(OSError), open(path, "r+b") as left:
        _lock(left.fileno())
        os.unlink(path)
