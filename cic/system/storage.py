"""List, read and write files at addresses; each is read or written whole, and tried again where
that may help.

fsspec talks to the storage. It is imported only for an address, with the package that this address
needs, such as s3fs.
"""

import errno
import io
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

from cic.system import s3_pages
from cic.system.addresses import AddressError, trimmed
from cic.system.errors import Error, MissingError, SettingError
from cic.system.text import message_of, shortened

PAUSES = (0.5, 1.0, 2.0, 4.0)  # seconds, and up to as much again, before it is tried again
FileSystem: TypeAlias = Any  # fsspec.AbstractFileSystem
Result = TypeVar("Result")

# Protocols of stores of objects: what is put there appears whole. Elsewhere a name is changed last.
_WHOLE = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "oci", "memory"}
_BUCKETS = _WHOLE - {"memory"}  # whose addresses begin with the name of one
_S3 = {"s3", "s3a"}
_WEB = {"http", "https", "ftp", "ftps", "github", "gist"}
_PROTOCOLS = re.compile(r"([a-z][a-z0-9+.-]*)(?=::|://)")  # of a chain of file systems, too
# s3fs alone: no tries below ours, no parts of a file side by side, each 50 MB.
_S3_OPTIONS = {"config_kwargs": {"retries": {"total_max_attempts": 1}}, "max_concurrency": 1}
# What a second try does not change.
_FOR_GOOD = (
    FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError,
    NotImplementedError, ImportError, ValueError,
)  # fmt: skip
_NUMBERS = frozenset(
    (errno.EINVAL, errno.EPERM, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOSYS, errno.ENOSPC)
)
_TIMES = ("LastModified", "mtime", "last_modified", "updated", "created")  # of a file, by store
_DEFECTS = (TypeError, LookupError, AttributeError, MemoryError)


class Entry(NamedTuple):
    """A file below an address: its name from there on, bytes, and when it last `changed`, in ns.

    That is 0 in a store that does not tell.
    """

    name: str
    size: int
    changed: int


def files(address: str) -> Iterator[Entry]:
    """Yield the Entry of all files below an address, at any depth, in the order of names' bytes.

    What is held is a page of S3, elsewhere a folder and those above it. Raises AddressError.
    """
    protocols, path = _tried(address, lambda system, path: (_protocols(system), path))
    yield from _of_pages(address, path) if protocols & _S3 else _of_folders(address)


def _of_pages(address: str, path: str) -> Iterator[Entry]:
    bucket, _, key = path.partition("/")
    start = f"{key}/" if key else ""
    more: dict[str, str] = {}
    while True:
        ask = partial(_page, {"Bucket": bucket, "Prefix": start, **more})
        page = _tried(address, ask)
        for entry in page.get("Contents", ()):
            if not entry["Key"].endswith("/"):  # what a console makes as a folder
                yield Entry(entry["Key"][len(start) :], entry["Size"], _changed(entry))
        if not page.get("IsTruncated"):
            return
        more = {"ContinuationToken": page["NextContinuationToken"]}


def _page(wanted: dict[str, str], system: FileSystem, path: str) -> dict[str, Any]:
    s3_pages.read_here(system)
    return system.call_s3("list_objects_v2", **wanted)


def _of_folders(address: str) -> Iterator[Entry]:
    waiting = [Entry("", 0, 0)]  # names of folders end in a slash; the last one comes next
    while waiting:
        entry = waiting.pop()
        if entry.name and not entry.name.endswith("/"):
            yield entry
            continue
        found = _tried(os.path.join(address, entry.name), _entries)
        inside = [one._replace(name=entry.name + one.name) for one in found]
        waiting += sorted(inside, key=lambda one: os.fsencode(one.name), reverse=True)


def _entries(system: FileSystem, path: str) -> list[Entry]:
    found = []
    for entry in system.ls(path, detail=True):
        name = entry["name"].rstrip("/").rpartition("/")[2]
        if entry["type"] == "directory":
            found.append(Entry(f"{name}/", 0, 0))
        else:
            found.append(Entry(name, entry["size"] or 0, _changed(entry)))
    return found


def _changed(entry: Mapping[str, Any]) -> int:
    """Return when a file last changed, ns, by what its store says; 0 if it does not."""
    when = next((entry[key] for key in _TIMES if entry.get(key)), 0)
    if isinstance(when, str):
        with suppress(ValueError):
            when = datetime.fromisoformat(when.replace("Z", "+00:00"))
    if isinstance(when, datetime):
        when = when.timestamp()
    return int(when * 1e9) if isinstance(when, int | float) else 0


def size(address: str) -> int | None:
    """Return the size of the file at an address in bytes, None for a folder.

    Raises AddressError if neither is there.
    """
    entry = _tried(address, lambda system, path: system.info(path))
    return None if entry["type"] == "directory" else entry["size"] or 0


def exists(address: str) -> bool:
    """Return whether there is a file or folder at an address."""
    return _tried(address, lambda system, path: system.exists(path))


