"""Find photos in folders, at any depth, and in tar shards."""

import os
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, NoReturn, TypeAlias

from cic.photos import kinds, shards, stored
from cic.photos.endings import EXTENSIONS, FILMS, SHARD
from cic.photos.images import PhotoError
from cic.system.addresses import is_address, refuse, trimmed
from cic.system.shares import size_of_file
from cic.system.typing import Source, StrPath


class File(NamedTuple):
    """A photo in a folder; it serves as a path."""

    folder: str
    name: str

    def __fspath__(self) -> str:
        return os.path.join(self.folder, self.name)

    def __str__(self) -> str:
        return self.__fspath__()


PhotoFile: TypeAlias = File | shards.Member | stored.Stored


def _raise(error: Exception) -> NoReturn:
    raise error


def is_photo(name: str) -> bool:
    """Return whether a file is a photo by its name: a known extension; neither it nor a folder
    hidden.
    """
    hidden = any(part.strip(".") and part[0] == "." for part in name.split("/"))
    return os.path.splitext(name)[1].lower() in EXTENSIONS and not hidden


def is_film(path: str) -> bool:
    """Return whether a file is a film, by its extension or, if that is not known, by its
    content.
    """
    ending = os.path.splitext(path)[1].lower()
    if ending in FILMS or ending in (*EXTENSIONS, SHARD) or kinds.is_beside(ending):
        return ending in FILMS
    return kinds.starts_film(kinds.start_of(path))


def walk(
    folder: StrPath,
    extensions: Collection[str] = EXTENSIONS,
    onerror: Callable[[PhotoError], object] = _raise,
    left_out: kinds.LeftOut | None = None,
) -> Iterator[str]:
    """Yield the photos below `folder`, relative to it, in the order of their bytes.

    Those are the files of these extensions, and of others those that begin as a photo does, or as a
    film, if `extensions` has those of films. Any
    depth, none hidden; links to folders are followed, each folder once. It holds no more names
    than a folder and those above it have. `onerror` is given the PhotoError of a folder that cannot
    be read; raises it, by default, and in any case if there is no `folder`. `left_out`, a
    kinds.LeftOut, counts the photos of kinds that are not read here.
    """
    folder = os.fspath(folder)
    refuse(folder)
    if not os.path.isdir(folder):
        there = os.path.lexists(folder)
        reason = "neither a folder nor a tar shard" if there else "there is no such folder"
        raise PhotoError(f"{folder}: {reason}")
    seen: set[str] = set()
    waiting = [""]  # names of folders end in a separator; the last one comes next
    while waiting:
        name = waiting.pop()
        if name and not name.endswith(os.sep):
            yield name
            continue
        path = os.path.join(folder, name)
        real = os.path.realpath(path)
        if real in seen:
            continue
        seen.add(real)
        try:
            inside = [name + entry for entry in _entries(path, extensions, left_out)]
        except OSError as error:
            onerror(PhotoError(f"{path!r}: {error.strerror or error}"))
            continue
        waiting += sorted(inside, key=os.fsencode, reverse=True)


def _entries(
    path: str, extensions: Collection[str], left_out: kinds.LeftOut | None
) -> Iterator[str]:
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            ending = os.path.splitext(entry.name)[1].lower()
            if _is_folder(entry):
                yield entry.name + os.sep
            elif ending in extensions:
                yield entry.name
            elif ending not in (*EXTENSIONS, *FILMS, SHARD):
                taken, kind = kinds.judged(entry.path, ending)
                if taken or (FILMS[0] in extensions and is_film(entry.path)):
                    yield entry.name
                elif kind and left_out is not None:
                    left_out[kind] += 1


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle
        return False


def find(
    folder: StrPath,
    most: int | None = None,
    onerror: Callable[[PhotoError], object] = _raise,
    left_out: kinds.LeftOut | None = None,
) -> list[str]:
    """Return the first `most` photos below `folder` as a list, by default all: see `walk`."""
    return list(islice(walk(folder, EXTENSIONS, onerror, left_out), most))


