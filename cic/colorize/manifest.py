"""A manifest of a batch: a line of JSON for each photo, added as soon as it is done."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import NamedTuple

from cic.photos.endings import EXTENSIONS, FILMS
from cic.system import bounded_json, locks
from cic.system.errors import FileError, InputError
from cic.system.files import check, replacing
from cic.system.regular import open_regular
from cic.system.shares import Share

FIELDS = ("source", "result", "seconds", "error")
_START = b'{"source": "'  # of each line


class Line(NamedTuple):
    """A photo's line: its result, or an error; seconds are None if it was made earlier."""

    source: str
    result: str | None
    seconds: float | None
    error: str | None


class Manifest:
    """A file of Lines; those of earlier runs stay."""

    def __init__(self, path: str, file: FileIO, known: frozenset[int]) -> None:
        self.path, self.file, self.known = path, file, known

    def add(self, line: Line) -> None:
        """Add a line, in one piece; raises FileError if the disk is full."""
        data = json.dumps(line._asdict()).encode("ascii") + b"\n"
        try:
            whole = self.file.write(data) == len(data)
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror}") from None
        if not whole:
            raise FileError(f"{self.path}: cannot be written: the disk is full")

    def has(self, result: str) -> bool:
        """Return whether an earlier run wrote that it made this result."""
        return hash(result) in self.known


@contextmanager
def opened(path: str) -> Iterator[Manifest]:
    """The Manifest at `path`, new or of an earlier run; what a kill left of a line is removed.

    Raises InputError if another file is there or the name is that of a photo or film, LockedError
    if another run has it open, FileError if it cannot be written.
    """
    if os.path.splitext(path)[1].lower() in (*EXTENSIONS, *FILMS):
        raise InputError(
            f"{path}: is the name of a photo or film, which might be a result: "
            "choose another manifest, such as coloured.jsonl"
        )
    check(path)
    if os.path.lexists(path):
        open_regular(path).close()  # a pipe is refused, and would make us wait below
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "a+b", buffering=0) as file:
        if locks.lock(file.fileno()) is None:
            raise locks.LockedError(
                f"{path}: another run writes this manifest: "
                "wait until it ends, or choose another manifest"
            )
        known, size = _read(file, path)
        if os.fstat(file.fileno()).st_size > size:
            file.truncate(size)
        yield Manifest(path, file, known)


def compared(path: str, share: Share, count: int, mark: str) -> str | None:
    """Return a warning if another share of this division had another list; None if not.

    The list, `count` photos and their `mark`, is noted beside the manifest `path` of all shares.
    """
    if share.is_whole:
        return None
    stem, _ = os.path.splitext(path)
    note = f"{stem}.all-of-{share.of}.json"
    now = {"photos": count, "list": mark}
    try:
        before = bounded_json.load(note)
    except (OSError, ValueError):
        before = now
    with replacing(note) as fresh, open(fresh, "w", encoding="ascii") as file:
        json.dump(now, file)
    if before == now or not isinstance(before, dict):
        return None
    return (
        f"warning: {note}: another share had another list of photos, {before.get('photos')} then, "
        f"{count} now: some are done twice or never: when all are done, start all {share.of} again "
        "with skip_existing"
    )


def _read(manifest: FileIO, path: str) -> tuple[frozenset[int], int]:
    """Return (hashes of the results that the lines name, bytes of whole lines)."""
    known, size = set(), 0
    manifest.seek(0)
    with open(manifest.fileno(), "rb", closefd=False) as file:
        for line in file:
            if not line.endswith(b"\n") and line[: len(_START)] == _START[: len(line)]:
                break  # of a run that was stopped by a full disk
            try:
                entry = bounded_json.loads(line)
                _, result, _, error = (entry[field] for field in FIELDS)
            except (ValueError, LookupError, TypeError, RecursionError):
                raise InputError(
                    f"{path}: is there, and no manifest: choose another manifest"
                ) from None
            size += len(line)
            if result is not None and error is None:
                known.add(hash(result))
    return frozenset(known), size
