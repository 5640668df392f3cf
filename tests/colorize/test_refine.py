"""One colour for one thing, and darks without a tint."""

import numpy as np
import pytest

from cic import networks
from cic.colorize.colorizer import Decoder
from cic.colorize.refine import PASSES, STEP, even, refine
from cic.colorize.settings import Settings


@pytest.fixture
def cells():
    """(ab, L) of 12 x 9 cells."""
    rng = np.random.default_rng(0)
    ab = rng.normal(0, 30, (12, 9, 2)).astype(np.float32)
    return ab, rng.uniform(0, 100, (12, 9)).astype(np.float32)


def drawn(lines, light, weight):
    """Lines (n, m, 2) drawn together along the first axis, each by the normal equations."""
    out = np.empty(lines.shape)
    for k in range(lines.shape[1]):
        bonds = weight * np.exp(-np.abs(np.diff(light[:, k].astype(float))) / STEP)
        step = np.diff(np.eye(len(lines)), axis=0)
        out[:, k] = np.linalg.solve(np.eye(len(lines)) + step.T * bonds @ step, lines[:, k])
    return out


def test_passes_solve_each_line(cells):
    ab, light = cells
    expected = ab.astype(float)
    for number in range(PASSES):
        weight = 50 * 1.5 * 4 ** (PASSES - 1 - number) / (4**PASSES - 1)
        expected = drawn(expected.swapaxes(0, 1), light.T, weight).swapaxes(0, 1)
        expected = drawn(expected, light, weight)
    np.testing.assert_allclose(even(ab, light, 50), expected, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 3)])
def test_one_colour_stays_as_it_is_on_any_grid(shape):
    ab = np.broadcast_to(np.float32([20, -30]), (*shape, 2))
    light = np.random.default_rng(0).uniform(0, 100, shape).astype(np.float32)
    np.testing.assert_allclose(even(ab, light, 10000), ab, rtol=1e-4)


def test_two_things_keep_a_colour_each():
    light = np.full((16, 16), 30, np.float32)
    light[:, 8:] = 70
    ab = np.where(light[..., None] < 50, np.float32([20, 0]), np.float32([0, -20]))
    noise = np.random.default_rng(0).normal(0, 8, ab.shape).astype(np.float32)
    found = even(ab + noise, light, 1000)
    for side in (slice(0, 8), slice(8, 16)):
        thing = found[:, side]
        assert thing.std((0, 1)).max() < 0.5
        np.testing.assert_allclose(thing.mean((0, 1)), (ab + noise)[:, side].mean((0, 1)), atol=0.1)


def test_darks_fade_in_proportion_to_their_lightness():
    light = np.float32([[0, 10, 40, 80]])
    ab = np.broadcast_to(np.float32([10, -20]), (1, 4, 2))
    found = refine(ab, light, 0, 40)
    np.testing.assert_allclose(found[0, :, 0], [0, 2.5, 10, 10])
    np.testing.assert_allclose(found[0, :, 1], [0, -5, -20, -20])


def test_weak_colours_turn_gray_the_more_the_lighter():
    ab = np.float32([[[3, 4], [6, 8], [0, -50], [3, 4], [3, 4]]])
    light = np.float32([[50, 75, 50, 87.5, 100]])
    found = refine(ab, light, tint=5)
    np.testing.assert_allclose(found[0, :3], [[1.5, 2], [4.8, 6.4], [0, -50 / 1.01]], rtol=1e-6)
    np.testing.assert_allclose(found[0, 3:], [[0.6, 0.8], [0.3, 0.4]], rtol=1e-6)
    assert found.dtype == np.float32


def test_tint_leaves_gray_and_the_hue(cells):
    ab, light = cells
    ab = np.concatenate([ab, np.zeros_like(ab)])
    found = refine(ab, np.concatenate([light, light]), tint=8)
    assert not found[len(light) :].any()
    cross = ab[..., 0] * found[..., 1] - ab[..., 1] * found[..., 0]
    assert np.abs(cross).max() < 1e-3


def test_nothing_is_done_unless_it_is_asked_for(cells):
    ab, light = cells
    assert refine(ab, light) is ab


def test_a_decoder_refines_as_its_settings_say(cells):
    _, light = cells
    logits = np.random.default_rng(1).normal(0, 3, (313, 12, 9)).astype(np.float32)
    network = networks.get("cic", width=0.05)
    plain, refined = (
        Decoder(network, s) for s in (Settings(), Settings(evenness=30, fade=60, tint=4))
    )
    ab = plain.ab_of(logits, light)
    np.testing.assert_array_equal(ab, plain.decoded(logits))
    np.testing.assert_array_equal(refined.ab_of(logits, light), refine(ab, light, 30, 60, 4))


def test_saturation_scales_what_is_refined(cells):
    _, light = cells
    logits = np.random.default_rng(2).normal(0, 3, (313, 12, 9)).astype(np.float32)
    settings = Settings(evenness=30, fade=60, tint=4)
    one, two = (
        Decoder(networks.get("cic", width=0.05), settings.but(saturation=s)).ab_of(logits, light)
        for s in (1, 2)
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "change", [{"evenness": -1}, {"evenness": 1e5}, {"fade": 101}, {"fade": "a"}, {"tint": -1}]
)
def test_settings_that_cannot_be_are_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Settings(**change)
