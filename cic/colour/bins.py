"""The 313 ab bins: the 10-unit grid points that the sRGB gamut reaches (paper, section 2.1)."""

from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from cic.colour.lab import rgb_to_lab
from cic.system.arrays import Array, Bytes, Doubles, Floats

Point: TypeAlias = tuple[float, float]
SPACING = 10  # CIELAB units between neighbouring bins (paper, section 2.1)


def _saturated_colours() -> Bytes:
    """Return the six edges of the RGB cube from red over yellow, green, ... to red, (1536, 3)
    uint8.

    All corners of the gamut's ab hull lie on these edges: a test derives the same bins from
    the cube's whole surface.
    """
    ramp = np.arange(256, dtype=np.uint8)
    edges = []
    for rising in range(3):
        for full in (rising - 1, rising + 1):
            edge = np.zeros((256, 3), np.uint8)
            edge[:, rising] = ramp
            edge[:, full % 3] = 255
            edges.append(edge)
    return np.concatenate(edges)


def convex_hull(points: ArrayLike) -> Doubles:
    """Return the corners of the convex hull of (N, 2) points, counter-clockwise (Andrew's monotone
    chain).
    """

    def chain(ordered: list[Point]) -> list[Point]:
        hull: list[Point] = []
        for point in ordered:
            while len(hull) > 1 and _turn(hull[-2], hull[-1], point) <= 0:
                hull.pop()
            hull.append(point)
        return hull[:-1]

    ordered = _sorted(np.asarray(points, np.float64))
    return np.array(chain(ordered) + chain(ordered[::-1]))


def _sorted(points: Array) -> list[Point]:
    """Return (N, 2) points, each once, by the first number, then the second.

    np.unique would import numpy.ma, which takes longer than all the rest of this file.
    """
    return sorted(set(map(tuple, points.tolist())))


def _turn(before: Point, at: Point, after: Point) -> float:
    """Above 0 if the way from point to point turns left `at` the second."""
    (x, y), (x1, y1), (x2, y2) = before, at, after
    return (x1 - x) * (y2 - y) - (y1 - y) * (x2 - x)


def bins_touching(hull: Array) -> Floats:
    """Return the grid points, (Q, 2) float32, sorted by a, then b: corners of every cell the hull
    touches.

    A cell and a convex polygon are apart exactly if an edge normal of one of them separates them.
    """
    low, high = np.floor(hull.min(0) / SPACING), np.ceil(hull.max(0) / SPACING)
    ranges = (np.arange(first, last) for first, last in zip(low, high))
    corner = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1)
    square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    cells = SPACING * (corner.reshape(-1, 1, 2) + square)
    edge = np.roll(hull, -1, axis=0) - hull
    outward = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    reach = (outward * hull).sum(1)
    touched = ((cells @ outward.T).min(1) <= reach).all(1)
    return np.array(_sorted(cells[touched].reshape(-1, 2)), np.float32)


AB = bins_touching(convex_hull(rgb_to_lab(_saturated_colours())[..., 1:]))
AB.setflags(write=False)
COUNT = len(AB)
