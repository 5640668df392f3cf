"""Deal a long list out to several processes, on any machines, without communication.

Each process computes the same division from the list and the sizes of its items, so no item is
handed out twice or forgotten.
"""

import hashlib
import os
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cic.system import launchers
from cic.system.errors import SettingError
from cic.system.progress import Callback, tell
from cic.system.typing import StrPath

Thing = TypeVar("Thing")
_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


class Share(NamedTuple):
    """One of `of` equal shares; `number` counts them from 0."""

    number: int = 0
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def is_whole(self) -> bool:
        """Whether it is all there is."""
        return self.of == 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that tells what concerns all."""
        return self.number == 0

    def own(self, path: str) -> str:
        """Return the path of this share's own file: out.jsonl of share 0/2 is out.0-of-2.jsonl."""
        stem, ending = os.path.splitext(path)
        return path if self.is_whole else f"{stem}.{self.number}-of-{self.of}{ending}"

    def of_sizes(self, sizes: ArrayLike) -> NDArray[np.int64]:
        """Return the indices of this share, ascending, of things of these sizes: see `dealt`."""
        return np.flatnonzero(dealt(sizes, self.of) == self.number)

    def of_list(self, things: Sequence[Thing], size: Callable[[Thing], int]) -> Sequence[int]:
        """Return the same of a list, by `size(thing)`, which is not asked if the share is all."""
        if self.is_whole:
            return range(len(things))
        sizes = np.fromiter(map(size, things), np.int64, len(things))
        return array("q", self.of_sizes(sizes).tobytes())


WHOLE = Share()


def dealt(sizes: ArrayLike, count: int) -> NDArray[np.int64]:
    """Return the number of the share, 0 to `count` - 1, that each of some things goes to, by its
    size.

    They are dealt from the largest to the smallest, to and fro: 0, 1, 2, 2, 1, 0, 0 ... So shares
    differ by one in number, and in size by no more than the largest thing.
    """
    sizes = np.asarray(sizes, np.int64)
    row, column = np.divmod(np.arange(len(sizes)), count)
    shares = np.empty(len(sizes), np.int64)
    shares[np.argsort(-sizes, kind="stable")] = np.where(row % 2, count - 1 - column, column)
    return shares


def read(text: str) -> Share:
    """Return the Share that "R/N" says; raise SettingError for any other text."""
    found = _FORM.fullmatch(text)
    number, of = map(int, found.groups()) if found else (0, 0)
    if number >= of:
        raise SettingError(f"{text!r} is no share: write R/N with R from 0 to N - 1, such as 0/4")
    return Share(number, of)


def resolve(flag: Share | None, progress: Callback | None = None) -> Share:
    """Return the Share to work on: the launcher's, or the flag's; all there is without either.

    A line names one of several shares. Raises SettingError if both are there and differ.
    """
    launch = launchers.found()
    if flag and launch and flag != (launch.rank, launch.size):
        raise SettingError(
            f"share {flag}: {launch.name} started process {launch.rank} of {launch.size}: "
            "leave it out"
        )
    if launch and not flag:
        tell(f"share {launch.rank} of {launch.size} ({launch.name})", progress)
        return Share(launch.rank, launch.size)
    if flag and not flag.is_whole:
        tell(f"share {flag.number} of {flag.of}", progress)
    return flag or WHOLE


def mark(parts: Iterable[bytes | bytearray | ArrayLike]) -> str:
    """Return 8 hexadecimal digits of what tells one list from another: names, sizes."""
    digest = hashlib.blake2b(digest_size=4)
    for part in parts:
        digest.update(part if isinstance(part, bytes | bytearray) else np.asarray(part, "<i8"))
    return digest.hexdigest()


def introduced(share: Share, own: int, count: int, marked: str) -> str:
    """Return a line on how much of which list a share has, by the list's `mark`."""
    return (
        f"share {share}: {own:,} of {count:,} photos, list {marked}: where another share names "
        "another list, photos are left out"
    )


def size_of_file(path: StrPath) -> int:
    """Return the size of a file in bytes; 0 of one that cannot be looked at."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
