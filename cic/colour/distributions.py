"""Convert ab values to distributions over the 313 bins and back (paper, sections 2.2 and 2.3)."""

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from cic.colour.bins import AB, COUNT
from cic.system.arrays import Array, Doubles, Floats, Integers
from cic.system.errors import SettingError

LIMIT = 128.0  # ab that can be encoded lie in [-LIMIT, LIMIT]; sRGB needs [-108, 99]
FINE = 2.5  # lookup cell, CIELAB units: no cell has more than 12 candidates for 5 neighbours
TABLE_NEIGHBORS = 16  # up to here the lookup pays; beyond it every bin is a candidate
BIN_MASK = 2**9 - 1  # the 9 bits that hold any of the 313 bins
BLOCK = 1 << 14  # distances computed at once: they stay in the processor's cache
TEMPERATURE = 0.38  # of the annealed mean (paper, section 2.3): between the mode and the mean
MODE_BELOW = 1e-6  # temperatures at which float32 softmax is the mode already

_A, _B = AB.T.astype(np.float64)


@cache
def candidates_of(neighbors: int) -> tuple[float, int, Integers]:
    """Return the cell size, cells a side and, per cell, every bin that may be among the nearest,
    (cells, M).

    A bin further from the cell's centre than the K-th nearest bin plus the cell's diagonal is
    nearest to no point of the cell. Rows are padded with bins that lie too far to matter.
    """
    step = FINE if neighbors <= TABLE_NEIGHBORS else 2 * LIMIT
    side = int(np.ceil(2 * LIMIT / step)) + 1
    middle = (np.arange(side) + 0.5) * step - LIMIT
    along_a, along_b = (np.square(middle[:, None] - bins) for bins in (_A, _B))

    def distances() -> Iterator[Doubles]:
        """Of a row of cells at a time, (side, 313), which stay in the processor's cache."""
        return (np.sqrt(row + along_b) for row in along_a)

    most = 0
    for distance in distances():
        furthest = np.partition(distance, neighbors - 1, axis=1)[:, neighbors - 1, None]
        near = distance <= furthest + step * np.sqrt(2) + 1e-3
        most = max(most, int(near.sum(1).max()))
    rows = [np.argpartition(distance, most - 1, axis=1)[:, :most] for distance in distances()]
    return step, side, np.concatenate(rows).astype(np.int16)


def _nearest(ab: Doubles, neighbors: int) -> tuple[Integers, Doubles]:
    """Return the nearest bins of (N, 2) ab and their squared distances, (N, K) each, nearest
    first.
    """
    step, side, table = candidates_of(neighbors)
    cell = ((ab + LIMIT) * (1 / step)).astype(np.int32)
    candidates = table.take(cell[:, 0] * side + cell[:, 1], axis=0).astype(np.int64)
    distance = np.square(ab[:, :1] - _A.take(candidates))
    distance += np.square(ab[:, 1:] - _B.take(candidates))
    # The bits of non-negative floats sort as integers: the last 9 of a distance's make room for its
    # bin, so that equal distances fall to the lower one. 43 bits of the fraction remain.
    key = distance.view(np.int64)
    key &= ~BIN_MASK
    key |= candidates
    key.sort(axis=1)
    key = key[:, :neighbors]
    return key & BIN_MASK, (key & ~BIN_MASK).view(np.float64)


