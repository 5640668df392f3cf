"""cic.losses against dense float64 formulas, and both backends against cic.losses."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from cic import losses
from cic.bins import COUNT
from cic.encode import soft_encode
from cic.losses import log_softmax


def mean(loss):
    """The loss that (total, count) stand for."""
    total, count = loss
    return total / count


def cross_entropy(*batch):
    return mean(losses.cross_entropy(*batch))


def a_batch(seed=0, photos=2, height=3, width=4, neighbors=5, size=3.0):
    """(logits float32, index int16, weight float32) of a random batch, with pixel weights."""
    rng = np.random.default_rng(seed)
    logits = (size * rng.normal(size=(photos, COUNT, height, width))).astype(np.float32)
    index, weight = soft_encode(rng.uniform(-100, 100, (photos, height, width, 2)), neighbors)
    weight *= rng.uniform(0, 5, (photos, height, width, 1)).astype(np.float32)
    return logits, index.transpose(0, 3, 1, 2), weight.transpose(0, 3, 1, 2)


def dense_cross_entropy(logits, index, weight):
    """Equation 2 of the paper: minus target times log probability, all 313 bins, pixel by pixel."""
    photos, _, height, width = logits.shape
    total = 0.0
    for n, y, x in np.ndindex(photos, height, width):
        scores = logits[n, :, y, x].astype(float)
        target = np.zeros(COUNT)
        target[index[n, :, y, x]] = weight[n, :, y, x]
        total -= target @ (scores - special.logsumexp(scores))
    return total / (photos * height * width)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(*[st.integers(1, 3)] * 3),
    neighbors=st.sampled_from([1, 5, 10, 313]),
    size=st.sampled_from([0.0, 0.1, 3, 30]),
)
def test_equals_the_dense_formula(seed, shape, neighbors, size):
    batch = a_batch(seed, *shape, neighbors, size)
    expected = dense_cross_entropy(*batch)
    assert abs(cross_entropy(*batch) - expected) <= 1e-6 * max(1, abs(expected))


def test_equal_logits_cost_the_logarithm_of_313_times_the_weight():
    logits, index, weight = a_batch(size=0)
    expected = np.log(313) * weight.sum(1).mean()
    assert cross_entropy(logits, index, weight) == pytest.approx(expected, rel=1e-6)


def test_weight_0_costs_nothing():
    logits, index, weight = a_batch()
    assert cross_entropy(logits, index, 0 * weight) == 0


def test_a_certain_right_answer_costs_nothing_and_a_wrong_one_its_distance():
    logits = np.zeros((1, COUNT, 1, 1), np.float32)
    logits[0, 7] = 1000
    weight = np.ones((1, 1, 1, 1), np.float32)
    assert cross_entropy(logits, np.full((1, 1, 1, 1), 7, np.int16), weight) == 0
    assert cross_entropy(logits, np.full((1, 1, 1, 1), 8, np.int16), weight) == 1000


@pytest.mark.parametrize("size", [1e4, 1e30])
def test_huge_logits_stay_finite(size):
    logits, index, weight = a_batch()
    logits = np.sign(logits) * np.float32(size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = cross_entropy(logits, index, weight)
    assert np.isfinite(loss)
    assert loss == pytest.approx(dense_cross_entropy(logits, index, weight), rel=1e-5)


def test_a_constant_added_to_all_logits_changes_nothing():
    logits, index, weight = a_batch()
    assert cross_entropy(logits.round() + 64, index, weight) == pytest.approx(
        cross_entropy(logits.round(), index, weight), rel=1e-6
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_log_softmax_equals_scipys_on_any_axis(axis):
    logits = np.random.default_rng(0).normal(size=(3, 4, 5)) * 10
    expected = special.log_softmax(logits, axis)
    assert np.abs(log_softmax(logits, axis) - expected).max() < 1e-12


def test_inputs_are_left_alone():
    batch = a_batch()
    copies = [array.copy() for array in batch]
    cross_entropy(*batch)
    for array, copy in zip(batch, copies, strict=True):
        assert np.array_equal(array, copy)