def check_bucket(address: str) -> None:
    """Raise AddressError if there is no such bucket to write to; other stores are not asked."""

    def ask(system: FileSystem, path: str) -> None:
        if _protocols(system) & _S3:
            with suppress(PermissionError):  # who may write need not be allowed to look
                system.call_s3("head_bucket", Bucket=path.partition("/")[0])

    _tried(address, ask)


def read(address: str, most: int) -> io.BytesIO:
    """Return the file at an address, in memory: raise AddressError if it has more than `most`
    bytes.
    """
    data = beginning(address, most + 1)
    if len(data) > most:
        raise AddressError(address, f"too large: more than {most:,} bytes")
    return io.BytesIO(data)


def beginning(address: str, count: int) -> bytes:
    """Return the first `count` bytes of the file at an address, or all; raise AddressError."""
    return _tried(address, partial(_beginning, count))


def _beginning(count: int, system: FileSystem, path: str) -> bytes:
    try:
        return system.cat_file(path, start=0, end=count)
    except OSError as error:
        if getattr(error, "errno", None) == errno.EINVAL and system.info(path)["size"] == 0:
            return b""  # S3 has no range of nothing
        raise


@contextmanager
def replacing(address: str) -> Iterator[str]:
    """Path of a fresh file here that is put to an address when the block ends without error.

    It appears there whole or not at all. Raises AddressError.
    """
    with tempfile.TemporaryDirectory(prefix="cic-") as folder:
        fresh = os.path.join(folder, f"fresh{os.path.splitext(address)[1]}")
        yield fresh
        _tried(address, partial(_put, fresh))


def _put(fresh: str, system: FileSystem, path: str) -> None:
    if _protocols(system) & _WHOLE:
        system.put_file(fresh, path)
        return
    folder, _, name = path.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    beside = f"{folder}/.{name[:40]}.{random.getrandbits(32):08x}.partial"
    try:
        system.put_file(fresh, beside)
        system.mv(beside, path)
    except BaseException:
        with suppress(Exception):
            system.rm_file(beside)
        raise


def _protocols(system: FileSystem) -> set[str]:
    return {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)


def _tried(address: str, work: Callable[[FileSystem, str], Result]) -> Result:
    """Return `work(file system, path in it)` of an address, tried again while what fails may pass.

    Raises AddressError, or MissingError for a package; a defect stays what it is.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return work(*_opened(address))  # which some stores connect for
        except (*_DEFECTS, Error):
            raise
        except Exception as error:
            pause = next(pauses, None)
            if pause is None or _is_for_good(error):
                raise _named(address, error) from error
        time.sleep(pause * (1 + random.random()))  # not all that failed together come again so


def _opened(address: str) -> tuple[FileSystem, str]:
    """Return (file system, path in it) of an address; fsspec keeps one file system a thread."""
    if _WEB & set(_PROTOCOLS.findall(address.lower())):
        raise SettingError(f"{address}: pages of the web are not fetched: save the photo first")
    store, _, place = address.partition("://")
    if store.rpartition("::")[2].lower() in _BUCKETS and place[:1] in ("", "/"):
        raise SettingError(f"{address}: names no bucket: write {store}://BUCKET/FOLDER")
    try:
        import fsspec  # optional, and slow
    except ImportError:
        raise MissingError(f"{address}: pip install fsspec{_package(address)}") from None
    options: dict[str, Any] = {"use_listings_cache": False}
    if address.partition("://")[0] in _S3:
        options |= _S3_OPTIONS
    try:
        return fsspec.core.url_to_fs(trimmed(address), **options)
    except ImportError as error:
        package = _package(address)
        raise MissingError(
            f"{address}: pip install{package}" if package else f"{address}: {message_of(error)}"
        ) from None
    except ValueError as error:
        raise SettingError(
            f"{address}: no address that fsspec knows: {message_of(error)}"
        ) from None


def _package(address: str) -> str:
    return " s3fs" if address.partition("://")[0] in _S3 else ""


def _kinds(error: BaseException) -> set[str]:
    """Return the names of an exception's classes: those of packages that may not be here."""
    return {kind.__name__ for kind in type(error).__mro__}


def _is_for_good(error: Exception) -> bool:
    kinds = _kinds(error)
    if "BotoCoreError" in kinds:  # settings and credentials, but for those of the connection
        return not kinds & {"HTTPClientError", "ConnectionError"}
    return isinstance(error, _FOR_GOOD) or getattr(error, "errno", None) in _NUMBERS


def _named(address: str, error: Exception) -> AddressError:
    what = shortened(message_of(error))
    if "NoCredentialsError" in _kinds(error):
        what = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    elif isinstance(error, FileNotFoundError):
        what = "there is no such file, folder or bucket"
    elif isinstance(error, PermissionError):
        what = f"not ours to use: {what}"
    elif not _is_for_good(error):
        what = f"tried {len(PAUSES) + 1} times: {type(error).__name__}: {what}"
    return AddressError(address, what)