def soft_encode(
    ab: ArrayLike, neighbors: int = 5, sigma: float = 5.0
) -> tuple[NDArray[np.int16], Floats]:
    """Soft-encode (..., 2) ab in [-128, 127], CIELAB units, over the nearest of the 313 bins.

    Returns index (..., K) int16, nearest bin first, equal distances by bin, and
    weight (..., K) float32 summing to 1: exp(-d^2 / 2 sigma^2), normalised (section 2.2: K = 5 and
    sigma = 5; the authors' released Caffe layer has K = 10).
    Raises ValueError for ab outside the range, K outside 1 to 313, or sigma below 0.001.

    >>> index, weight = soft_encode([[30.0, 42.0]])
    >>> AB[index[0]].astype(int).tolist()
    [[30, 40], [30, 50], [20, 40], [40, 40], [30, 30]]
    >>> print(weight.round(2))
    [[0.61 0.18 0.08 0.08 0.04]]
    """
    ab = np.asarray(ab)
    if not 1 <= neighbors <= COUNT:
        raise SettingError(f"neighbors is {neighbors}; it must lie in 1 to {COUNT}")
    if not sigma >= 1e-3:
        raise SettingError(f"sigma is {sigma}; it must be 0.001 or above")
    points = ab.astype(np.float64).reshape(-1, 2)  # float32 would reorder distances nearly equal
    if points.size and not (points.min() >= -LIMIT and points.max() <= LIMIT):
        raise ValueError(f"ab spans {ab.min()} to {ab.max()}; it must lie within +-{LIMIT:g}")
    index = np.empty((len(points), neighbors), np.int16)
    weight = np.empty((len(points), neighbors), np.float32)
    rows = max(1, 16 * BLOCK // candidates_of(neighbors)[2].shape[1])
    for start in range(0, len(points), rows):
        part = slice(start, start + rows)
        index[part], distance = _nearest(points[part], neighbors)
        distance -= distance[:, :1].copy()  # the nearest weighs 1, so that none underflows to 0/0
        weight[part] = np.exp(distance.astype(np.float32) * np.float32(-0.5 / sigma**2))
    weight /= (weight @ np.ones(neighbors, np.float32))[:, None]
    shape = (*ab.shape[:-1], neighbors)
    return index.reshape(shape), weight.reshape(shape)


def decode(logits: ArrayLike, temperature: float = TEMPERATURE, axis: int = 1) -> Floats:
    """Annealed mean of logits over 313 bins on `axis` -> ab, float32, 2 on the same axis.

    Softmax of logits / temperature, then the expectation over the bins (section 2.3, equation 5).
    Temperature 1 is the mean; towards 0 it approaches the mode, which 0 itself gives.
    Raises ValueError for another number of bins or a negative temperature.

    >>> logits = np.full((1, 313), -20.0)
    >>> logits[0, 100] = 0
    >>> decode(logits).tolist() == AB[[100]].tolist()
    True
    """
    logits = np.moveaxis(np.asarray(logits), axis, -1)
    logits = logits.astype(np.result_type(logits, np.float32), copy=False)
    if logits.shape[-1] != COUNT:
        raise ValueError(f"logits have {logits.shape[-1]} entries on axis {axis}, not {COUNT}")
    if not temperature >= 0:
        raise SettingError(f"temperature is {temperature}; it must be 0 or above")
    if temperature < MODE_BELOW:
        return np.moveaxis(AB[logits.argmax(-1)], -1, axis)
    share = likelihood(logits, temperature, axis=-1)
    ab = (share @ AB.astype(share.dtype)) / share.sum(-1, keepdims=True)
    return np.moveaxis(ab.astype(np.float32, copy=False), -1, axis)


def likelihood(
    logits: Array, temperature: float = 1.0, axis: int = 1, dtype: DTypeLike | None = None
) -> Array:
    """Return exp(logits / temperature), 1 at the largest of `axis`: the softmax, not yet divided.

    A fresh array of any shape; `dtype` is the precision of the exponential, by default the logits'.
    """
    shifted = logits - logits.max(axis, keepdims=True)
    shifted *= shifted.dtype.type(1 / temperature)
    return np.exp(shifted, out=None if dtype else shifted, dtype=dtype)


def softmax(
    logits: Array, temperature: float = 1.0, axis: int = 1, dtype: DTypeLike | None = None
) -> Array:
    """Probabilities, summing to 1 over `axis`: the softmax of logits / temperature, any shape."""
    share = likelihood(logits, temperature, axis, dtype)
    share /= share.sum(axis, keepdims=True)
    return share


def log_softmax(logits: Array, axis: int = 1) -> Array:
    """Return the logarithm of the softmax over `axis`, any shape; finite for logits of any
    magnitude.
    """
    shifted = logits - logits.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))
