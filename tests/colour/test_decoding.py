"""decoding: each dial against its definition, the median against a search for the minimum."""

import numpy as np
import pytest
from scipy import optimize, special

from cic.colour import prior, rebalance
from cic.colour.bins import AB
from cic.colour.decoding import ANNEALED_MEAN, MEDIAN, SOFT, Decoding, median
from cic.colour.distributions import decode
from cic.colour.lab import lightness, recolor, rgb_to_lab

WEIGHTS = rebalance.weights(prior.default(), 0.6)


def guesses(photos, name, scale=300):
    """Logits (313, h, w) that hold the truth likely, with noise, as a network's; and the truth."""
    true = rgb_to_lab(photos[name][::16, ::16])[..., 1:]
    distance = np.square(true[..., None, :] - AB).sum(-1)
    noise = np.random.default_rng(0).standard_normal(distance.shape)
    return (1.5 * noise - distance / scale).transpose(2, 0, 1).astype(np.float32), true


def few_colours(count, seed=0):
    """Logits (313, count, 1) of distributions of 2 to 6 bins anywhere."""
    random = np.random.default_rng(seed)
    share = np.full((313, count), 1e-12)
    for column in share.T:
        chosen = random.choice(313, random.integers(2, 7), replace=False)
        column[chosen] = random.random(len(chosen)) ** 2
    return np.log(share)[..., None].astype(np.float32)


def distance_of(share, ab):
    """Mean over the bins of the distance from ab (2,), as `median` defines it."""
    return share @ np.sqrt(np.square(AB - ab).sum(1) + SOFT**2)


def test_the_annealed_mean_is_the_base_case(photos):
    logits, _ = guesses(photos, "coffee")
    expected = decode(logits, 0.38, axis=0).transpose(1, 2, 0)
    np.testing.assert_array_equal(ANNEALED_MEAN(logits), expected)
    np.testing.assert_array_equal(Decoding(0)(logits), AB[logits.argmax(0)])
    np.testing.assert_array_equal(Decoding(0, statistic=MEDIAN)(logits), AB[logits.argmax(0)])


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_saturation_is_a_factor_of_colour_and_changes_nothing_else(photos, statistic):
    logits, _ = guesses(photos, "coffee")
    plain = Decoding(0.6, statistic=statistic)(logits)
    vivid = Decoding(0.6, saturation=3.0, statistic=statistic)(logits)
    np.testing.assert_allclose(vivid, 3 * plain, rtol=1e-6)
    photo = photos["coffee"][::16, ::16]
    shown = recolor(photo, vivid)  # most of it is outside sRGB
    assert np.abs(lightness(shown) - lightness(photo)).max() < 0.7
    chroma = [np.hypot(*rgb_to_lab(recolor(photo, ab))[..., 1:].T).mean() for ab in (plain, vivid)]
    assert chroma[1] > 1.2 * chroma[0]


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_what_rebalancing_did_is_taken_back(statistic):
    logits = few_colours(50)
    weighed = logits + np.log(WEIGHTS)[:, None, None]
    undone = Decoding(1.0, unweight=1.0, statistic=statistic, bin_weights=WEIGHTS)
    expected = Decoding(1.0, statistic=statistic)(logits)
    np.testing.assert_allclose(undone(weighed), expected, atol=0.02)
    half = Decoding(1.0, unweight=0.5, statistic=statistic, bin_weights=WEIGHTS)(logits)
    by_hand = logits - 0.5 * np.log(WEIGHTS)[:, None, None]
    expected = Decoding(1.0, statistic=statistic)(by_hand)
    np.testing.assert_allclose(half, expected, atol=0.02)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
@pytest.mark.parametrize("temperature", [0.38, 1.0])
def test_the_median_of_photos_is_the_least_mean_distance(photos, name, temperature):
    logits = guesses(photos, name)[0][:, ::4, ::4]
    found = median(logits, temperature).reshape(2, -1).T
    share = special.softmax(logits.reshape(313, -1).T.astype(float) / temperature, axis=1)
    for one, ab in zip(share, found):
        best = optimize.minimize(lambda ab, p=one: distance_of(p, ab), one @ AB, tol=1e-9)
        assert np.abs(ab - best.x).max() < 0.05


def test_the_median_of_hard_cases_is_no_further_than_any_point_of_a_fine_grid():
    logits = few_colours(60)
    found = median(logits)[..., 0].T
    share = special.softmax(logits[..., 0].T.astype(float), axis=1)
    a, b = np.meshgrid(np.arange(-90, 100, 2), np.arange(-110, 110, 2), indexing="ij")
    points = np.concatenate([AB, np.stack([a.ravel(), b.ravel()], axis=1)])
    distances = np.sqrt(np.square(points[:, None] - AB).sum(-1) + SOFT**2)
    for one, ab in zip(share, found):
        assert distance_of(one, ab) <= (distances @ one).min() * 1.002


def test_the_median_is_nearer_than_the_mean_to_what_it_may_be(photos):
    logits, _ = guesses(photos, "coffee", 900)
    share = special.softmax(logits.reshape(313, -1).T.astype(float), axis=1)
    expected = {}
    for statistic in ("mean", "median"):
        ab = Decoding(1.0, statistic=statistic)(logits).reshape(-1, 2)
        distance = np.hypot(*(ab[:, None] - AB).transpose(2, 0, 1))
        expected[statistic] = (share * distance).sum(1)
    assert (expected["median"] < expected["mean"] + 0.02).all()
    assert expected["median"].mean() < expected["mean"].mean() - 0.1


def test_one_colour_is_its_own_median_and_two_meet_between():
    logits = np.full((313, 1, 2), -100, np.float32)
    logits[40, 0, 0] = 0
    logits[[40, 300], 0, 1] = 0
    only, between = median(logits)[:, 0].T
    assert np.abs(only - AB[40]).max() < 0.02
    along = (between - AB[40]) @ (AB[300] - AB[40]) / np.square(AB[300] - AB[40]).sum()
    assert 0 <= along <= 1
    np.testing.assert_allclose(between, AB[40] + along * (AB[300] - AB[40]), atol=0.05)


@pytest.mark.parametrize("statistic", ["mean", "median"])
def test_a_decoding_is_the_same_twice_and_leaves_its_input_alone(photos, statistic):
    logits, _ = guesses(photos, "rocket")
    before = logits.copy()
    one = Decoding(0.6, 1.1, 0.3, statistic, WEIGHTS)
    first = one(logits)
    assert first.dtype == np.float32
    assert first.shape == (*logits.shape[1:], 2)
    np.testing.assert_array_equal(one(logits), first)
    np.testing.assert_array_equal(logits, before)


def test_the_medians_are_those_of_any_layout(photos):
    logits, _ = guesses(photos, "rocket")
    other = np.ascontiguousarray(logits.transpose(1, 2, 0)).transpose(2, 0, 1)
    np.testing.assert_array_equal(median(other), median(logits))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1}, "temperature is -1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"saturation": "1"}, "saturation is '1'"),
        ({"saturation": 11}, "number from 0 to 10"),
        ({"unweight": 1.5, "bin_weights": WEIGHTS}, "unweight is 1.5"),
        ({"unweight": True}, "unweight is True"),
        ({"unweight": 0.5}, "do not say how their training weighed colours"),
        ({"statistic": "mode"}, "statistic is 'mode'; there are mean, median"),
        ({"bin_weights": WEIGHTS[1:]}, "313 numbers above 0"),
        ({"bin_weights": 0 * WEIGHTS}, "313 numbers above 0"),
    ],
)
def test_what_cannot_be_is_one_line(wrong, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**wrong)
