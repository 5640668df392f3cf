"""losses against dense float64 formulas, and both backends against losses."""

import warnings
from functools import partial

import numpy as np
import paddle
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

import backends
from cic.colour.bins import AB, COUNT
from cic.colour.distributions import log_softmax, soft_encode
from cic.training import losses

VARIANTS = [*((name, {}) for name in losses.NEEDS), ("cross_entropy", {"distance": 0.3})]


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


def test_the_colour_distance_is_its_formula_pixel_by_pixel():
    logits, index, weight = a_batch()
    expected = 0.0
    for n, y, x in np.ndindex(*np.delete(logits.shape, 1)):
        mean = special.softmax(logits[n, :, y, x].astype(float)) @ AB
        own = weight[n, :, y, x].astype(float)
        true = own @ AB[index[n, :, y, x]] / own.sum()
        expected += np.sqrt(own.sum()) * (np.sqrt(1 + np.square(mean - true).sum()) - 1)
    assert losses.colour_distance(logits, index, weight) == pytest.approx(expected, rel=1e-5)
    plain = losses.cross_entropy(logits, index, weight)
    both = losses.cross_entropy(logits, index, weight, distance=0.3)
    assert both[0] - plain[0] == pytest.approx(0.3 * expected / 12, rel=1e-5)


def test_a_pixel_without_weight_has_no_colour_to_be_far_from():
    logits, index, weight = a_batch()
    weight[0] = 0
    expected = losses.colour_distance(logits[1:], index[1:], weight[1:])
    assert losses.colour_distance(logits, index, weight) == pytest.approx(expected, rel=1e-6)
    assert losses.colour_distance(logits, index, 0 * weight) == 0


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


def pair(seed=0, photos=3, side=5, size=0.1):
    """(prediction, target) float32 of scaled ab, (photos, 2, side, side)."""
    rng = np.random.default_rng(seed)
    target = rng.uniform(0.3, 0.7, (photos, 2, side, side))
    return tuple(
        a.astype(np.float32) for a in (target + size * rng.normal(size=target.shape), target)
    )


def published_focal(prediction, target):
    """DLimage_colorization's definition, pixel by pixel in float64."""
    errors = [(float(p) - float(t)) ** 2 for p, t in zip(prediction.flat, target.flat)]
    masks = [special.expit(40 * (error / max(errors) - 0.5)) for error in errors]
    return sum(e * m for e, m in zip(errors, masks)) / sum(masks)


def test_l2_is_the_mean_over_all_numbers():
    prediction, target = pair()
    expected = np.square(prediction.astype(float) - target).mean()
    assert mean(losses.l2(prediction, target)) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=30)
@given(seed=st.integers(0, 1000), side=st.integers(1, 6), size=st.sampled_from([1e-3, 0.1, 3]))
def test_focal_l2_is_as_published(seed, side, size):
    batch = pair(seed, side=side, size=size)
    assert mean(losses.focal_l2(*batch)) == pytest.approx(published_focal(*batch), rel=1e-4)


def test_focal_l2_looks_at_the_largest_errors_alone():
    target = np.zeros((1, 2, 10, 10), np.float32)
    prediction = np.full_like(target, 0.1)
    prediction[0, 0, 0, 0] = 1
    assert mean(losses.focal_l2(prediction, target)) == pytest.approx(1, abs=1e-4)
    assert mean(losses.focal_l2(target, target)) == 0


def test_class_entropy_is_minus_the_logarithm_of_the_probability():
    logits = np.random.default_rng(0).normal(size=(4, 7)) * 5
    label = np.array([0, 6, 3, 3])
    expected = -special.log_softmax(logits, 1)[range(4), label].mean()
    assert mean(losses.class_entropy(logits, label)) == pytest.approx(expected, rel=1e-12)


def cases():
    logits = np.random.default_rng(1).normal(size=(3, 9)).astype(np.float32)
    return {
        "cross_entropy": a_batch(),
        "l2": pair(),
        "focal_l2": pair(size=0.5),
        "class_entropy": (logits, np.array([8, 0, 4])),
    }


def of_all(name, batch):
    """What a loss must know of the whole batch to be that of a part of it."""
    return {"largest": np.square(batch[0] - batch[1]).max()} if name == "focal_l2" else {}


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_parts_of_a_batch_add_up(name, options):
    batch, loss = cases()[name], partial(getattr(losses, name), **options)
    parts = [loss(*(a[n : n + 1] for a in batch), **of_all(name, batch)) for n in range(2)]
    parts.append(loss(*(a[2:] for a in batch), **of_all(name, batch)))
    assert np.sum(parts, 0) == pytest.approx(loss(*batch), rel=1e-6)


def slope(loss, output, targets, step=1e-5):
    """Central differences of the total that a loss gives, as `output`."""
    found = np.empty(output.size)
    for n in range(output.size):
        move = np.zeros(output.size)
        move[n] = step
        move = move.reshape(output.shape)
        found[n] = (loss(output + move, *targets)[0] - loss(output - move, *targets)[0]) / 2 / step
    return found.reshape(output.shape)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_both_backends_equal_the_oracle_and_their_gradients_its_slope(name, options):
    """The mask of focal_l2 stays as it is: no gradient flows through it."""
    output, *targets = (
        np.asarray(a[:, :, :1, :2] if a.ndim == 4 else a, float if a.dtype.kind == "f" else None)
        for a in cases()[name]
    )
    oracle = partial(getattr(losses, name), **options)
    expected = oracle(output, *targets)
    if name == "focal_l2":
        error = np.square(output - targets[0])
        mask = special.expit(40 * (error / error.max() - 0.5))
        rises = 2 * (output - targets[0]) * mask
    else:
        rises = slope(oracle, output, targets)
    for framework in backends.available(trains=True):
        leaf, *rest = (as_tensor(framework, array) for array in (output, *targets))
        total, count = backends.get(framework).loss(name, **options)(leaf, *rest)
        assert total.item() == pytest.approx(expected[0], rel=1e-9)
        assert float(count) == pytest.approx(expected[1], rel=1e-9)
        total.backward()
        np.testing.assert_allclose(np.asarray(leaf.grad), rises, atol=1e-8)


def as_tensor(framework, array):
    """A tensor; of floats, one that gathers gradients."""
    if framework == "torch":
        tensor = torch.from_numpy(array.copy())
        return tensor.requires_grad_(array.dtype.kind == "f")
    return paddle.to_tensor(array, stop_gradient=array.dtype.kind != "f")
