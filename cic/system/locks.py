"""Let one run at a time write to an output folder: the lock names its owner, and no kill leaves it
shut.

The lock is the kernel's, on a file in the folder (flock), which ends with the process that holds
it, however that ends; on NFS the server keeps it for all hosts. The file names the owner. If that
process is dead, a kill left the file, and the next run takes it over. Where flock is local to a
host, or does not work, the file's time tells: its owner sets it every BEAT seconds.

Shares of one run work beside each other, each under a lock of its own; a run that takes all, and a
share of another division, are refused meanwhile.
"""

import json
import os
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from cic.system.addresses import refuse
from cic.system.errors import Error, FileError
from cic.system.files import remove_leftovers
from cic.system.shares import WHOLE, Share
from cic.system.typing import Json, StrPath

try:
    import fcntl
except ImportError:  # of Unix
    fcntl = None  # type: ignore[assignment]

NAME = ".cic-lock"
SHARES = ".cic-shares"  # the folder of the shares' locks, "0-of-2" and so on
BEAT = 30  # seconds between signs of life
SILENT = 150  # seconds without one, after which an owner on another machine is taken for dead
_IN_THE_WAY = "in the way of a lock, and no regular file: remove it"
GLANCE = 1.0  # seconds that another share may take to look at a lock, and remove it


class LockedError(Error, OSError):
    """Another run writes into the folder; the message says which, and what to do."""


class UnsureError(LockedError):
    """The lock's owner was on another machine: only after SILENT seconds is it known to be dead."""


@contextmanager
def held(folder: StrPath, share: Share = WHOLE, patient: bool = False) -> Iterator[bool]:
    """A context in which no other run that asks writes into `folder`, which is made if need be.

    Other shares of the same division as `share` may. Gives whether an earlier run was killed in it.
    The file is removed at the end, and so is the folder if it was made here and is empty. Of
    several processes of one run, the first alone asks. One that is `patient` waits where another
    machine's run may have been killed. Raises LockedError if another run is at work, OSError if the
    folder cannot be written to.
    """
    refuse(folder)
    made = _missing(folder)
    path = _path(folder, share)
    try:
        file, before = (_take_in_time if patient else _take)(path, folder)
        ended = threading.Event()
        threading.Thread(target=_beat, args=(path, ended), daemon=True).start()
        try:
            others = [_free(other, folder) for other in _others(folder, share)]
            yield before is not None or any(others)
        finally:
            ended.set()
            _remove(path, file)
            if not share.is_whole:
                with suppress(OSError):  # not empty
                    os.rmdir(os.path.dirname(path))
    finally:
        for place in made:
            with suppress(OSError):  # not empty
                os.rmdir(place)


@contextmanager
def cleaned(folder: StrPath, share: Share = WHOLE) -> Iterator[None]:
    """As `held`; what a run that was killed left half-written in the folder is removed first."""
    with held(folder, share) as was_killed:
        if was_killed:
            remove_leftovers(folder, alone=share.is_whole)
        yield


def _path(folder: StrPath, share: Share) -> str:
    if share.is_whole:
        return os.path.join(folder, NAME)
    return os.path.join(folder, SHARES, f"{share.number}-of-{share.of}")


def _others(folder: StrPath, share: Share) -> Iterator[str]:
    """Yield the paths of the locks whose owners may not work beside this one: it is there by now,
    so that of two that come at once one sees the other.
    """
    if not share.is_whole:
        yield _path(folder, WHOLE)
    with suppress(FileNotFoundError):
        for name in os.listdir(os.path.join(folder, SHARES)):
            if not name.endswith(f"-of-{share.of}"):
                yield os.path.join(folder, SHARES, name)


def _free(path: str, folder: StrPath) -> bool:
    """Remove the lock of another run that was killed: whether there was one.

    Raises LockedError if that run is at work.
    """
    until = time.monotonic() + GLANCE
    while True:
        try:
            file = _open(path, folder, 0)
        except FileNotFoundError:
            return False
        if (is_ours := lock(file)) is not None or time.monotonic() > until:
            break
        os.close(file)
        time.sleep(GLANCE / 20)
    try:
        _refuse_living(file, folder, is_ours)
    except BaseException:
        os.close(file)
        raise
    _remove(path, file)
    with suppress(OSError):  # not empty, or not of shares
        os.rmdir(os.path.dirname(path))
    return True


