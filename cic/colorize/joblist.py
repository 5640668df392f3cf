"""A list of files to colour, of any length, at a few bytes a file, and how they are related."""

import os
import stat
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import NamedTuple, TypeAlias, overload

import numpy as np

from cic.colorize.existing import Hashes
from cic.system import addresses
from cic.system.shares import Share, dealt, mark, size_of_file

Job: TypeAlias = tuple[str, str]  # source, target


class JobHashes(NamedTuple):
    """Hashes and sizes of jobs, by their numbers: eight bytes each."""

    sources: "array[int]"  # hashes of the sources' real paths
    targets: "array[int]"  # hashes of the targets
    sizes: "array[int]"  # bytes of the sources


class _Listed(Sequence[Job]):
    """A sequence by its `at`: it has slices, and equals a list of the same."""

    @overload
    def __getitem__(self, i: int) -> Job: ...
    @overload
    def __getitem__(self, i: slice) -> list[Job]: ...
    def __getitem__(self, i: int | slice) -> Job | list[Job]:
        if isinstance(i, slice):
            return [self.at(n) for n in range(*i.indices(len(self)))]
        return self.at(i)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    @abstractmethod
    def at(self, i: int) -> Job:
        """Return the job of a number; raise IndexError."""


class Jobs(_Listed):
    """(source, target) of photos and films, by number; targets are made when asked for.

    `target(name, source)` is the target of the file `source`, called `name` in its folder.
    """

    def __init__(self, target: Callable[[str, str], str]) -> None:
        self.target = target
        self.folders: list[str] = []
        self.folder, self.end, self.names = array("i"), array("q"), bytearray()
        self.seen = JobHashes(array("q"), array("q"), array("q"))

    def add(self, folder: str, name: str, found: "FoundFile") -> None:
        """Add the file `name` of a folder, a FoundFile."""
        if not self.folders or self.folders[-1] != folder:
            self.folders.append(folder)
        self.folder.append(len(self.folders) - 1)
        self.names += os.fsencode(name)
        self.end.append(len(self.names))
        self.seen.sources.append(hash(found.real))
        self.seen.targets.append(hash(self.target(name, found.path)))
        self.seen.sizes.append(found.size)

    def __len__(self) -> int:
        return len(self.end)

    def at(self, i: int) -> Job:
        if not -len(self) <= i < len(self):
            raise IndexError(f"job {i} of {len(self)}")
        i %= len(self)
        name = os.fsdecode(bytes(self.names[self.end[i - 1] if i else 0 : self.end[i]]))
        source = os.path.join(self.folders[self.folder[i]], name)
        return source, self.target(name, source)


class Done(_Listed):
    """(source, target) of the pictures that were made of jobs; the photos of `there` had theirs."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs, self.numbers, self.untouched = jobs, array("q"), 0
        self.parts: dict[int, str] = {}  # targets that are not the job's own, as of pages

    def add(self, number: int, targets: Iterable[str]) -> None:
        """Add the pictures `targets` of job `number`."""
        for target in targets:
            if target != self.jobs[number][1]:
                self.parts[len(self)] = target
            self.numbers.append(number)

    def __len__(self) -> int:
        return len(self.numbers)

    def at(self, i: int) -> Job:
        source, target = self.jobs[self.numbers[i]]
        return source, self.parts.get(i % len(self), target)


class FoundFile(NamedTuple):
    """A file: its path, its real path, and its size in bytes, 0 if it cannot be looked at."""

    path: str
    real: str
    size: int


class Places:
    """Look at files, and at each folder once as long as its files come together."""

    def __init__(self) -> None:
        self.folder, self.real = "", os.path.join(os.path.realpath(""), "")

    def find(self, path: str) -> FoundFile:
        """Look at a file; its real path is that of `addresses.real`."""
        if addresses.is_address(path):
            return FoundFile(path, addresses.real(path), 0)
        size, is_link = 0, False
        with suppress(OSError):
            state = os.lstat(path)
            size, is_link = state.st_size, stat.S_ISLNK(state.st_mode)
        if is_link:
            return FoundFile(path, os.path.realpath(path), size_of_file(path))
        cut = path.rfind(os.sep) + 1
        if path[:cut] != self.folder:
            self.folder = path[:cut]
            self.real = os.path.join(os.path.realpath(self.folder), "")
        return FoundFile(path, self.real + path[cut:], size)


def seen(jobs: Iterable[Job]) -> JobHashes:
    """Return the JobHashes of any jobs."""
    places, known = Places(), JobHashes(array("q"), array("q"), array("q"))
    for source, target in jobs:
        found = places.find(source)
        known.sources.append(hash(found.real))
        known.targets.append(hash(target))
        known.sizes.append(found.size)
    return known


class Relations:
    """Relations of jobs: whose target is a source, and which share a target.

    Eight bytes a path: paths are known by hashes, and looked at only where these are equal.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.jobs = jobs
        known = jobs.seen if isinstance(jobs, Jobs) else seen(jobs)
        self.known, self.sizes, targets = known, known.sizes, known.targets
        self._sources, self._targets = Hashes(known.sources), Hashes(targets)
        doubtful = {one for one, other in pairwise(self._targets.sorted) if one == other}
        first: dict[str, int] = {}
        self.first = {  # job: the first job that shares its target
            i: first.setdefault(jobs[i][1], i)
            for i, target in enumerate(targets)
            if doubtful and target in doubtful
        }
        self.shared = first.keys()

    def is_source(self, real: str) -> bool:
        """Return whether the real path of a file is that of a source."""
        return real in self._sources and any(
            addresses.real(source) == real for source, _ in self.jobs
        )

    def is_target(self, path: str) -> bool:
        """Return whether a path is the target of a job."""
        return path in self._targets and any(path == target for _, target in self.jobs)

    def related(self, names: Callable[[str], Iterable[str]]) -> set[int]:
        """Return the numbers of the jobs that write what another reads or writes, and of these
        others.

        `names(target)` are the files that a job of that target writes.
        """
        places, found = Places(), set(self.first)
        sources: set[int] = set()
        targets: set[int] = set()
        for i, (_, target) in enumerate(self.jobs):
            for name in names(target):
                place = places.find(name).real
                reads, writes = place in self._sources, name != target and name in self._targets
                found |= {i} if reads or writes else set()
                sources |= {hash(place)} if reads else set()
                targets |= {hash(name)} if writes else set()
        found |= {i for i, one in enumerate(self.known.sources) if one in sources}
        return found | {i for i, one in enumerate(self.known.targets) if one in targets}

    @property
    def mark(self) -> str:
        """Return what tells this list from another, wherever it lies: names, order, sizes."""
        jobs = self.jobs
        if isinstance(jobs, Jobs):
            return mark([jobs.names, jobs.end, self.sizes])
        return mark([b"\0".join(os.fsencode(target) for _, target in jobs), self.sizes])

    def of_share(self, share: Share) -> Sequence[int]:
        """Return the numbers of the jobs of a share, balanced by size; those of one target stay
        together.
        """
        if share.is_whole:
            return range(len(self.jobs))
        sizes = np.array(self.sizes)
        for i, first in self.first.items():
            if i != first:
                sizes[first] += sizes[i]
                sizes[i] = 0
        shares = dealt(sizes, share.of)
        for i, first in self.first.items():
            shares[i] = shares[first]
        return array("q", np.flatnonzero(shares == share.number).tolist())
