"""cic.colour.distributions against brute force over all 313 bins in float64."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.special import softmax
from skimage import color

from cic.colour.bins import AB, COUNT
from cic.colour.distributions import decode, soft_encode

EIGHTHS = st.integers(-128 * 8, 127 * 8).map(lambda n: n / 8)  # squares are exact in float32
COORDINATES = st.one_of(
    EIGHTHS,
    st.integers(-128, 127),
    st.integers(-12, 12).map(lambda n: 10 * n),  # on the grid: four neighbours tie
    st.integers(-12, 11).map(lambda n: 10 * n + 5),  # between: up to four nearest tie
)
# Each number up to 16 has a lookup table of its own, which takes a second to build.
NEIGHBORS = st.one_of(st.sampled_from([1, 2, 5, 10, 16]), st.integers(17, COUNT))
SHAPE = st.tuples(st.integers(1, 40), st.just(2))


def distances(ab):
    """Squared float64 distances of (..., 2) ab to every bin, (..., 313)."""
    return np.square(np.asarray(ab, float)[..., None, :] - AB.astype(float)).sum(-1)


def brute_force(ab, neighbors, sigma=5.0):
    """(index, weight) of (..., 2) ab: a stable argsort of all distances, float64."""
    squared = distances(ab)
    index = np.argsort(squared, axis=-1, kind="stable")[..., :neighbors]
    near = np.take_along_axis(squared, index, axis=-1)
    return index, softmax(-near / (2 * sigma**2), axis=-1)


def dense(index, weight):
    """Sparse encoding as a distribution over all bins, (..., 313) float64."""
    out = np.zeros((*index.shape[:-1], COUNT))
    np.put_along_axis(out, index.astype(int), weight, axis=-1)
    return out


def assert_close(found, expected, tolerance):
    assert np.abs(found - expected).max() <= tolerance


@settings(max_examples=40)
@given(ab=hnp.arrays(np.float32, SHAPE, elements=COORDINATES), neighbors=NEIGHBORS)
def test_equals_brute_force_ties_included(ab, neighbors):
    index, weight = soft_encode(ab, neighbors)
    expected_index, expected_weight = brute_force(ab, neighbors)
    assert np.array_equal(index, expected_index)
    assert_close(dense(index, weight), dense(expected_index, expected_weight), 1e-6)


@settings(max_examples=40)
@given(
    ab=hnp.arrays(np.float32, SHAPE, elements=st.floats(-128, 127, width=32)),
    neighbors=NEIGHBORS,
    sigma=st.floats(1, 50),
)
def test_equals_brute_force_anywhere(ab, neighbors, sigma):
    """Bins nearly as far as one another may swap: float32 distances have 24 bits."""
    index, weight = soft_encode(ab, neighbors, sigma)
    expected_index, expected_weight = brute_force(ab, neighbors, sigma)
    far = np.take_along_axis(distances(ab), index.astype(int), axis=-1)
    expected_far = np.take_along_axis(distances(ab), expected_index, axis=-1)
    assert (np.abs(far - expected_far) <= 1e-6 * expected_far + 1e-9).all()
    scale = 1e-6 * max(1, expected_far.max() / sigma**2)  # their rounding, in the exponent
    assert_close(weight, expected_weight, min(scale, 1e-3))


@settings(max_examples=40)
@given(ab=hnp.arrays(np.float32, SHAPE, elements=st.floats(-128, 127, width=32)), k=NEIGHBORS)
def test_weights_are_a_distribution_nearest_first(ab, k):
    index, weight = soft_encode(ab, k)
    assert_close(weight.sum(-1, dtype=np.float64), 1, 1e-6)
    assert (np.diff(weight, axis=-1) <= 0).all()
    assert (np.diff(np.sort(index, axis=-1), axis=-1) > 0).all()
    assert index.min() >= 0
    assert index.max() < COUNT


def test_every_tie_between_four_bins_falls_to_the_lowest():
    middles = AB + np.float32(5)
    index, weight = soft_encode(middles, 5)
    expected_index, expected_weight = brute_force(middles, 5)
    assert np.array_equal(index, expected_index)
    assert_close(weight, expected_weight, 1e-6)


@pytest.mark.parametrize("neighbors", [1, 5, 10, 16, 17, 313])
@pytest.mark.parametrize("name", ["astronaut", "coffee"])
def test_equals_brute_force_on_a_photograph(photos, name, neighbors):
    """Colours are rounded to eighths, where float32 distances are exact: ties have to agree."""
    ab = (color.rgb2lab(photos[name][::8, ::8])[..., 1:] * 8).round() / 8
    index, weight = soft_encode(ab, neighbors)
    expected_index, expected_weight = brute_force(ab, neighbors)
    assert np.array_equal(index, expected_index)
    assert_close(dense(index, weight), dense(expected_index, expected_weight), 1e-6)


@pytest.mark.parametrize("neighbors", [1, 5, 313])
def test_more_points_than_one_block(neighbors):
    ab = np.random.default_rng(0).integers(-1024, 1016, (50_000, 2)) / 8
    index, weight = soft_encode(ab, neighbors)
    some = slice(None, None, 97)
    expected_index, expected_weight = brute_force(ab[some], neighbors)
    assert np.array_equal(index[some], expected_index)
    assert_close(weight[some], expected_weight, 1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (2, 3, 4), (0, 5)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_shapes_and_dtypes(shape, dtype):
    index, weight = soft_encode(np.zeros((*shape, 2), dtype), neighbors=5)
    assert index.shape == weight.shape == (*shape, 5)
    assert index.dtype == np.int16
    assert weight.dtype == np.float32


def test_the_ends_of_the_range_can_be_encoded():
    ends = np.array([[a, b] for a in (-128.0, 128.0) for b in (-128.0, 128.0)])
    for neighbors in (5, 313):
        index, weight = soft_encode(ends, neighbors)
        expected_index, expected_weight = brute_force(ends, neighbors)
        assert np.array_equal(index, expected_index)
        assert_close(weight, expected_weight, 1e-6)


def test_sigma_far_below_the_distance_leaves_the_nearest_bin():
    _, weight = soft_encode(np.array([[127.0, 127.0]]), sigma=0.05)
    assert weight.tolist() == [[1, 0, 0, 0, 0]]


def test_input_is_left_alone(photos):
    ab = color.rgb2lab(photos["coffee"][::20, ::20])[..., 1:].astype(np.float32)
    copy = ab.copy()
    soft_encode(ab)
    assert np.array_equal(ab, copy)


@pytest.mark.parametrize(
    ("ab", "options", "message"),
    [
        ([np.nan, 0], {}, "nan"),
        ([0, np.inf], {}, "inf"),
        ([128.5, 0], {}, "128.5"),
        ([0, -129], {}, "-129"),
        ([0, 0], {"neighbors": 0}, "neighbors is 0"),
        ([0, 0], {"neighbors": 314}, "neighbors is 314"),
        ([0, 0], {"neighbors": -1}, "neighbors is -1"),
        ([0, 0], {"sigma": 0}, "sigma is 0"),
        ([0, 0], {"sigma": -5}, "sigma is -5"),
        ([0, 0], {"sigma": np.nan}, "sigma is nan"),
    ],
)
def test_errors_name_the_offending_value(ab, options, message):
    with pytest.raises(ValueError, match=message):
        soft_encode(np.array([[1.0, 1.0], ab]), **options)


def some_logits(shape=(2, COUNT, 3, 4), seed=0):
    """Logits whose two greatest differ by 0.1, float32."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(
        np.broadcast_to(np.arange(COUNT), (*shape[:1], *shape[2:], COUNT)), axis=-1
    )
    return np.moveaxis(order, -1, 1).astype(np.float32) / 10


