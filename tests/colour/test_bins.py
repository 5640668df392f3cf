"""bins against the same bins derived another way, from every colour of the cube's surface."""

import numpy as np
import pytest
from scipy.optimize import linprog
from scipy.spatial import ConvexHull
from skimage import color

from cic.colour import bins


def surface_of_the_cube():
    """All six 256 x 256 faces of the 8-bit RGB cube, (393216, 3) uint8."""
    level = np.arange(256, dtype=np.uint8)
    first, second = (plane.ravel() for plane in np.meshgrid(level, level))
    faces = []
    for axis in range(3):
        for end in (0, 255):
            fixed = np.full(first.shape, end, np.uint8)
            faces.append(np.insert(np.stack([first, second], axis=1), axis, fixed, axis=1))
    return np.concatenate(faces)


@pytest.fixture(scope="module")
def gamut():
    """Convex hull of the ab of the whole surface, computed in float64."""
    return ConvexHull(color.rgb2lab(surface_of_the_cube())[:, 1:])


def meets(hull, a, b):
    """Whether the hull and the closed cell whose lower corner is (a, b) share a point."""
    normals, offsets = hull.equations[:, :2], hull.equations[:, 2]
    sides = [(a, a + 10), (b, b + 10)]
    return linprog([0, 0], A_ub=normals, b_ub=-offsets, bounds=sides).status == 0


def test_the_bins_are_the_313_of_the_whole_gamut(gamut):
    expected = set()
    for a in range(-130, 130, 10):
        for b in range(-130, 130, 10):
            if meets(gamut, a, b):
                expected |= {(a, b), (a + 10, b), (a, b + 10), (a + 10, b + 10)}
    assert len(expected) == 313
    assert np.array_equal(bins.AB, sorted(expected))


def test_shape_and_ends():
    assert bins.COUNT == 313
    assert bins.AB.shape == (313, 2)
    assert bins.AB.dtype == np.float32
    assert bins.AB[0].tolist() == [-90, 50]
    assert bins.AB[-1].tolist() == [100, 0]


def test_sorted_by_a_then_b():
    assert bins.AB.tolist() == sorted(bins.AB.tolist())


def test_read_only():
    with pytest.raises(ValueError, match="read-only"):
        bins.AB[0] = 0


@pytest.mark.parametrize("seed", range(5))
def test_hull_is_scipys_counter_clockwise(seed):
    points = np.random.default_rng(seed).normal(size=(100, 2))
    hull, expected = bins.convex_hull(points), points[ConvexHull(points).vertices]
    start = int(np.flatnonzero((expected == hull[0]).all(1))[0])
    assert np.array_equal(hull, np.roll(expected, -start, axis=0))


def test_hull_drops_points_on_its_edges_and_repeated_ones():
    grid = np.stack(np.meshgrid(range(4), range(3)), axis=-1).reshape(-1, 2)
    hull = bins.convex_hull(np.concatenate([grid, grid]))
    assert hull.tolist() == [[0, 0], [3, 0], [3, 2], [0, 2]]


def test_a_hull_inside_one_cell_has_its_corners():
    hull = np.array([[12.0, -8], [18, -8], [15, -1]])
    assert bins.bins_touching(hull).tolist() == [[10, -10], [10, 0], [20, -10], [20, 0]]


def test_a_cell_counts_only_if_the_hull_itself_reaches_it():
    """The corner cell (10, 10) lies in the bounding box, but the slanted edge passes it by."""
    below = np.array([[1.0, 1], [18, 1], [1, 18]])
    assert [20, 20] not in bins.bins_touching(below).tolist()
    assert [20, 20] in bins.bins_touching(below * 1.2 - 0.2).tolist()
