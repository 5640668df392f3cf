"""Averaging over a shot, and where a shot begins."""

import numpy as np
import pytest
from PIL import Image

from cic.colorize.smoothing import MOTION, Shots, Smoother, cell_means
from cic.colour.lab import lightness


def light_of(picture, shift=0, size=(32, 48)):
    """(H, W) lightness of a part of a photograph, moved by a share of its width."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    wide = image.width * 0.7
    left = shift * image.width
    box = (left, 0, left + wide, wide * size[0] / size[1])
    return lightness(np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC, box)))


@pytest.fixture
def values():
    """Noise around one value, (20, 3, 8, 12) float32."""
    return np.random.default_rng(0).normal(5, 1, (20, 3, 8, 12)).astype(np.float32)


def test_a_still_shot_is_a_running_mean(photos, values):
    smoother, light = Smoother(0.75), light_of(photos["coffee"])
    mean = values[0]
    for one in values:
        mean = 0.75 * mean + 0.25 * one
        np.testing.assert_allclose(smoother(one, light), mean, rtol=1e-5)
    assert not smoother.cut


def test_nothing_is_smoothed_at_0(photos, values):
    smoother, light = Smoother(0), light_of(photos["coffee"])
    for one in values:
        assert smoother(one, light) is one


def test_probabilities_stay_probabilities(photos, values):
    shares = np.exp(values) / np.exp(values).sum(1, keepdims=True)
    smoother = Smoother(0.8)
    for step, one in enumerate(shares):
        smooth = smoother(one, light_of(photos["coffee"], 0.002 * step))
        np.testing.assert_allclose(smooth.sum(0), 1, rtol=1e-5)
        assert smooth.min() >= 0


def test_a_cut_is_given_back_as_it_came_and_forgets_what_was(photos, values):
    smoother = Smoother(0.9)
    for one in values[:10]:
        smoother(one, light_of(photos["coffee"]))
    first = smoother(values[10], light_of(photos["chelsea"]))
    assert smoother.cut
    np.testing.assert_array_equal(first, values[10])
    second = smoother(values[11], light_of(photos["chelsea"]))
    np.testing.assert_allclose(second, 0.9 * values[10] + 0.1 * values[11], rtol=1e-5)


def test_what_moves_keeps_no_colour_of_what_was_there(photos, values):
    """One cell changes its lightness; by MOTION it keeps 1/e of the weight, by much more none."""
    light = light_of(photos["coffee"])
    for change, kept in ((MOTION, np.exp(-1)), (5 * MOTION, 0)):
        smoother, moved = Smoother(0.8), light.copy()
        moved[8:12, 16:20] += change
        smoother(values[0], light)
        smooth = smoother(values[1], moved)
        weight = np.full((8, 12), 0.8)
        weight[2, 4] *= kept
        expected = values[1] + weight * (values[0] - values[1])
        np.testing.assert_allclose(smooth, expected, atol=1e-5)


def test_a_lamp_is_no_motion(photos, values):
    smoother, light = Smoother(0.8), light_of(photos["coffee"])
    smoother(values[0], light)
    smooth = smoother(values[1], light + 12)
    np.testing.assert_allclose(smooth, 0.8 * values[0] + 0.2 * values[1], atol=1e-5)


def test_frames_of_another_size_begin_anew(photos, values):
    smoother = Smoother(0.8)
    smoother(values[0], light_of(photos["coffee"]))
    smoother(values[1][:, :, :6], light_of(photos["coffee"])[:, :24])
    assert smoother.cut


@pytest.mark.parametrize("smoothing", [-0.1, 1, 1.5, float("nan")])
def test_a_weight_that_cannot_be_is_refused(smoothing):
    with pytest.raises(ValueError, match="smoothing is"):
        Smoother(smoothing)


def begins(frames):
    shots = Shots()
    return [index for index, frame in enumerate(frames) if shots(frame)]


def test_pans_grain_and_lamps_are_no_cuts(photos):
    random = np.random.default_rng(0)
    for photo in photos.values():
        for speed in (0.005, 0.02):
            frames = [light_of(photo, speed * k) for k in range(12)]
            assert begins(frames) == [0]
        noisy = [
            np.clip(frames[0] * random.uniform(0.75, 1.25) + random.normal(0, 6, (32, 48)), 0, 100)
            for _ in range(12)
        ]
        assert begins(noisy) == [0]


def test_every_cut_is_found_in_stills_and_in_pans(photos):
    for one in photos.values():
        for other in photos.values():
            if one is other:
                continue
            for speed in (0, 0.01):
                frames = [light_of(p, speed * k) for p in (one, other) for k in range(6)]
                assert begins(frames) == [0, 6]


def test_a_fade_from_black_begins_a_shot_and_black_alone_is_none(photos):
    light = light_of(photos["rocket"])
    random = np.random.default_rng(0)
    black = [random.uniform(0, 1, (32, 48)).astype(np.float32) for _ in range(5)]
    assert begins([*black, light, light]) == [0, 5]


def test_cells_are_means():
    plane = np.arange(48.0).reshape(4, 12)
    np.testing.assert_array_equal(cell_means(plane, (1, 3)), [[19.5, 23.5, 27.5]])
