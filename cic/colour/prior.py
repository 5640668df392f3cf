"""The prior: how often each ab bin occurs in photos, and the file that keeps it."""

import re
from functools import cache
from importlib import resources
from typing import BinaryIO, SupportsInt

import numpy as np
from numpy.typing import ArrayLike

from cic.colour import rebalance
from cic.colour.bins import COUNT
from cic.colour.grid import EVERY_FOURTH
from cic.photos import images
from cic.system.arrays import Array, Doubles, Floats
from cic.system.errors import InputError
from cic.system.files import replacing
from cic.system.regular import open_regular
from cic.system.typing import Source, StrPath

LONGEST = 1000  # bytes of an array's header; NumPy writes 118
_SHAPE = re.compile(rb"'shape':\s*\(\s*(%d,)?\s*\)" % COUNT)
_KIND = re.compile(rb"'descr':\s*'([<>|=]?[fiu][1248])'")


class Prior:
    """Counts of bins over photos; mergeable.

    `pixels` (313,) int64 counts those nearest to each bin, `photos` the photos that they come from.

    >>> prior = Prior()
    >>> prior.update([[30.0, 40.0], [0.0, 0.0]])
    >>> prior.photos, int(prior.pixels.sum()), prior.compute().shape
    (1, 2, (313,))
    """

    def __init__(self, pixels: ArrayLike | None = None, photos: SupportsInt = 0) -> None:
        self.pixels = np.zeros(COUNT, np.int64) if pixels is None else np.asarray(pixels)
        self.photos = int(photos)

    def update(self, ab: Array) -> None:
        """Add a photo: (..., 2) ab, CIELAB units."""
        self.pixels = self.pixels + rebalance.count(ab)
        self.photos += 1

    def merge(self, other: "Prior") -> None:
        """Add what `other` has seen."""
        self.pixels = self.pixels + other.pixels
        self.photos += other.photos

    def compute(self) -> Doubles:
        """Return the prior, (313,) float64 summing to 1: the counts, smoothed by the soft
        encoding.
        """
        return rebalance.smooth(self.pixels)

    def save(self, path: StrPath) -> None:
        """Write the prior, `pixels` and `photos`, three arrays of one .npy file.

        np.load reads the first.
        """
        with replacing(path) as fresh, open(fresh, "wb") as file:
            for array in (self.compute(), self.pixels, self.photos):
                np.save(file, array)

    @classmethod
    def load(cls, path: StrPath) -> "Prior":
        """Return what `save` wrote; raise ValueError, naming the file, for anything else."""
        with open_regular(path) as file:
            try:
                _, pixels, photos = (_array(file) for _ in range(3))
                counts = cls(pixels, photos)
                counts.compute()
            except (ValueError, TypeError, OverflowError) as error:
                raise InputError(f"{path}: no counts of a prior to add to: {error}") from None
        return counts


def photo_ab(source: Source, load_size: int = 256) -> Floats:
    """Return ab of a photo as training targets see it, (h, w, 2): every 4th pixel at that short
    side.

    Raises PhotoError.
    """
    photo = images.shrink(images.open_rgb(source, short=load_size), load_size)
    return EVERY_FOURTH.ab(np.asarray(photo))


def divergence(prior: Array, other: Array) -> float:
    """Return the Kullback-Leibler divergence of a prior (313,) from another, nats: 0 if they are
    equal.
    """
    seen = prior > 0
    return float((prior[seen] * np.log(prior[seen] / other[seen])).sum())


def read(path: StrPath) -> Array:
    """Return the prior (313,) from a .npy file; raise ValueError, naming the file, for anything
    else.

    OSError if it cannot be opened, as no regular file can be.
    """
    with open_regular(path) as file:
        try:
            prior = _array(file)
            rebalance.weights(prior)
        except ValueError as error:
            raise InputError(f"{path}: not a prior: {error}") from None
    return prior


def _array(file: BinaryIO) -> Array:
    """Return the next array of .npy where `file` stands, of a few numbers; raise ValueError if
    there is none (numpy/lib/format.py says what a header is).

    NumPy itself would parse the header as Python, and take the memory that it asks for.
    """
    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise ValueError("no array of NumPy")
    length = int.from_bytes(file.read(2 if start[6] == 1 else 4), "little")
    header = file.read(min(length, LONGEST))
    shape, kind = _SHAPE.search(header), _KIND.search(header)
    if length > LONGEST or not shape or not kind:
        raise ValueError(f"not {COUNT} numbers")
    dtype, counts = np.dtype(kind[1].decode()), (COUNT,) if shape[1] else ()
    data = file.read(dtype.itemsize * (counts or (1,))[0])
    return np.frombuffer(data, dtype).reshape(counts).copy()


@cache
def default() -> Array:
    """Return the bundled prior of natural photographs, (313,); cic/data/README.md says whence."""
    with resources.as_file(resources.files("cic") / "data" / "prior.npy") as path:
        prior = read(path)
    prior.setflags(write=False)
    return prior
