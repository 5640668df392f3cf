"""Each loss in NumPy: the backends are tested against these.

A loss is (total, count). The totals and counts of the parts of a batch add up, whichever process
has them, and the ratio of the sums is the loss. The count is the number of photos, or another
normaliser of the loss.
"""

from math import prod

import numpy as np

from cic.colour.bins import AB
from cic.colour.distributions import log_softmax, softmax
from cic.system.arrays import Array

FOCUS = 40.0  # slope of the focal mask's sigmoid (DLimage_colorization, main.py)


def cross_entropy(
    logits: Array, index: Array, weight: Array, distance: float = 0.0
) -> tuple[float, int]:
    """Return the soft-label cross-entropy with sparse targets: of each photo the mean over its H W
    pixels.

    logits (N, Q, H, W); index (N, K, H, W) integer bins; weight (N, K, H, W), the soft encoding
    times the pixel's rebalancing weight (paper, equation 2). Only the K weights that are not zero
    are ever stored: a dense target would have Q = 313 of them. `distance` is how much of
    `colour_distance` is added.
    """
    picked = np.take_along_axis(log_softmax(logits), index.astype(np.int64), axis=1)
    total = -(weight * picked).sum()
    if distance:
        total += distance * colour_distance(logits, index, weight)
    return total / prod(logits.shape[2:]), len(logits)


def colour_distance(logits: Array, index: Array, weight: Array) -> float:
    """Return how far the mean of the predicted colours is from the true one, summed over all
    pixels.

    The true colour is the mean of the soft label. A pixel counts by the root of its rebalancing
    weight, half-way between the raw AuC, for which all count the same, and the balanced one.
    Distances are those of `smooth_distance`; shapes those of `cross_entropy`.
    """
    mean = np.einsum("nqhw,qc->nchw", softmax(logits), AB)
    pixel = weight.sum(1, keepdims=True)
    true = (weight[:, None] * AB.T[:, index].swapaxes(0, 1)).sum(2)
    true = true / np.maximum(pixel, np.finfo(np.float32).tiny)
    return (np.sqrt(pixel) * smooth_distance(mean - true, 1)).sum()


def smooth_distance(difference: Array, axis: int) -> Array:
    """Return sqrt(1 + |d|^2) - 1 of differences of ab, CIELAB units: smooth at 0; that axis becomes
    1.
    """
    return np.sqrt(1 + np.square(difference).sum(axis, keepdims=True)) - 1


def l2(prediction: Array, target: Array) -> tuple[float, int]:
    """Return the squared error: of each photo the mean over its numbers; both (N, 2, H, W), scaled
    ab.
    """
    return np.square(prediction - target).sum() / prod(target.shape[1:]), len(target)


def focal_l2(prediction: Array, target: Array, largest: float | None = None) -> tuple[float, float]:
    """Return the squared error weighed by how large it is, both (N, 2, H, W): a mean under a mask.

    The mask is sigmoid(40 (e / m - 1 / 2)) of the errors e and the largest of all, m, through
    which no gradient flows (DLimage_colorization, main.py, focal_loss): errors of less than half of
    it hardly count. The count is the mask's sum. `largest` is m if others have a part of the batch;
    of a batch that is computed in parts, one after the other, each has its own.
    """
    error = np.square(prediction - target)
    largest = error.max() if largest is None else largest
    relative = error / largest if largest else np.zeros_like(error)
    mask = 1 / (1 + np.exp(-FOCUS * (relative - 0.5)))
    return (error * mask).sum(), mask.sum()


def class_entropy(logits: Array, label: Array) -> tuple[float, int]:
    """Return the cross-entropy of classes: logits (N, classes), label (N,) integers."""
    picked = np.take_along_axis(log_softmax(logits), label[:, None].astype(np.int64), axis=1)
    return -picked.sum(), len(label)


# What a network must predict for each loss: see `networks.Network`.
NEEDS = {"cross_entropy": "bins", "l2": "ab", "focal_l2": "ab", "class_entropy": "classes"}
