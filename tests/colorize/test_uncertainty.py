"""cic.colorize.uncertainty: entropy against SciPy's and closed forms, the map against its scale."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from PIL import Image
from scipy import stats

import backends
from cic.colorize import enlarge
from cic.colorize.uncertainty import MOST, draw, entropy

VIRIDIS = colormaps["viridis"](np.arange(256), bytes=True)[:, :3]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0, 0.1, 1, 10, 1e4]))
def test_entropy_equals_scipys(seed, scale):
    logits = (scale * np.random.default_rng(seed).standard_normal((313, 2, 3))).astype(np.float32)
    shifted = logits.astype(float) - logits.max(0)
    expected = stats.entropy(np.exp(shifted), base=2, axis=0)
    found = entropy(logits)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(entropy(logits + np.float32(100)), expected, atol=1e-3)


def test_entropy_of_what_is_sure_halved_and_unknown():
    logits = np.full((313, 1, 3), -1e4, np.float32)
    logits[7, 0, 0] = 1e4
    logits[[7, 200], 0, 1] = 1e4
    logits[:, 0, 2] = 1e4
    np.testing.assert_allclose(entropy(logits), [[0, 1, np.log2(313)]], atol=1e-5)


def levels(picture):
    """The level, 0 to 255, of each pixel of a map; fails for a colour that is none of its own."""
    distance = np.abs(picture[:, :, None].astype(int) - VIRIDIS).sum(-1)
    assert not distance.min(-1).any()
    return distance.argmin(-1)


def test_the_maps_scale_is_fixed():
    for bits, level in ((0, 0), (MOST / 2, 128), (MOST, 255)):
        picture = draw(np.full((3, 4), bits, np.float32), 30, 40)
        assert picture.shape == (30, 40, 3)
        assert picture.dtype == np.uint8
        assert abs(levels(picture) - level).max() <= 1


def test_the_map_lies_on_the_photo():
    bits = np.random.default_rng(0).uniform(0, MOST, (16, 24)).astype(np.float32)
    found = levels(draw(bits, 64, 96)) * MOST / 255
    # Half a level, and one because neighbouring levels can be of one colour.
    np.testing.assert_allclose(found[::4, ::4], bits, atol=1.5 * MOST / 255)


def test_strips_of_the_map_meet_without_a_seam(monkeypatch):
    bits = np.random.default_rng(0).uniform(0, MOST, (16, 24)).astype(np.float32)
    whole = levels(draw(bits, 100, 96))
    monkeypatch.setattr(enlarge, "STRIP", 96 * 7)
    np.testing.assert_array_equal(levels(draw(bits, 100, 96)), whole)


def test_the_legend_comes_below_and_only_where_it_fits():
    bits = np.full((4, 8), 2, np.float32)
    picture = draw(bits, 400, 800)
    bare = draw(bits, 100, 191)
    assert picture.shape == (424, 800, 3)
    assert bare.shape == (100, 191, 3)
    assert (picture[:400] == picture[0, 0]).all()
    assert np.array_equal(picture[400, 0], VIRIDIS[0])
    assert np.array_equal(picture[400, -1], VIRIDIS[-1])
    assert (picture[400:] == 255).all(-1).any()  # white letters on the dark end
    assert (picture[400:] == 0).all(-1).any()
    assert draw(bits, 4000, 200).shape == (4000 + 24, 200, 3)
    assert draw(bits, 1, 1).shape == (1, 1, 3)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
@pytest.mark.both
def test_the_bundled_weights_know_something_but_not_all(photos, name):
    colorizer = backends.colorizer(backend="torch")
    bits = entropy(colorizer.output(Image.fromarray(photos[name])))
    assert 1 < bits.min() < bits.max() < MOST
