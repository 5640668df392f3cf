"""Metrics: closed-form cases, brute force, merging, and the command's errors."""

from itertools import pairwise

import numpy as np
import pytest

from cic import images, rebalance
from cic.bins import AB
from cic.encode import soft_encode
from cic.lab import rgb_to_lab
from cic.prior import default
from metric import auc


def brute_force(true, predicted, weights):
    """Percent, threshold by threshold, pixel by pixel."""
    error = np.sqrt(((true - predicted) ** 2).sum(-1)).ravel()
    share = [(weights * (error <= threshold)).sum() / weights.sum() for threshold in range(151)]
    return 100 * sum((a + b) / 2 for a, b in pairwise(share)) / 150


def test_the_truth_is_a_hundred(photos):
    ab = rgb_to_lab(photos["coffee"])[..., 1:]
    measured = auc.AuC()
    measured.update(ab, ab)
    assert measured.compute() == pytest.approx({"raw": 100, "rebalanced": 100})


@pytest.mark.parametrize("error", [1, 30, 149, 150, 151, 200])
def test_one_error_everywhere_is_a_rectangle(error):
    true = np.zeros((5, 7, 2))
    measured = auc.AuC()
    measured.update(true, true + np.array([0, error]))
    expected = max(0, 150 - error + 0.5) / 150 * 100  # the step's own trapezoid is half
    assert measured.compute()["raw"] == pytest.approx(expected if error <= 150 else 0)


@pytest.mark.parametrize("name", ["coffee", "rocket"])
def test_gray_and_shuffled_colours_equal_brute_force(photos, name):
    true = rgb_to_lab(photos[name][::4, ::4])[..., 1:].astype(np.float64)
    shuffled = true[::-1, ::-1]
    weights = rebalance.weights(default(), 0).astype(np.float64)
    nearest = soft_encode(true, neighbors=1)[0].ravel()
    for predicted in (np.zeros_like(true), shuffled):
        measured = auc.AuC()
        measured.update(true, predicted)
        figures = measured.compute()
        assert figures["raw"] == pytest.approx(brute_force(true, predicted, np.ones(nearest.size)))
        expected = brute_force(true, predicted, weights[nearest])
        assert figures["rebalanced"] == pytest.approx(expected)


def test_shards_merge_to_the_whole(photos):
    pairs = [
        (p[..., :2].astype(float) - 128, p[..., 1:].astype(float) - 128) for p in photos.values()
    ]
    whole, left, right = auc.AuC(), auc.AuC(), auc.AuC()
    for i, pair in enumerate(pairs):
        whole.update(*pair)
        (left, right)[i % 2].update(*pair)
    left.merge(right)
    assert left.compute() == pytest.approx(whole.compute(), rel=1e-12)


def test_rare_colours_weigh_more():
    true = np.array([[0.0, 0.0], AB[0]])  # common gray, rare green
    gray, green = auc.AuC(), auc.AuC()
    gray.update(true, np.stack([true[0], true[1] + [100, 0]]))  # wrong where it is rare
    green.update(true, np.stack([true[0] + [100, 0], true[1]]))
    assert gray.compute()["raw"] == pytest.approx(green.compute()["raw"])
    assert gray.compute()["rebalanced"] < green.compute()["rebalanced"] - 20


def test_files_are_paired_by_path_and_stem(photos, tmp_path):
    images.write(tmp_path / "true" / "c" / "a.jpg", photos["coffee"])
    images.write(tmp_path / "made" / "c" / "a.png", photos["coffee"])
    ((photo, result),) = auc.pair_files(tmp_path / "true", tmp_path / "made")
    assert photo.endswith("c/a.jpg")
    assert result.endswith("c/a.png")
    images.write(tmp_path / "made" / "d" / "a.png", photos["coffee"])
    with pytest.raises(ValueError, match=r"d/a\.png"):
        auc.pair_files(tmp_path / "true", tmp_path / "made")


def test_other_sizes_are_named(photos, tmp_path):
    images.write(tmp_path / "true" / "a.png", photos["coffee"])
    images.write(tmp_path / "made" / "a.png", photos["coffee"][:50])
    pairs = auc.pair_files(tmp_path / "true", tmp_path / "made")
    with pytest.raises(ValueError, match=r"a\.png"):
        auc.measure(pairs)
