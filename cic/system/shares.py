"""A long list dealt out to several processes, on any machines, without a word between them.

Whoever has the same list and the sizes of what is in it deals alike: nothing is handed out twice,
nothing is forgotten.
"""

import os
import re
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cic.system.errors import SettingError
from cic.system.progress import Callback, tell
from cic.system.typing import StrPath

Thing = TypeVar("Thing")
_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
# Who starts several processes, and the variables with each one's number and their count. What runs
# inside of another comes first: `mpirun` in a job of Slurm, `torchrun` in either.
LAUNCHERS = (
    ("torchrun", "RANK", "WORLD_SIZE"),
    ("paddle.distributed.launch", "PADDLE_TRAINER_ID", "PADDLE_TRAINERS_NUM"),
    ("Open MPI", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI", "PMI_RANK", "PMI_SIZE"),
    ("Slurm", "SLURM_PROCID", "SLURM_NTASKS"),
)
# The variables with the number of a process among those on its machine.
_PLACES = (
    *("LOCAL_RANK", "PADDLE_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID"),
    "SLURM_LOCALID",
)
# In a batch script Slurm sets the variables of its first task; `srun` alone sets one of these.
_STEP = ("SLURM_STEP_ID", "SLURM_STEPID")


class Share(NamedTuple):
    """Share `number`, from 0 on, of so many."""

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
        """The path of this share's own file: out.jsonl of share 0/2 is out.0-of-2.jsonl."""
        stem, ending = os.path.splitext(path)
        return path if self.is_whole else f"{stem}.{self.number}-of-{self.of}{ending}"

    def of_sizes(self, sizes: ArrayLike) -> NDArray[np.int64]:
        """Indices of this share, ascending, of things of these sizes: see `dealt`."""
        return np.flatnonzero(dealt(sizes, self.of) == self.number)

    def of_list(self, things: Sequence[Thing], size: Callable[[Thing], int]) -> Sequence[int]:
        """The same of a list, by `size(thing)`, which is not asked if the share is all."""
        if self.is_whole:
            return range(len(things))
        sizes = np.fromiter(map(size, things), np.int64, len(things))
        return array("q", self.of_sizes(sizes).tobytes())


WHOLE = Share()


def dealt(sizes: ArrayLike, count: int) -> NDArray[np.int64]:
    """The number of the share, 0 to `count` - 1, that each of some things goes to, by its size.

    They are dealt from the largest to the smallest, to and fro: 0, 1, 2, 2, 1, 0, 0 ... So shares
    differ by one in number, and in size by no more than the largest thing.
    """
    sizes = np.asarray(sizes, np.int64)
    row, column = np.divmod(np.arange(len(sizes)), count)
    shares = np.empty(len(sizes), np.int64)
    shares[np.argsort(-sizes, kind="stable")] = np.where(row % 2, count - 1 - column, column)
    return shares


def read(text: str) -> Share:
    """The Share that "R/N" says; raises SettingError for any other text."""
    found = _FORM.fullmatch(text)
    number, of = map(int, found.groups()) if found else (0, 0)
    if number >= of:
        raise SettingError(f"{text!r} is no share: write R/N with R from 0 to N - 1, such as 0/4")
    return Share(number, of)


def launched() -> tuple[Share, str] | None:
    """(Share, where it was found) of a process that a launcher started; None of any other.

    Raises SettingError for variables of a launcher that are no share.
    """
    for name, *keys in LAUNCHERS:
        texts = [os.environ.get(key, "") for key in keys]
        if not all(texts):
            continue
        try:
            share = read("/".join(texts))
        except SettingError:
            said = ", ".join(f"{key}={text}" for key, text in zip(keys, texts))
            raise SettingError(
                f"{said}: no share of {name}: unset them, or start it anew"
            ) from None
        return share, f"{name}: {', '.join(keys)}"
    return None


def place() -> int:
    """Number of this process, from 0, among those of its launch on this machine."""
    found = (os.environ.get(key, "") for key in _PLACES)
    return next((int(text) for text in found if text.isdecimal()), 0)


def chosen(flag: Share | None, progress: Callback | None = None) -> Share:
    """The Share to work on: the launcher's, or the flag's; all there is without either.

    One of several is said in one line. Raises SettingError if both are there and differ.
    """
    found = launched()
    if flag and found and flag.of != found[0].of:
        raise SettingError(
            f"--share {flag}: there are {found[0].of} shares here ({found[1]}): leave --share out"
        )
    share, where = (flag, "--share") if flag else found or (WHOLE, "")
    if not share.is_whole:
        tell(f"share {share.number} of {share.of} ({where})", progress)
        if where.startswith("Slurm") and not any(key in os.environ for key in _STEP):
            tell(
                "note: no step of srun: start it with srun, or the other shares never run", progress
            )
    return share


def size_of_file(path: StrPath) -> int:
    """Bytes of a file; 0 of one that cannot be looked at."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
