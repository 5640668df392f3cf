"""metric.figures.bleeding: where edges are, and what counts beside them."""

import numpy as np
import pytest

from cic.colour.lab import recolor, rgb_to_lab
from metric.figures.bleeding import Bleeding, beside_edges


def halves(left, right, width=40):
    """A picture (24, 40, 3) of two gray halves."""
    picture = np.full((24, width, 3), left, np.uint8)
    picture[:, width // 2 :] = right
    return picture


def test_pixels_beside_an_edge_are_four_each_way():
    beside = beside_edges(rgb_to_lab(halves(40, 220))[..., 0])
    # Central differences see the step from the two columns that touch it.
    assert beside.any(0).nonzero()[0].tolist() == list(range(15, 25))
    assert beside.all(0).sum() == 10
    assert not beside_edges(rgb_to_lab(halves(100, 130))[..., 0]).any()


def test_an_error_counts_where_it_is():
    photo = halves(90, 230)
    ab = np.zeros((24, 40, 2), np.float32)
    ab[:, :15] = 6, 8  # far from the edge, but for nothing
    bleeding = Bleeding()
    bleeding.update(photo, recolor(photo, ab))
    found = bleeding.compute()
    assert found["share"] == pytest.approx(10 / 40)
    assert found["beside_edges"] < 0.5
    assert found["elsewhere"] == pytest.approx(10 * 15 / 30, abs=0.5)
    ab = np.zeros((24, 40, 2), np.float32)
    ab[:, 15:25] = 3, 4
    other = Bleeding()
    other.update(photo, recolor(photo, ab))
    assert other.compute()["beside_edges"] == pytest.approx(5, abs=0.6)
    assert other.compute()["elsewhere"] < 0.5
    other.merge(bleeding)
    assert other.compute()["elsewhere"] == pytest.approx(2.5, abs=0.5)


def test_the_figures_are_the_definitions(photos):
    photo = photos["rocket"]
    result = recolor(photo, np.zeros((*photo.shape[:2], 2), np.float32))
    bleeding = Bleeding()
    bleeding.update(photo, result)
    lab, gray = (rgb_to_lab(picture).astype(float) for picture in (photo, result))
    down, across = np.gradient(lab[..., 0])
    ys, xs = np.nonzero(np.hypot(down, across) >= 20)
    beside = np.zeros(photo.shape[:2], bool)
    for y, x in zip(ys, xs):
        beside[max(0, y - 4) : y + 5, max(0, x - 4) : x + 5] = True
    error = np.linalg.norm((lab - gray)[..., 1:], axis=-1)
    found = bleeding.compute()
    assert 0 < found["share"] == pytest.approx(beside.mean(), rel=1e-3)
    assert found["beside_edges"] == pytest.approx(error[beside].mean(), rel=1e-3)
    assert found["elsewhere"] == pytest.approx(error[~beside].mean(), rel=1e-3)


def test_a_photo_of_one_line_has_no_edges_and_pairs_must_fit():
    bleeding = Bleeding()
    bleeding.update(halves(40, 220)[:1], halves(40, 220)[:1])
    found = bleeding.compute()
    assert (found["share"], found["elsewhere"]) == (0, 0)
    assert np.isnan(found["beside_edges"])
    with pytest.raises(ValueError, match="are of no pair"):
        bleeding.update(halves(40, 220), halves(40, 220)[:4])
