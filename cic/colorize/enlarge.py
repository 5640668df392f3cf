"""Enlarge the network's values from its cells to every pixel of the photo, a strip of rows at a
time.
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from cic.colour.grid import Grid
from cic.system import pipeline, threads
from cic.system.arrays import Array, Floats

Made = TypeVar("Made")
STRIP = 1 << 16  # pixels worked on at once: their float32 scratch stays in a processor's cache


def in_strips(
    cells: Array, height: int, width: int, grid: Grid, use: Callable[[slice, Floats], None]
) -> None:
    """Enlarge cells (h, w, C) to (height, width): `use(rows, values)` for each strip of rows.

    Like `each_strip`, but without results.
    """
    for _ in each_strip(cells, height, width, grid, use):
        pass


def each_strip(
    cells: Array, height: int, width: int, grid: Grid, make: Callable[[slice, Floats], Made]
) -> Iterator[Made]:
    """Yield `make(rows, values)` of each strip from top to bottom, a few strips ahead.

    `rows` is a slice, `values` (C, n, width) float32, its own to overwrite: cells (h, w, C),
    enlarged. The enlargement is bilinear, and each value the same in strips of any height; strips
    are worked on in parallel.
    """
    planes = np.ascontiguousarray(np.moveaxis(cells, -1, 0), np.float32)
    row, down = _between(height, cells.shape[0], 0.5, grid.place)
    column, across = _between(width, cells.shape[1], 0.5, grid.place)
    step = max(1, STRIP // width)

    def strip(top: int) -> Made:
        rows = slice(top, min(top + step, height))
        return make(rows, _enlarged(planes, row[rows], down[rows], column, across))

    workers = max(1, threads.for_computation() * STRIP // max(STRIP, width))  # of long rows, fewer
    yield from pipeline.ahead(strip, range(0, height, step), workers)


def resample(values: Array, height: int, width: int, grid: Grid) -> Floats:
    """Cells (C, h, w) of one size -> (C, height, width) of another, bilinear, float32."""
    row, down = _between(height, values.shape[1], grid.place, grid.place)
    column, across = _between(width, values.shape[2], grid.place, grid.place)
    return _enlarged(values.astype(np.float32, copy=False), row, down, column, across)


def _between(count: int, cells: int, place: float, cell_place: float) -> tuple[Array, Floats]:
    """Return (cell before, float32 share of the next one in [0, 1]) of `count` pixels on a line of
    cells.

    The places are those of a pixel's and of a cell's value in it. What lies outside of all cells'
    places has the value of the last.
    """
    position = (np.arange(count) + place) * (cells / count) - cell_place
    position = np.clip(position, 0, cells - 1)
    before = np.minimum(position.astype(np.intp), max(0, cells - 2))
    return before, (position - before).astype(np.float32)


def _enlarged(planes: Floats, row: Array, down: Floats, column: Array, across: Floats) -> Floats:
    """(C, h, w) -> (C, len(row), len(column)): across first, of the few rows that are needed."""
    first, last = row[0], min(row[-1] + 1, planes.shape[1] - 1)
    few = planes[:, first : last + 1]
    far = np.minimum(column + 1, planes.shape[2] - 1)
    wide = few.take(column, axis=2)
    step = few.take(far, axis=2)
    step -= wide
    step *= across
    wide += step
    out = np.empty((len(planes), len(row), len(column)), np.float32)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(row)]):
        near = row[start] - first
        slope = wide[:, min(near + 1, last - first)] - wide[:, near]
        part = out[:, start:end]
        np.multiply(slope[:, None], down[start:end, None], out=part)
        part += wide[:, near, None]
    return out
