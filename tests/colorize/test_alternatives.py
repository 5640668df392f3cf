"""alternatives: likelihood and its optimum by brute force; distinct, ordered, smooth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage, optimize, special
from skimage import data

import backends
from cic.colorize.alternatives import LEAST_LIKELY, mean_distance, most_likely
from cic.colorize.colorizer import network_size
from cic.colour import prior
from cic.colour.bins import AB
from cic.colour.decoding import MEDIAN, Decoding
from cic.colour.distributions import decode
from cic.colour.lab import rgb_to_lab

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture(scope="module")
def logits():
    """What a network might say of real photographs, {name: (313, h, w)}.

    It holds the true colours likely, blurred, and the prior's possible.
    """
    found = {}
    for name in NAMES:
        image = Image.fromarray(getattr(data, name)())
        height, width = (side // 4 for side in network_size(image.height, image.width, 128))
        small = np.asarray(image.resize((width, height), Image.Resampling.BOX))
        true = ndimage.gaussian_filter(rgb_to_lab(small)[..., 1:], (1, 1, 0))
        near = np.exp(-np.square(true[..., None, :] - AB).sum(-1) / (2 * 15**2))
        shares = 0.8 * near / near.sum(-1, keepdims=True) + 0.2 * prior.default()
        found[name] = np.log(shares).transpose(2, 0, 1).astype(np.float32)
    return found


def divergence(logits, tilt):
    """Bits, cell by cell, in double precision."""
    bits = []
    for cell in logits.reshape(313, -1).T.astype(float):
        old, new = special.log_softmax(cell), special.log_softmax(cell + AB @ np.array(tilt))
        bits.append((np.exp(new) * (new - old)).sum() / np.log(2))
    return np.mean(bits)


def test_the_first_is_the_annealed_mean(logits):
    for temperature in (0, 0.2, 1):
        (only,) = most_likely(logits["coffee"], 1, Decoding(temperature))
        expected = decode(logits["coffee"], temperature, axis=0).transpose(1, 2, 0)
        np.testing.assert_array_equal(only.ab, expected)
        assert only.bits == pytest.approx(0, abs=1e-12)


def test_all_are_decoded_alike(logits):
    few = logits["coffee"][:, ::4, ::4]
    decoding = Decoding(1.0, saturation=1.5, statistic=MEDIAN)
    first, second = most_likely(few, 2, decoding)
    np.testing.assert_array_equal(first.ab, decoding(few))
    tilted = few + (AB @ np.float32(second.tilt))[:, None, None]
    np.testing.assert_allclose(second.ab, decoding(tilted), atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_colourings_of_photos_are_distinct_ordered_and_smooth(logits, name):
    found = most_likely(logits[name], 4)
    assert len(found) == 4
    bits = [one.bits for one in found]
    assert bits == sorted(bits)
    assert bits[0] == pytest.approx(0, abs=1e-12)
    assert bits[1] > 0
    assert bits[3] <= LEAST_LIKELY
    for i, one in enumerate(found):
        assert one.ab.dtype == np.float32
        for other in found[:i]:
            assert mean_distance(one.ab, other.ab) > 0.96 * 12  # the search looks at every 2nd cell
        nearest = min(mean_distance(one.ab, other.ab) for other in found if other is not one)
        assert nearest < 1.2 * 12  # no further than needed
        assert roughness(one.ab) < 2 * roughness(found[0].ab)


@pytest.mark.parametrize("name", ["chelsea", "rocket"])
@pytest.mark.both
def test_the_bundled_weights_have_a_second_colouring(photos, name):
    colorizer = backends.colorizer(backend="torch", size=128)
    first, second = most_likely(colorizer.output(Image.fromarray(photos[name])), 2)
    assert 0 < second.bits <= LEAST_LIKELY
    assert 0.8 * 12 < mean_distance(first.ab, second.ab) < 1.2 * 12
    assert roughness(second.ab) < 2 * roughness(first.ab)


def roughness(ab):
    """Mean distance between the colours of neighbouring cells."""
    return mean_distance(ab[1:], ab[:-1]) + mean_distance(ab[:, 1:], ab[:, :-1])


def test_bits_are_the_divergence_of_the_tilted_distributions(logits):
    for one in most_likely(logits["coffee"][:, ::4, ::4], 3):
        expected = divergence(logits["coffee"][:, ::4, ::4], one.tilt)
        assert one.bits == pytest.approx(expected, abs=1e-6)


def test_no_other_tilt_that_is_distinct_is_likelier(logits):
    few = logits["chelsea"][:, ::4, ::4]
    first, second = most_likely(few, 2)[:2]

    def lack(tilt):
        slope = (AB @ tilt)[:, None, None]
        ab = decode(few.astype(float) + slope, axis=0).transpose(1, 2, 0)
        return mean_distance(ab, first.ab) - 12

    least = np.inf
    for angle in np.arange(0, 2 * np.pi, 0.2):
        direction = np.array([np.cos(angle), np.sin(angle)])
        length = optimize.brentq(lambda t, d=direction: lack(t * d), 0, 1)
        least = min(least, divergence(few, length * direction))
    assert second.bits < 1.1 * least  # only 12 directions are tried


def test_there_are_no_more_than_are_likely(logits):
    found = most_likely(logits["coffee"][:, ::4, ::4], 50, distance=20)
    assert 1 < len(found) < 50
    assert max(one.bits for one in found) <= LEAST_LIKELY


def test_a_number_added_to_all_logits_changes_nothing(logits):
    few = logits["coffee"][:, ::4, ::4]
    for one, other in zip(most_likely(few + 2000, 3), most_likely(few, 3), strict=True):
        assert one.bits == pytest.approx(other.bits, rel=0.01)
        np.testing.assert_allclose(one.ab, other.ab, atol=0.2)


def test_where_the_network_is_sure_the_colour_stays():
    random = np.random.default_rng(0)
    logits = np.zeros((313, 8, 8), np.float32) + random.normal(0, 0.1, (313, 1, 1))
    logits[50, :, :4] = 100
    found = most_likely(logits.astype(np.float32), 4)
    assert len(found) > 1
    for one in found:
        np.testing.assert_allclose(one.ab[:, :4], np.broadcast_to(AB[50], (8, 4, 2)), atol=0.01)
    assert mean_distance(found[1].ab[:, 4:], found[0].ab[:, 4:]) > 23


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_a_network_that_is_sure_everywhere_has_one_colouring(scale):
    logits = np.zeros((313, 3, 4), np.float32)
    logits[100] = abs(scale)
    if scale < 0:
        logits -= abs(scale)
    (only,) = most_likely(logits, 5)
    np.testing.assert_array_equal(only.ab[0, 0], AB[100])


def test_a_rival_mode_is_the_second_colouring():
    logits = np.full((313, 4, 4), -50, np.float32)
    red, green = (int(np.square(AB - point).sum(1).argmin()) for point in ([60, 40], [-50, 40]))
    logits[red], logits[green] = 2, 1
    first, second, *_ = most_likely(logits, 2)
    assert np.abs(first.ab - AB[red]).max() < 10
    assert second.tilt[0] < 0
    assert second.ab[..., 0].max() < first.ab[..., 0].min() - 10


@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.sampled_from([(1, 1), (1, 5), (3, 2)]),
    scale=st.sampled_from([0.0, 1.0, 5.0, 1e4]),
    temperature=st.sampled_from([0, 0.01, 0.38, 1, 5]),
)
def test_any_logits_give_finite_ordered_colourings_twice_the_same(seed, shape, scale, temperature):
    random = np.random.default_rng(seed)
    logits = (scale * random.standard_normal((313, *shape))).astype(np.float32)
    found = most_likely(logits, 3, Decoding(temperature))
    assert 1 <= len(found) <= 3
    bits = [one.bits for one in found]
    assert bits == sorted(bits)
    for one, again in zip(found, most_likely(logits, 3, Decoding(temperature)), strict=True):
        assert np.isfinite(one.ab).all()
        np.testing.assert_array_equal(one.ab, again.ab)


def test_many_cells_are_thinned_in_the_search_only(logits):
    large = np.kron(logits["rocket"], np.ones((1, 2, 2), np.float32))
    for one, other in zip(most_likely(large, 3), most_likely(logits["rocket"], 3), strict=True):
        assert one.ab.shape == (*large.shape[1:], 2)
        np.testing.assert_allclose(one.ab[::2, ::2], other.ab, atol=1e-4)