def _remove(path: str, file: int) -> None:
    """Remove a lock whose open file is `file`, and let go of it."""
    with suppress(OSError):
        if os.path.samestat(os.stat(path), os.fstat(file)):
            os.unlink(path)
    os.close(file)


def _missing(folder: StrPath) -> list[str]:
    """Return a folder and those above it that are not there, the innermost first; raise OSError."""
    missing, place = [], os.path.abspath(folder)
    while not os.path.lexists(place):
        missing.append(place)
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise FileError(f"{folder}: cannot be written: {place} is not a folder")
    return missing


def _take_in_time(path: str, folder: StrPath) -> tuple[int, dict[str, Json] | None]:
    """Return what `_take` gives, once the owner has given no sign for long enough."""
    until, is_said = time.monotonic() + SILENT + BEAT, False
    while True:
        try:
            return _take(path, folder)
        except UnsureError as error:
            if time.monotonic() > until:
                raise
            if not is_said:
                print(f"{error}: waiting for that", file=sys.stderr)
            is_said = True
        time.sleep(BEAT / 10)


def _take(path: str, folder: StrPath) -> tuple[int, dict[str, Json] | None]:
    """Return (file descriptor that holds the lock, the dead owner whose file it was, or None)."""
    while True:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # another run may have removed it
        try:
            file = _open(path, folder)
        except FileNotFoundError:
            continue
        try:
            is_ours = lock(file)
            if not _is_there(path, file):  # its owner has just removed it
                os.close(file)
                continue
            before = _refuse_living(file, folder, is_ours)
            _write(file)
        except BaseException:
            os.close(file)
            raise
        if before is not None:
            print(f"{folder}: {_name(before)} was killed here: going on", file=sys.stderr)
        return file, before


def _refuse_living(file: int, folder: StrPath, is_ours: bool | None) -> dict[str, Json] | None:
    """Return the dead owner that a lock's file names, or None; raise LockedError if it is alive."""
    found = os.fstat(file)
    owner = _read(file) if found.st_size else None
    if is_ours is None:
        raise LockedError(_message(folder, owner or {}))
    if owner is None or (is_ours and owner.get("machine") == _machine()):
        return owner
    if _now(folder) - found.st_mtime < SILENT:
        wait = f"; if it was killed, this works again in {SILENT} seconds"
        raise UnsureError(_message(folder, owner) + wait)
    return owner


def _open(path: str, folder: StrPath, more: int = os.O_CREAT) -> int:
    flags = os.O_RDWR | more | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.open(path, flags, 0o666)
    except IsADirectoryError:
        raise FileError(f"{path}: {_IN_THE_WAY}") from None
    except OSError as error:  # it names a file that nobody knows
        raise OSError(error.errno, error.strerror, os.fspath(folder)) from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise FileError(f"{path}: {_IN_THE_WAY}")
    return file


def lock(file: int) -> bool | None:
    """Return whether flock works and the lock is ours: None if it is another's, False if it does
    not.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError:  # no locks on this file system
        return False
    return True


def _is_there(path: str, file: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file))
    except FileNotFoundError:
        return False


def _read(file: int) -> dict[str, Json]:
    """Return the owner that a lock's file names; empty if it cannot be told."""
    try:
        owner = json.loads(os.pread(file, 4096, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _write(file: int) -> None:
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "machine": _machine()}
    owner["since"] = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError):  # a disk that is full: the lock holds, without a name
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps(owner).encode("ascii"), 0)


def _machine() -> str:
    """Return what tells one running kernel from another; containers, which have names, share
    theirs.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return socket.gethostname()


def _now(folder: StrPath) -> float:
    """Return the time by the clock of the folder's file system, which may be another host's."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"now")
        file.flush()
        return os.fstat(file.fileno()).st_mtime


def _beat(path: str, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        with suppress(OSError):
            os.utime(path)


def _name(owner: dict[str, Json]) -> str:
    if not owner.get("pid"):
        return "another run"
    return f"process {owner['pid']} on {owner.get('host')}, begun {owner.get('since')},"


def _message(folder: StrPath, owner: dict[str, Json]) -> str:
    return (
        f"{folder}: {_name(owner)} is writing into this folder: "
        "wait until it ends, or choose another folder"
    )
