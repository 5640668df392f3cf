"""Errors that a user sees as one line: what is wrong, where, and what to do next.

`Error` is the base of every class whose message is meant for the person at the keyboard. Rooms
derive their own from it, as `cic.photos` derives PhotoError. Most have a builtin exception as
second base, so that Python code can catch ValueError or OSError. Any other exception is a defect of
this program (see `cic.system.defects`).
"""

import errno
import re

# Errors of the user's machine, not of this program, even if no file is named.
_OF_THE_MACHINE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EROFS", "EIO", "ENOMEM", "EMFILE", "ENFILE", "EPIPE")
    if hasattr(errno, name)
}
# What frameworks say when there is too little memory: a RuntimeError, or a class of their own.
_OUT_OF_MEMORY = re.compile(
    "out of memory|can't allocate memory|STATUS_ALLOC_FAILED", re.IGNORECASE
)


class Error(Exception):
    """A problem that the user can mend; the message says in one line what it is, and how.

    `status` is the exit status of a command that ends with it.
    """

    status = 1


class SettingError(Error, ValueError):
    """A setting, flag or name that is wrong whatever the files are: wrong usage."""

    status = 2


class InputError(Error, ValueError):
    """A file or folder that is unsuitable or in the way; the message names it."""


class FileError(Error, OSError):
    """A file or folder that cannot be read or written; the message names it."""


class MissingError(Error, ImportError):
    """A package that is not installed, or does not work; the message says which to install."""


class ProcessError(Error, ConnectionError):
    """Another process of this command has ended, so that this one cannot go on."""


class OutOfMemory(Error, MemoryError):
    """There is too little memory; the message says what needs less."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that there is too little memory, here or on a device."""
    of_framework = isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))
    return isinstance(error, MemoryError) or bool(of_framework)


def reason(error: BaseException) -> str:
    """Return the first line of a framework's message, and what NCCL says at its end."""
    text = str(error)
    first = next(filter(str.strip, text.splitlines()), type(error).__name__)
    last = " ".join(text.partition("Last error:")[2].split())
    return f"{first}: {last}" if last else first


def is_expected(error: BaseException) -> bool:
    """Return whether an exception is the user's or the machine's, and no defect of this program."""
    if isinstance(error, OSError):
        named = error.filename is not None or error.errno in _OF_THE_MACHINE
        return named or isinstance(error, Error)
    return isinstance(error, Error) or is_out_of_memory(error)
