"""List photos at addresses as those of a folder, but recognise them by their endings alone."""

import io
import os
from collections.abc import Callable, Collection, Iterator
from typing import BinaryIO, NamedTuple

from cic.photos import kinds
from cic.photos.damage import PhotoError
from cic.photos.endings import FILMS, SHARD
from cic.system import storage

FILM = "a film is read and written on this machine alone: copy it here first"
_SHARD = "a tar shard is read on this machine alone: copy it here first"


class Stored(NamedTuple):
    """A photo below an address: `size` bytes, last `changed` at a time, in ns, when listed."""

    place: str
    name: str
    changed: int
    size: int

    def __str__(self) -> str:
        return os.path.join(self.place, self.name)

    @property
    def listed(self) -> tuple[int, int]:
        """Return what changes whenever the photo does: see `contents.state`."""
        return self.size, self.changed

    def open(self) -> BinaryIO:
        """Return the bytes as a file; raise PhotoError if they are not as many as were listed."""
        data = storage.beginning(str(self), self.size + 1)
        if len(data) != self.size:
            raise PhotoError(f"{str(self)!r}: it has changed since it was listed: run again")
        return io.BytesIO(data)


class Once:
    """A photo that is read once, however often it is opened."""

    def __init__(self, photo: Stored) -> None:
        self.photo, self.name, self.size = photo, photo.name, photo.size
        self.data: bytes | None = None

    def __str__(self) -> str:
        return str(self.photo)

    def open(self) -> BinaryIO:
        """Return what the photo's own `open` gives."""
        if self.data is None:
            self.data = self.photo.open().read()
        return io.BytesIO(self.data)


def walk(
    address: str,
    extensions: Collection[str],
    onerror: Callable[[PhotoError], object],
    left_out: kinds.LeftOut | None = None,
) -> Iterator[Stored]:
    """Yield the photos below an address, in the order of the bytes of their names.

    None that is hidden, or in what is. `onerror` is given the PhotoError of a film or a shard of
    these `extensions`, and of a name that no folder can have; `left_out` counts the photos of kinds
    that are not read here. Raises AddressError if it cannot be listed.
    """
    for name, size, changed in storage.files(address):
        ending = os.path.splitext(name)[1].lower()
        if name.startswith(".") or "/." in name:
            continue
        taken, kind = kinds.judged_by_ending(ending)
        if kind and left_out is not None:
            left_out[kind] += 1
        if not taken and ending not in extensions:
            continue
        if problem := _problem(name, ending):
            onerror(PhotoError(f"{os.path.join(address, name)!r}: {problem}"))
        else:
            yield Stored(address, name, changed, size)


def folder(
    address: str,
    extensions: Collection[str],
    onerror: Callable[[PhotoError], object],
    left_out: kinds.LeftOut | None = None,
) -> Iterator[Stored]:
    """Do as `walk` at the address of a folder; raise PhotoError if a file is there."""
    if storage.size(address) is not None:
        raise PhotoError(f"{address}: not a folder: name the one that it lies in")
    yield from walk(address, extensions, onerror, left_out)


def _problem(name: str, ending: str) -> str | None:
    """Return why a file of a known ending is left out; None if it is not."""
    if "//" in name or name.startswith("/") or "\0" in name:
        return "left out: no folder can have a file of that name"
    if ending == SHARD:
        return _SHARD
    return FILM if ending in FILMS else None
