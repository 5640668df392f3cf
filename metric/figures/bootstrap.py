"""95 % intervals by bootstrap over photos (Efron and Tibshirani, 1993, chapters 6 and 13).

Photos, not pixels, are drawn: the pixels of one photo have its light and its subject in common. A
replicate draws as many photos as there are, with replacement; its figures are ratios of the drawn
photos' sums. As all rows of a table are made of the same draws, the interval of the difference of
two rows is paired. Draws follow from the number of photos alone, in the order of their names, so
neither workers nor shards, nor the order in which they are merged, change a bit.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from cic.system.arrays import Array, Doubles
from cic.system.randomness import random_for

LEVEL = 0.95
REPLICATES = 1999  # (1999 + 1) 0.025 is a whole number: both ends are replicates
SEED = 0
STREAM = 9  # the last word of its random stream; see seeding.NOISE
BLOCK = 1 << 18  # numbers of times that photos were drawn, at once: 2 MB stay in the cache


def times_drawn(photos: int, replicates: int = REPLICATES) -> Iterator[tuple[int, Doubles]]:
    """Yield (first, times): blocks of how often each replicate has each photo, (n, photos) float64.

    `first` is the number of a block's first replicate.
    """
    random = random_for(SEED, third=STREAM)
    block = max(1, BLOCK // photos)
    for first in range(0, replicates, block):
        count = min(block, replicates - first)
        drawn = random.integers(0, photos, (count, photos))
        drawn += photos * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * photos)
        yield first, times.reshape(count, photos).astype(np.float64)


def totals(tables: Mapping[str, Array], replicates: int = REPLICATES) -> dict[str, Doubles]:
    """Return {row: (columns, replicates)} float64, sums of the drawn photos, of {row: (photos,
    columns)}.

    All tables have the same photos in the same order. Equal columns have equal sums, to the bit.
    """
    columns = {row: np.ascontiguousarray(np.transpose(table)) for row, table in tables.items()}
    found = {row: np.empty((len(each), replicates)) for row, each in columns.items()}
    photos = len(next(iter(tables.values())))
    for first, times in times_drawn(photos, replicates):
        part = slice(first, first + len(times))
        for row, each in columns.items():
            for number, column in enumerate(each):  # einsum: a library's rounding hangs on threads
                found[row][number, part] = np.einsum("rn,n->r", times, column)
    return found


def interval(values: Array) -> list[float] | None:
    """Return [low, high] of a figure's replicates (n,): the percentiles of LEVEL, without
    interpolation.

    None if one has no such figure, which is NaN.
    """
    if np.isnan(values).any():
        return None
    tail = max(1, round((1 - LEVEL) / 2 * (len(values) + 1)))
    low, high = np.sort(values)[[tail - 1, -tail]]
    return [float(low), float(high)]
