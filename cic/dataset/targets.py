"""Compute what a photo teaches: the target of its crop, for each kind of network.

A target is a tuple of arrays of one photo, which are the losses' arguments; `empty` gives the
arrays of many.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from cic import networks
from cic.colour.distributions import soft_encode
from cic.colour.grid import Grid
from cic.colour.rebalance import is_gray
from cic.photos.images import PhotoError
from cic.photos.sources import PhotoFile, PhotoList
from cic.system.arrays import Array, Bytes
from cic.system.errors import InputError
from cic.system.regular import open_regular
from cic.system.typing import StrPath


class Target(Protocol):
    """Maker of targets: one photo's target, and the arrays of many."""

    def of(self, square: Bytes, i: int) -> tuple[Any, ...]:
        """Return the target of photo `i`, of its crop (C, C, 3): arrays, or a number where it is
        one.
        """

    def empty(self, count: int, side: int) -> tuple[Array, ...]:
        """Return the arrays for `count` crops of `side` pixels."""


class Bins:
    """Sparse soft targets over the 313 bins: of every stride-th pixel (4th, as the authors' are).

    `bin_weights` (313,) are the rebalancing weights, None for none. A gray photo has weight 0, as
    it has no colour to teach; with `keep_gray` it teaches what is gray. For `mean` see grid.Grid.
    """

    def __init__(
        self,
        stride: int,
        neighbors: int = 5,
        sigma: float = 5.0,
        bin_weights: Array | None = None,
        mean: bool = False,
        keep_gray: bool = False,
    ) -> None:
        self.grid, self.neighbors, self.sigma = Grid(stride, mean), neighbors, sigma
        self.bin_weights, self.keep_gray = bin_weights, keep_gray

    def of(self, square: Bytes, i: int) -> tuple[Array, Array]:
        """Return (index (K, c, c) int16, weight (K, c, c) float32) of a crop (C, C, 3) uint8."""
        ab = self.grid.ab(square)
        index, weight = soft_encode(ab, self.neighbors, self.sigma)
        if not self.keep_gray and is_gray(ab):
            weight[:] = 0
        elif self.bin_weights is not None:
            weight *= self.bin_weights[index[..., :1]]  # a pixel's weight is its nearest bin's
        return index.transpose(2, 0, 1), weight.transpose(2, 0, 1)

    def of_crops(self, crops: Bytes) -> tuple[Array, Array]:
        """Return (index (n, K, c, c), weight) of crops (n, C, C, 3) uint8."""
        index, weight = found = self.empty(len(crops), crops.shape[1])
        for n, square in enumerate(crops):
            index[n], weight[n] = self.of(square, n)
        return found

    def empty(self, count: int, side: int) -> tuple[Array, Array]:
        """Return (index, weight) for `count` crops of `side` pixels."""
        side //= self.grid.stride
        shape = count, self.neighbors, side, side
        return np.empty(shape, np.int16), np.empty(shape, np.float32)


class Crops:
    """The crops themselves: the trainer makes the targets of `bins` from them on its device.

    If it makes the inputs, too, a batch has the crops in place of its inputs (`with_inputs`); else
    they are its target.
    """

    def __init__(self, bins: Bins, with_inputs: bool = True) -> None:
        self.bins, self.with_inputs = bins, with_inputs

    def of(self, square: Bytes, i: int) -> tuple[Bytes, ...]:
        """Return (crop (C, C, 3) uint8,); nothing, if it stands in place of the input."""
        return () if self.with_inputs else (square,)

    def empty(self, count: int, side: int) -> tuple[Bytes, ...]:
        """Return the array for `count` crops of `side` pixels; nothing, as `of`."""
        return () if self.with_inputs else (np.empty((count, side, side, 3), np.uint8),)


class Colours:
    """The ab of every stride-th pixel, or `mean` of each cell, scaled as `network` gives them."""

    def __init__(self, network: networks.Network, mean: bool = False) -> None:
        self.network, self.grid = network, Grid(network.stride, mean)

    def of(self, square: Bytes, i: int) -> tuple[Array]:
        """Return (ab (2, c, c) float32,) of a crop (C, C, 3) uint8."""
        ab = self.grid.ab(square)
        return (self.network.scale_ab(ab).transpose(2, 0, 1),)

    def empty(self, count: int, side: int) -> tuple[Array]:
        """Return (ab,) for `count` crops of `side` pixels."""
        side //= self.grid.stride
        return (np.empty((count, 2, side, side), np.float32),)


class Classes:
    """The number of a photo's class folder among `names`."""

    def __init__(self, photos: PhotoList, names: Iterable[str]) -> None:
        self.photos, self.number = photos, {name: n for n, name in enumerate(names)}

    def of(self, square: Bytes, i: int) -> tuple[int]:
        """Return (label (),) of photo `i`, an int."""
        return (self.number[class_of(self.photos[i])],)

    def empty(self, count: int, side: int) -> tuple[Array]:
        """Return (label,) for `count` crops."""
        return (np.empty(count, np.int64),)


def in_classes(classes: Sequence[str]) -> Callable[[PhotoFile], bool]:
    """Return a function of a photo: whether it lies in one of these class folders."""
    known = frozenset(classes)
    return lambda photo: class_of(photo) in known


def class_of(photo: PhotoFile) -> str:
    """Name of the class folder that a photo lies in: the outermost of its place; "" if in none."""
    folder, separator, _ = photo.name.removeprefix("./").partition("/")
    return folder if separator else ""


def class_names(photos: Iterable[PhotoFile]) -> list[str]:
    """Return the names of the class folders of a PhotoList, sorted; raise PhotoError for a photo in
    none.
    """
    names = set()
    for photo in photos:
        if not (name := class_of(photo)):
            raise PhotoError(f"{str(photo)!r}: in no class folder: name the folder of the classes")
        names.add(name)
    return sorted(names, key=os.fsencode)


def read_classes(path: StrPath) -> list[str]:
    """Return the names of class folders, one a line, from a file; raise ValueError if one comes
    twice.
    """
    with open_regular(path) as file:
        try:
            names = file.read().decode().replace("\r", "\n").split("\n")
        except UnicodeDecodeError:
            raise InputError(f"{path}: not text in UTF-8") from None
    names = [name.strip() for name in names if name.strip()]
    if len(set(names)) != len(names):
        raise InputError(f"{path}: a name comes twice")
    return names


def target_of(
    network: networks.Network,
    photos: PhotoList,
    neighbors: int,
    sigma: float,
    bin_weights: Array | None,
    classes: Sequence[str] | None,
    mean: bool = False,
    keep_gray: bool = False,
) -> Target:
    """Return the Target of the photos of a PhotoList for `network`."""
    if network.predicts == networks.CLASSES:
        return Classes(photos, classes)  # type: ignore[arg-type]
    if network.predicts == networks.AB:
        return Colours(network, mean)
    return Bins(network.stride, neighbors, sigma, bin_weights, mean, keep_gray)