def mode(logits):
    """ab of the greatest logit on axis 1."""
    return np.moveaxis(AB[logits.argmax(1)], -1, 1)


def annealed_mean(logits, temperature):
    """Equation 5 of the paper in float64."""
    share = softmax(logits.astype(float) / temperature, axis=1)
    return np.moveaxis(np.tensordot(share, AB.astype(float), (1, 0)), -1, 1)


@pytest.mark.parametrize("temperature", [0.0, 1e-9, 1e-6, 1e-4, 0.005])
def test_low_temperatures_give_the_mode(temperature):
    logits = some_logits()
    assert_close(decode(logits, temperature), mode(logits), 1e-4)


def test_temperature_0_is_exactly_the_mode():
    logits = some_logits()
    assert np.array_equal(decode(logits, 0), mode(logits))


def test_falling_temperatures_approach_the_mode():
    logits = some_logits()
    errors = [np.abs(decode(logits, t) - mode(logits)).mean() for t in (1, 0.1, 0.03, 0.01)]
    assert errors == sorted(errors, reverse=True)


def test_temperature_1_is_the_mean_and_infinity_that_of_all_bins():
    logits = np.random.default_rng(0).normal(size=(2, COUNT, 5, 1)).astype(np.float32)
    assert_close(decode(logits, 1), annealed_mean(logits, 1), 1e-4)
    everywhere = np.broadcast_to(AB.mean(0)[:, None, None], (2, 2, 5, 1))
    assert_close(decode(logits, np.inf), everywhere, 1e-4)