def photos(
    places: Iterable[StrPath],
    onerror: Callable[[PhotoError], object] = _raise,
    left_out: kinds.LeftOut | None = None,
) -> Iterator[PhotoFile]:
    """Yield the photos of folders, of the shards in them, of shards and of addresses.

    They are File, shards.Member or stored.Stored. `onerror` is given the PhotoError of a folder or
    shard that cannot be read, or not to its end, and of a shard at an address; `left_out` is as for
    `walk`.
    """
    for place in map(os.fspath, places):  # type: ignore[arg-type]
        if is_address(place):
            yield from stored.folder(trimmed(place), (*EXTENSIONS, SHARD), onerror, left_out)
            continue
        if os.path.isfile(place):
            yield from _members(place, onerror)
            continue
        for name in walk(place, (*EXTENSIONS, SHARD), onerror, left_out):
            if name.lower().endswith(SHARD):
                yield from _members(os.path.join(place, name), onerror)
            else:
                yield File(place, name)


def _members(shard: str, onerror: Callable[[PhotoError], object]) -> Iterator[shards.Member]:
    try:
        found, problem = shards.members(shard)
    except PhotoError as error:
        onerror(error)
        return
    if problem:
        onerror(PhotoError(problem))
    yield from (member for member in found if is_photo(member.name))


def held(photo: PhotoFile) -> Source:
    """Return the photo or, for one in a store, what asks for it once, however often it is read."""
    return stored.Once(photo) if isinstance(photo, stored.Stored) else photo


def size(photo: PhotoFile) -> int:
    """Return the size of a photo in bytes; 0 of a file that cannot be looked at."""
    return size_of_file(photo) if isinstance(photo, File) else photo.size


def report_name(photo: PhotoFile, places: Iterable[str]) -> str:
    """Name that reports have for a photo of `places`: relative to them, a member's in its shard."""
    if not isinstance(photo, shards.Member):
        return photo.name
    for place in places:
        if photo.shard.startswith(os.path.join(place, "")):
            return os.path.join(os.path.relpath(photo.shard, place), photo.name)
    return os.path.join(os.path.basename(photo.shard), photo.name)


class PhotoList(Sequence[PhotoFile]):
    """The photos of `places` by number, a few bytes each: a million travel to every worker.

    `wanted`, a function of the photo, selects photos; by default all are taken. `problems` has a
    message for each folder or shard that could not be read to its end. `left_out` has a line for
    each kind of photos that is not read here, and `kinds` counts them; `searched` are the places.
    `groups` are the numbers of photos of each place: those of a place come one after the other, and
    a place that is named twice is there twice.
    """

    def __init__(
        self, places: Iterable[StrPath], wanted: Callable[[PhotoFile], object] | None = None
    ) -> None:
        self.searched = [os.fspath(place) for place in places]
        problems: list[PhotoError] = []
        names: list[bytes] = []
        numbers: dict[tuple[type[PhotoFile], str], int] = {}
        left_out = kinds.LeftOut()
        photo: PhotoFile
        self.place, self.end, self.offset, self.size = (array("q") for _ in range(4))
        self.groups: list[int] = []
        end = 0
        for place in self.searched:
            before = len(names)
            for photo in filter(wanted, photos([place], problems.append, left_out)):  # type: ignore[assignment]
                self.place.append(numbers.setdefault((type(photo), photo[0]), len(numbers)))
                names.append(os.fsencode(photo.name))
                end += len(names[-1])
                self.end.append(end)
                offset, size = photo[2:] or (0, 0)
                self.offset.append(offset)
                self.size.append(size)
            self.groups.append(len(names) - before)
        self.places, self.names = list(numbers), b"".join(names)
        self.problems, self.kinds = list(map(str, problems)), left_out
        self.left_out = left_out.lines()

    def __len__(self) -> int:
        return len(self.end)

    def __getitem__(self, i: int) -> PhotoFile:  # type: ignore[override]
        if not 0 <= i < len(self):
            raise IndexError(f"photo {i} of {len(self)}")
        start = self.end[i - 1] if i else 0
        name = os.fsdecode(self.names[start : self.end[i]])
        kind, place = self.places[self.place[i]]
        if kind is File:
            return File(place, name)
        record = stored.Stored if kind is stored.Stored else shards.Member
        return record(place, name, self.offset[i], self.size[i])
