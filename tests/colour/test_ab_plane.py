"""cic.colour.ab_plane: the picture shows every bin where it lies, as large as its share."""

import numpy as np
import pytest

from cic.colour import ab_plane
from cic.colour.ab_plane import CELL, GROUND, MARGIN, draw
from cic.colour.bins import AB, COUNT
from cic.colour.lab import rgb_to_lab


def square(picture, index, plane=0):
    """The cell of a bin on a plane, (CELL - 3, CELL - 3, 3) uint8."""
    side = 2 * ab_plane.REACH // 10 * CELL + CELL
    x, y = MARGIN + plane * (side + MARGIN) + side / 2, MARGIN + side / 2
    left, top = (round(v - CELL / 2) + 2 for v in (x + AB[index, 0] * 2.4, y - AB[index, 1] * 2.4))
    return picture[top : top + CELL - 3, left : left + CELL - 3]


def coloured(cell):
    """Share of the cell's pixels that are not the ground's."""
    return (cell != GROUND).any(-1).mean()


def test_a_square_grows_with_the_share_and_has_the_bins_hue():
    shares = np.zeros(COUNT)
    for index, share in ((0, 1), (100, 1e-2), (200, 1e-4)):
        shares[index] = share
    picture = draw({"these": shares})
    sizes = [coloured(square(picture, index)) for index in (0, 100, 200, 300)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.9
    assert 0.01 < sizes[3] < 0.05  # a dot even for a share of nought
    for index in (100, 200):
        middle = rgb_to_lab(square(picture, index)[CELL // 2 - 1, CELL // 2 - 1])
        true, shown = (np.arctan2(*ab[::-1]) for ab in (AB[index], middle[1:]))
        assert np.cos(true - shown) > 0.8


def test_planes_stand_side_by_side():
    one = draw({"a": np.ones(COUNT) / COUNT})
    two = draw({"a": np.ones(COUNT) / COUNT, "b": np.eye(COUNT)[156]})
    assert one.dtype == np.uint8
    assert two.shape[0] == one.shape[0]
    assert two.shape[1] - MARGIN == 2 * (one.shape[1] - MARGIN)
    assert coloured(square(two, 156, plane=1)) > 1.5 * coloured(square(two, 156, plane=0))


@pytest.mark.parametrize("index", [0, 5, 155, 312])
def test_no_bin_lies_outside_the_picture(index):
    assert square(draw({"a": np.ones(COUNT)}), index).shape == (CELL - 3, CELL - 3, 3)