@settings(max_examples=40)
@given(
    logits=hnp.arrays(np.float32, (1, COUNT, 2), elements=st.floats(-50, 50, width=32)),
    temperature=st.floats(0.05, 5),
)
def test_decode_is_the_annealed_mean(logits, temperature):
    """The exponent, at most 2000, is rounded to 24 bits: 1e-4 of the spread of 100 units."""
    assert_close(decode(logits, temperature), annealed_mean(logits, temperature), 0.02)


def test_the_default_temperature_is_the_papers():
    logits = some_logits()
    assert_close(decode(logits), annealed_mean(logits, 0.38), 1e-4)


@pytest.mark.parametrize("temperature", [0, 1e-6, 1e-3, 0.38, 1])
@pytest.mark.parametrize("size", [1e4, 1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_stay_finite(size, temperature, dtype):
    logits = np.full((1, COUNT, 1, 1), -size, dtype)
    logits[0, 42] = size
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(logits, temperature).ravel().tolist() == AB[42].tolist()
        assert np.isfinite(decode(-logits, temperature)).all()


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
@pytest.mark.parametrize("temperature", [0, 0.38])
def test_axis(axis, temperature):
    logits = some_logits()
    expected = np.moveaxis(decode(logits, temperature), 1, axis)
    found = decode(np.moveaxis(logits, 1, axis), temperature, axis=axis)
    assert_close(found, expected, 1e-4)
    assert found.shape == expected.shape


@pytest.mark.parametrize("temperature", [0, 0.38])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decode_gives_float32_and_leaves_its_input_alone(temperature, dtype):
    logits = some_logits().astype(dtype)
    copy = logits.copy()
    assert decode(logits, temperature).dtype == np.float32
    assert np.array_equal(logits, copy)


def test_decoding_the_encoding_gives_back_the_colours(photos):
    ab = color.rgb2lab(photos["coffee"][::10, ::10])[..., 1:]
    index, weight = soft_encode(ab)
    with np.errstate(divide="ignore"):
        logits = np.log(dense(index, weight))
    back = decode(logits, 1, axis=-1)
    assert_close(back, (weight[..., None] * AB[index]).sum(-2), 1e-4)
    assert_close(back, ab, 4)  # less than half the 10 units between bins
    assert np.abs(back - ab).mean() < 1


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 312, 2, 2), {}, "312 entries on axis 1"),
        ((1, 313, 2, 2), {"axis": 2}, "2 entries on axis 2"),
        ((1, 313, 2, 2), {"temperature": -0.1}, "temperature is -0.1"),
        ((1, 313, 2, 2), {"temperature": np.nan}, "temperature is nan"),
    ],
)
def test_decode_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        decode(np.zeros(shape, np.float32), **options)


@pytest.mark.parametrize("dtype", [np.float16, np.int16])
def test_logits_of_other_types_are_decoded_in_float32(dtype):
    logits = (10 * some_logits()).round().astype(dtype)
    expected = decode(logits.astype(np.float32))
    np.testing.assert_array_equal(decode(logits), expected)
    assert expected.dtype == np.float32
