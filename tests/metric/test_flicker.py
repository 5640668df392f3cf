"""Flicker and ghosting, by hand and merged."""

import numpy as np
import pytest

from metric.figures.flicker import STATIC, FilmFigures, Flicker, Ghosting


@pytest.fixture
def film():
    """Lightness (9, 4, 6) that moves in the right half, ab (9, 4, 6, 2)."""
    random = np.random.default_rng(0)
    light = np.full((9, 4, 6), 50.0)
    light[:, :, 3:] += 10 * np.arange(9)[:, None, None]
    return light, random.normal(0, 10, (9, 4, 6, 2))


def test_flicker_is_the_mean_change_where_the_lightness_stays():
    light = np.array([[[10, 10, 10, 10.0]], [[10, 10 + STATIC, 10 - STATIC, 12]]])
    ab = np.zeros((2, 1, 4, 2))
    ab[1, 0] = [[3, 4], [0, 1], [0, 0], [90, 90]]
    flicker = Flicker()
    flicker.update(light, ab)
    assert flicker.compute() == {"flicker": 2.0, "static": 0.75}


def test_ghosting_is_the_mean_error_where_it_does_not():
    light = np.array([[[10, 10.0]], [[10, 12]]])
    ghosting = Ghosting()
    ghosting.update(light, np.zeros((1, 2, 2)), np.array([[[9, 9], [3, 4.0]]]))
    assert ghosting.compute() == {"ghosting": 5.0}


def test_parts_merge_to_the_whole(film):
    light, ab = film
    whole, parts = (Flicker(), Ghosting()), [(Flicker(), Ghosting()) for _ in range(3)]
    for k in range(1, 9):
        for flicker, ghosting in (whole, parts[k % 3]):
            flicker.update(light[k - 1 : k + 1], ab[k - 1 : k + 1])
            ghosting.update(light[k - 1 : k + 1], ab[k], 0.5 * ab[k])
    for one, other in zip(parts[0], parts[1]):
        one.merge(other)
    for one, other, all_of_it in zip(parts[0], parts[2], whole):
        one.merge(other)
        assert one.compute() == pytest.approx(all_of_it.compute())
    assert whole[0].compute()["static"] == 0.5


def test_nothing_seen_is_zero():
    assert Flicker().compute() == {"flicker": 0, "static": 0}
    assert Ghosting().compute() == {"ghosting": 0}


def test_a_films_figures_leave_out_cuts(film):
    light, ab = film
    figures = FilmFigures()
    for k in range(9):
        large = light[k].repeat(4, axis=0).repeat(4, axis=1)
        figures.update(large, ab[k], 0.25 * ab[k], k in (0, 4))
    expected = Flicker()
    for k in (1, 2, 3, 5, 6, 7, 8):
        expected.update(light[k - 1 : k + 1], ab[k - 1 : k + 1])
    assert figures.shots == 2
    assert figures.before.compute() == pytest.approx(expected.compute())
    assert figures.after.compute()["flicker"] == pytest.approx(expected.compute()["flicker"] / 4)
    assert str(figures).endswith("50% static")
