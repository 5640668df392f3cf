"""cic.dataset.ageing: it looks old, and is still the photo."""

import numpy as np
import pytest

from cic.colour.lab import lightness
from cic.dataset import ageing
from cic.system.randomness import random_for

NAMES = ["blur", "tone", "uneven", "paper", "grain", "fade", "dust", "compress"]
EFFECTS = [getattr(ageing, name) for name in NAMES]


@pytest.fixture(scope="module")
def lights(photos):
    """L of squares of real photographs, (128, 128) float32."""
    squares = (photo[40:296:2, 60:316:2] for photo in photos.values())
    return [lightness(np.ascontiguousarray(square)) for square in squares]


def test_an_aged_photo_is_lightness_and_a_function_of_its_generator(lights):
    for n, light in enumerate(lights):
        before = light.copy()
        one, same, other = (ageing.age(light, random_for(1, key)) for key in (n, n, n + 9))
        assert one.shape == (128, 128)
        assert one.dtype == np.float32
        assert one.min() >= 0
        assert one.max() <= 100
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)
        assert np.array_equal(light, before)


def test_any_size_can_age():
    for size in (1, 8, 56, 177):
        for n in range(20):
            light = np.linspace(0, 100, size * size, dtype=np.float32).reshape(size, size)
            assert ageing.age(light, random_for(2, n)).shape == (size, size)


def test_the_scene_stays(lights, monkeypatch):
    """Whatever comes together, what is light stays light: ranks of 8 x 8 blocks correlate."""
    for often, least, usual in ((0.5, 0.8, 0.99), (1, 0.75, 0.93)):
        monkeypatch.setattr(ageing, "OFTEN", often)
        for light in lights:
            found = []
            for n in range(50):
                both = (light, ageing.age(light, random_for(3, n)))
                means = [one.reshape(16, 8, 16, 8).mean((1, 3)).ravel() for one in both]
                ranks = [mean.argsort().argsort() for mean in means]
                found.append(np.corrcoef(ranks)[0, 1])
            assert min(found) > least
            assert np.median(found) > usual


@pytest.mark.parametrize("effect", EFFECTS, ids=lambda effect: effect.__name__)
def test_each_effect_is_seen_and_moderate(lights, effect):
    change = []
    for light in lights:
        for n in range(30):
            values = light / np.float32(100)
            after = effect(values, random_for(4, n))
            assert after.dtype == np.float32
            change.append(np.sqrt(np.square(after - values).mean()))
    assert np.mean(np.array(change) > 1e-3) > 0.85  # now and then there is no dust
    assert np.median(change) > 0.004
    assert max(change) < 0.2


def test_each_effect_comes_in_half_of_the_pictures(monkeypatch):
    seen = {}
    for effect in EFFECTS:

        def noted(values, random, name=effect.__name__):
            seen[name] = seen.get(name, 0) + 1
            return values

        monkeypatch.setattr(ageing, effect.__name__, noted)
    for n in range(400):
        ageing.age(np.zeros((8, 8), np.float32), random_for(5, n))
    assert len(seen) == 8
    assert all(160 < count < 240 for count in seen.values())  # four standard deviations


@pytest.mark.parametrize("size", [1, 1.5, 2.0, 3.3, 5.0])
def test_noise_has_deviation_1_and_is_as_coarse_as_asked(size):
    fields = np.stack([ageing._noise((120, 128), size, random_for(6, n)) for n in range(20)])
    assert fields.shape == (20, 120, 128)
    assert abs(fields.mean()) < 0.05
    assert abs(fields.std() - 1) < 0.05
    alike = [(fields[..., n:] * fields[..., : 128 - n]).mean() for n in (1, int(np.ceil(2 * size)))]
    assert abs(alike[0]) < 0.02 if size == 1 else alike[0] > 0.25
    assert abs(alike[1]) < 0.15


def test_grain_spares_black_and_white():
    for value in (0, 1):
        values = np.full((32, 32), value, np.float32)
        assert np.array_equal(ageing.grain(values, random_for(7)), values)


def test_fading_narrows_the_range(lights):
    for n, light in enumerate(lights):
        values = light / np.float32(100)
        after = ageing.fade(values, random_for(8, n))
        assert values.min() < after.min() <= ageing.FADED + (1 - ageing.FADED) * values.min()
        assert after.max() < values.max()
        assert 0.55 <= np.ptp(after) / np.ptp(values) < 1


def test_compression_is_that_of_jpeg(lights):
    """Blocks of 8 x 8: the steps across their edges are larger than those inside."""
    edges, inside = 0.0, 0.0
    for n in range(10):
        after = ageing.compress(lights[0] / np.float32(100), random_for(9, n))
        steps = np.abs(np.diff(after, axis=1)) - np.abs(np.diff(lights[0] / 100, axis=1))
        across = np.arange(127) % 8 == 7
        edges += steps[:, across].mean()
        inside += steps[:, ~across].mean()
    assert edges > inside + 0.01
