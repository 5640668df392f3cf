"""cic.colour.rebalance against the closed forms of section 2.2, written once more in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial import KDTree
from skimage import color

from cic.colour.bins import AB, COUNT
from cic.colour.prior import default
from cic.colour.rebalance import count, is_gray, limited, smooth, weights

UNIFORM = np.full(COUNT, 1 / COUNT)
PRIORS = hnp.arrays(np.float64, COUNT, elements=st.floats(1e-6, 1)).map(lambda p: p / p.sum())
GAMMAS = st.floats(0, 1)


def one_hot(*positions):
    """Counts of one pixel in each of the given bins."""
    return np.bincount(positions, minlength=COUNT)


@settings(max_examples=50)
@given(prior=PRIORS, gamma=GAMMAS)
def test_weights_equal_the_closed_form(prior, gamma):
    inverse = 1 / ((1 - gamma) * prior + gamma / 313)
    expected = inverse / (prior * inverse).sum()
    found = weights(prior, gamma)
    assert np.abs(found / expected - 1).max() < 1e-6
    assert abs((prior * found).sum() - 1) < 1e-6


def test_the_default_gamma_is_the_papers():
    assert np.array_equal(weights(default()), weights(default(), 0.5))


@settings(max_examples=20)
@given(prior=PRIORS)
def test_gamma_1_leaves_every_weight_at_1(prior):
    assert np.abs(weights(prior, 1) - 1).max() < 1e-6


@pytest.mark.parametrize("gamma", [0, 0.5, 1])
def test_a_uniform_prior_needs_no_weights(gamma):
    assert np.abs(weights(UNIFORM, gamma) - 1).max() < 1e-6


def test_rarer_bins_weigh_more():
    order = np.argsort(default())
    assert (np.diff(weights(default())[order]) <= 0).all()


def test_weights_are_313_float32():
    found = weights(list(UNIFORM))
    assert found.shape == (313,)
    assert found.dtype == np.float32


def test_an_empty_bin_needs_gamma():
    prior = one_hot(5, 6) / 2
    assert np.isfinite(weights(prior, 0.5)).all()
    with pytest.raises(ValueError, match="empty bin"):
        weights(prior, 0)


@pytest.mark.parametrize(
    ("prior", "gamma", "message"),
    [
        (UNIFORM[:-1], 0.5, "313 shares that sum to 1"),
        (UNIFORM[None], 0.5, "313 shares that sum to 1"),
        (UNIFORM * 1.001, 0.5, "313 shares that sum to 1"),
        (UNIFORM * np.nan, 0.5, "313 shares that sum to 1"),
        (one_hot(1, 1) - one_hot(2), 0.5, "313 shares that sum to 1"),
        (UNIFORM, -0.1, "gamma is -0.1"),
        (UNIFORM, 1.1, "gamma is 1.1"),
        (UNIFORM, np.nan, "gamma is nan"),
    ],
)
def test_errors_of_weights(prior, gamma, message):
    with pytest.raises(ValueError, match=message):
        weights(prior, gamma)


@settings(max_examples=50)
@given(prior=PRIORS, limit=st.floats(0.1, 20))
def test_limited_weights_are_clipped_and_have_expectation_1(prior, limit):
    before = weights(prior, 0.3)
    found = limited(before, prior, limit)
    assert found.dtype == np.float32
    assert abs((prior * found).sum() - 1) < 1e-5
    assert np.ptp(found / np.minimum(before, limit)) < 1e-5 * found.max() / found.min()
    assert found.argmax() == np.minimum(before, limit).argmax()


def test_the_limit_of_natural_photographs():
    """Weights of the bundled prior reach 5 and more; clipped at 4 they come out hardly above."""
    before = weights(default(), 0.6)
    assert before.max() > 1.2 * 4
    assert 4 <= limited(before, default(), 4).max() < 4.4
    assert limited(before, default(), 0) is before
    assert np.abs(limited(before, default(), 1e3) - before).max() < 1e-5


@pytest.mark.parametrize("limit", [-1, np.nan])
def test_errors_of_limited(limit):
    with pytest.raises(ValueError, match="limit is"):
        limited(np.ones(COUNT, np.float32), UNIFORM, limit)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 20.0])
def test_smooth_equals_a_blur_bin_by_bin(sigma):
    counts = np.random.default_rng(0).integers(0, 1000, COUNT)
    expected = np.zeros(COUNT)
    for (a, b), mass in zip(AB.astype(float), counts, strict=True):
        share = np.exp(-((AB[:, 0] - a) ** 2 + (AB[:, 1] - b) ** 2) / (2 * sigma**2))
        expected += mass * share / share.sum()
    assert np.abs(smooth(counts, sigma) - expected / counts.sum()).max() < 1e-9


@settings(max_examples=20)
@given(counts=hnp.arrays(np.int64, COUNT, elements=st.integers(0, 10**9)).filter(np.any))
def test_smooth_is_a_prior(counts):
    prior = smooth(counts)
    assert abs(prior.sum() - 1) < 1e-12
    assert prior.min() >= 0
    assert prior.dtype == np.float64


@pytest.mark.parametrize(("first", "second"), [(0, 150), (100, 312)])
def test_smooth_loses_no_bins_mass(first, second):
    """Bins at the gamut's edge have fewer neighbours, yet keep as much mass as inner ones."""
    both = smooth(one_hot(first, second))
    assert np.abs(both - (smooth(one_hot(first)) + smooth(one_hot(second))) / 2).max() < 1e-12


def test_smooth_leaves_the_most_at_home():
    for position in (0, 77, 312):
        assert smooth(one_hot(position)).argmax() == position


@pytest.mark.parametrize(
    "counts",
    [
        np.ones(312),
        np.ones((313, 1)),
        np.zeros(313),
        one_hot(1, 1) - one_hot(2),
        np.full(313, np.nan),
        np.full(313, np.inf),
    ],
)
def test_errors_of_smooth(counts):
    with pytest.raises(ValueError, match="counts must be 313 numbers"):
        smooth(counts)


def test_count_equals_a_nearest_neighbour_search(photos):
    ab = (color.rgb2lab(photos["chelsea"][::5, ::5])[..., 1:] * 8).round() / 8 + 1 / 64
    _, nearest = KDTree(AB).query(ab.reshape(-1, 2))
    found = count(ab)
    assert np.array_equal(found, np.bincount(nearest, minlength=COUNT))
    assert found.sum() == ab[..., 0].size
    assert found.shape == (313,)


def test_count_of_nothing_is_zero():
    assert count(np.zeros((0, 2))).tolist() == [0] * 313


def test_every_bin_counts_itself():
    assert count(AB).tolist() == [1] * 313


@pytest.mark.parametrize(
    ("ab", "gray"),
    [
        ([[0, 0], [5, -5]], True),
        ([[0, 0], [5.01, 0]], False),
        ([[0, -5.01], [0, 0]], False),
        ([[[4.9, 4.9]]], True),
        (np.zeros((0, 2)), True),
    ],
)
def test_is_gray(ab, gray):
    assert is_gray(np.asarray(ab)) is gray
