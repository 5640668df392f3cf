"""AuC: closed forms, brute force in float64 from pictures, Paddle-CIC's numbers, merging."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import color

from cic.colour import rebalance
from cic.colour.bins import AB
from cic.colour.distributions import soft_encode
from cic.colour.lab import recolor, rgb_to_lab
from cic.colour.prior import default
from metric.figures import ab_error
from metric.figures.auc import AuC


def measured(true, predicted, **options):
    metric = AuC(**options)
    metric.update(true, predicted)
    return metric


def brute_force(error, weights):
    """Percent, threshold by threshold, of float64 errors (n,)."""
    share = [(weights * (error <= threshold)).sum() / weights.sum() for threshold in range(151)]
    return 100 * sum((a + b) / 2 for a, b in pairwise(share)) / 150


def nearest_bin(ab):
    """Bins of (n, 2) ab, every distance computed."""
    return np.concatenate(
        [np.square(part[:, None] - AB).sum(-1).argmin(-1) for part in np.array_split(ab, 64)]
    )


def paddle_cic(pairs):
    """Percent, as Paddle-CIC's metrics_auc.py counts: pixel by pixel, in Python."""
    counts, pixels = [0] * 200, 0
    for photo, result in pairs:
        true, made = color.rgb2lab(photo)[..., 1:], color.rgb2lab(result)[..., 1:]
        for error in np.sqrt(np.square(true - made).sum(axis=2)).ravel().tolist():
            counts[int(error) + 1] += 1
            pixels += 1
    shares, within = [], 0
    for count in counts[:151]:
        within += count
        shares.append(within / pixels)
    return 100 * sum(0.5 * (a + b) for a, b in pairwise(shares)) / 150


