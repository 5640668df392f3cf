"""Tell addresses of storage, such as s3://bucket/scans, from paths of this machine.

An address may be of any file system that fsspec knows; `storage` reads and writes there.
"""

import os
import re

from cic.system.errors import FileError, InputError, SettingError
from cic.system.typing import StrPath

_FORM = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(::[A-Za-z][A-Za-z0-9+.-]*)*://")

_ONE_SLASH = re.compile(r"((?:s3a?|gs|gcs|abfss?|az|oss|oci|sftp|hdfs|file):)/(?!/)", re.IGNORECASE)


class AddressError(FileError):
    """A file at an address cannot be read or written; `strerror` is the reason alone."""

    def __init__(self, address: str, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.strerror = reason


def is_address(path: StrPath) -> bool:
    """Return whether a path is an address.

    >>> is_address("s3://bucket/scans"), is_address("album/old.jpg")
    (True, False)
    """
    text = path if isinstance(path, str) else os.fsdecode(path)
    return "://" in text and _FORM.match(text) is not None


def trimmed(address: str) -> str:
    """Return an address without slashes at its end."""
    store, mark, rest = address.partition("://")
    return store + mark + rest.rstrip("/")


def real(path: str) -> str:
    """Return the real path of a file, which all its paths share; an address is its own."""
    return trimmed(path) if is_address(path) else os.path.realpath(path)


def check_slashes(path: StrPath) -> None:
    """Raise SettingError for what would be an address if it had two slashes, and no file is."""
    text = os.fsdecode(path)
    if (found := _ONE_SLASH.match(text)) and not os.path.lexists(text.partition("/")[0]):
        raise SettingError(
            f"{text}: no such file; an address has two slashes: {found[1]}//{text[found.end() :]}"
        )


def refuse(path: StrPath) -> None:
    """Raise InputError for an address, where only files of this machine will do."""
    check_slashes(path)
    if is_address(path):
        raise InputError(
            f"{path}: an address: name a path of this machine here: at addresses are only photos "
            "to colorize, prepare, judge or evaluate, and coloured ones"
        )