@pytest.fixture
def cases(photos):
    """Pairs of pictures: gray, colours of the same photo shuffled, of another, and noise."""
    coffee, cat, rocket = (photos[name][10:160, 20:220] for name in ("coffee", "chelsea", "rocket"))
    noise = np.random.default_rng(3).integers(0, 256, (2, 150, 200, 3), np.uint8)
    return {
        "gray": (coffee, recolor(coffee, np.zeros((*coffee.shape[:2], 2), np.float32))),
        "shuffled": (rocket, rocket[::-1, ::-1]),
        "other": (cat, recolor(cat, rgb_to_lab(coffee)[..., 1:])),
        "nearly": (cat, cat // 2 * 2),
        "noise": tuple(noise // 2),  # the errors of full noise exceed Paddle-CIC's table
    }


@pytest.mark.parametrize("name", ["gray", "shuffled", "other", "nearly", "noise"])
def test_pictures_equal_brute_force_in_float64(cases, name):
    photo, result = cases[name]
    true, made = (color.rgb2lab(p)[..., 1:].reshape(-1, 2) for p in (photo, result))
    error = np.sqrt(np.square(true - made).sum(1))
    bins, prior = nearest_bin(true), default()
    figures = measured(photo, result).compute()
    for name, weights in (
        ("raw", np.ones(len(error))),
        ("rebalanced", 1 / prior[bins]),
        ("balanced", 1 / (prior[bins] / 2 + 1 / 626)),
    ):
        # The weights of rebalance are float32.
        assert figures[name] == pytest.approx(brute_force(error, weights), rel=1e-6)
        exact = rebalance.weights(prior, {"rebalanced": 0, "balanced": 0.5}.get(name, 1))[bins]
        assert figures[name] == pytest.approx(brute_force(error, exact.astype(float)), abs=1e-9)


def test_seed_compatible_equals_paddle_cic(cases):
    metric = AuC(strict=True)
    for pair in cases.values():
        metric.update(*pair)
    assert metric.compute()["raw"] == pytest.approx(paddle_cic(cases.values()), abs=1e-9)


@pytest.mark.parametrize("strict", [False, True])
def test_errors_and_bins_that_float32_cannot_tell_are_those_of_float64(strict):
    # Every colour of a coarse cube against its neighbours: thousands of errors near whole numbers.
    cube = np.stack(np.meshgrid(*[np.arange(0, 256, 5, dtype=np.uint8)] * 3), -1).reshape(-1, 3)
    result = np.roll(cube, 1, axis=0)
    exact = [color.rgb2lab(p)[:, 1:] for p in (cube, result)]
    expected = np.sqrt(np.square(exact[0] - exact[1]).sum(1))
    rough = rgb_to_lab(cube)[:, 1:] - rgb_to_lab(result)[:, 1:]
    rough = np.sqrt(np.square(rough).sum(1))
    assert (np.ceil(rough) != np.ceil(expected)).any()  # it is not for nothing
    found = list(ab_error.between(cube, result))
    error, bins = (np.concatenate(part) for part in zip(*found))
    rounded = np.floor if strict else np.ceil
    assert np.array_equal(rounded(error), rounded(expected))
    assert np.array_equal(bins, soft_encode(exact[0], neighbors=1)[0][:, 0])


def test_every_gray_and_its_neighbour_differ():
    gray = np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1)
    ((error, _),) = ab_error.between(gray[1:], gray[:-1])
    assert (np.ceil(error) == 1).all()
    ((error, _),) = ab_error.between(gray, gray)
    assert (error == 0).all()


@settings(max_examples=30)
@given(st.lists(st.integers(0, 255), min_size=18, max_size=18))
def test_any_few_pixels_equal_brute_force(values):
    photo, result = np.array(values, np.uint8).reshape(2, 3, 1, 3)
    error = np.sqrt(
        np.square(color.rgb2lab(photo) - color.rgb2lab(result))[..., 1:].sum(-1)
    ).ravel()
    assert measured(photo, result).compute()["raw"] == pytest.approx(
        brute_force(error, np.ones(3)), abs=1e-9
    )


def test_rounding_of_lab_is_within_its_bound():
    corner = np.stack(np.meshgrid(*[np.arange(0, 256, 3, dtype=np.uint8)] * 3), -1)
    for plane in corner:
        off = np.abs(rgb_to_lab(plane) - color.rgb2lab(plane))[..., 1:].max()
        assert off < ab_error.AB_ROUNDING
    assert 2 * math.sqrt(2) * 2e-4 < ab_error.ERROR_ROUNDING


@pytest.mark.parametrize("pictures", [True, False])
def test_the_truth_is_a_hundred(photos, pictures):
    true = photos["coffee"] if pictures else rgb_to_lab(photos["coffee"])[..., 1:]
    expected = {"raw": 100, "rebalanced": 100, "balanced": 100}
    assert measured(true, true).compute() == pytest.approx(expected, abs=0)
    strict = measured(true, true, strict=True).compute()
    assert strict["raw"] == pytest.approx(100 - 100 / 300, abs=1e-9)


@pytest.mark.parametrize("error", [1, 30, 30.25, 149, 149.5, 150, 151, 200])
def test_one_error_everywhere_is_a_rectangle(error):
    true = np.zeros((5, 7, 2))
    # The step's own trapezoid is half.
    within = 150 - math.ceil(error) + 0.5 if error <= 150 else 0
    below = 150 - (math.floor(error) + 1) + 0.5 if error < 150 else 0
    figures = measured(true, true + np.array([0, error])).compute()
    assert figures["raw"] == pytest.approx(within / 150 * 100, abs=1e-9)
    assert figures["rebalanced"] == pytest.approx(within / 150 * 100, abs=1e-9)
    figures = measured(true, true + np.array([0, error]), strict=True).compute()
    assert figures["raw"] == pytest.approx(below / 150 * 100, abs=1e-9)


def test_all_gray_in_closed_form():
    # Three quarters at chroma 5, the rest at 13: (75 (145.5) + 25 (137.5)) / 150.
    true = np.array([[3, 4], [4, 3], [0, 5], [5, 12]], np.float64)
    figures = measured(true, np.zeros_like(true)).compute()
    assert figures["raw"] == pytest.approx((75 * 145.5 + 25 * 137.5) / 150, abs=1e-9)


def test_ab_of_float32_equals_brute_force(photos):
    true = rgb_to_lab(photos["rocket"][::4, ::4])[..., 1:].reshape(-1, 2)
    made = np.roll(true, 77, axis=0)
    error = np.hypot(*(true.astype(np.float64) - made).T)
    weights = rebalance.weights(default(), 0).astype(np.float64)[nearest_bin(true)]
    figures = measured(true, made).compute()
    assert figures["raw"] == pytest.approx(brute_force(error, np.ones(len(error))), abs=1e-9)
    assert figures["rebalanced"] == pytest.approx(brute_force(error, weights), abs=1e-9)


def test_shards_merge_to_the_whole(cases):
    whole, left, right = AuC(), AuC(), AuC()
    for i, pair in enumerate(cases.values()):
        whole.update(*pair)
        (left, right)[i % 2].update(*pair)
    left.merge(right)
    assert left.compute() == pytest.approx(whole.compute(), rel=1e-12)
    assert left.compute()["raw"] == whole.compute()["raw"]  # counts are exact
    for name, shares in left.curve().items():
        assert shares.shape == (151,)
        assert (np.diff(shares) >= 0).all()
        assert shares == pytest.approx(whole.curve()[name])


@pytest.mark.parametrize("strict", [False, True])
def test_two_sums_a_curve_are_the_area_of_its_trapezoids(cases, strict):
    metric = AuC(strict=strict)
    for pair in cases.values():
        metric.update(*pair)
    assert np.count_nonzero(metric.first[0]) > 120  # nearly every threshold is some pixel's first
    figures = metric.compute()
    for name, share in metric.curve().items():
        trapezoids = sum((a + b) / 2 for a, b in pairwise(share.tolist())) / 150
        assert figures[name] == pytest.approx(100 * trapezoids, rel=1e-12)


def test_rare_colours_weigh_more():
    true = np.array([[0.0, 0.0], AB[0]])  # common gray, rare green
    wrong_green = measured(true, np.stack([true[0], true[1] + [100, 0]])).compute()
    wrong_gray = measured(true, np.stack([true[0] + [100, 0], true[1]])).compute()
    assert wrong_green["raw"] == pytest.approx(wrong_gray["raw"])
    assert wrong_green["rebalanced"] < wrong_gray["rebalanced"] - 20


def test_another_prior_weighs_otherwise(cases):
    flat = np.full(len(AB), 1 / len(AB))
    figures = measured(*cases["gray"], shares=flat).compute()
    assert figures["rebalanced"] == pytest.approx(figures["raw"])


def test_other_shapes_are_refused(photos):
    with pytest.raises(ValueError, match="beside"):
        AuC().update(photos["coffee"], photos["coffee"][:-1])
    with pytest.raises(ValueError, match="shapes"):
        AuC().update(np.zeros((3, 2)), np.zeros(2))
