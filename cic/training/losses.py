"""Each loss once, in NumPy: what the backends are tested against.

A loss is (total, count): those of the parts of a batch add up, whichever process has them, and the
ratio of the sums is the loss. The count is the number of photos, or what a loss is normalised by.
"""

from math import prod

import numpy as np

from cic.colour.distributions import log_softmax
from cic.system.arrays import Array

FOCUS = 40.0  # slope of the focal mask's sigmoid (DLimage_colorization, main.py)


def cross_entropy(logits: Array, index: Array, weight: Array) -> tuple[float, int]:
    """Soft-label cross-entropy with sparse targets: of each photo the mean over its H W pixels.

    logits (N, Q, H, W); index (N, K, H, W) integer bins; weight (N, K, H, W), the soft encoding
    times the pixel's rebalancing weight (paper, equation 2). Only the K weights that are not zero
    are ever stored: a dense target would have Q = 313 of them.
    """
    picked = np.take_along_axis(log_softmax(logits), index.astype(np.int64), axis=1)
    return -(weight * picked).sum() / prod(logits.shape[2:]), len(logits)


def l2(prediction: Array, target: Array) -> tuple[float, int]:
    """Squared error: of each photo the mean over its numbers; both (N, 2, H, W), scaled ab."""
    return np.square(prediction - target).sum() / prod(target.shape[1:]), len(target)


def focal_l2(prediction: Array, target: Array, largest: float | None = None) -> tuple[float, float]:
    """Squared error weighed by how large it is, both (N, 2, H, W): a mean under a mask.

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
    """Cross-entropy of classes: logits (N, classes), label (N,) integers."""
    picked = np.take_along_axis(log_softmax(logits), label[:, None].astype(np.int64), axis=1)
    return -picked.sum(), len(label)


# What a network must predict for each loss: see `networks.Network`.
NEEDS = {"cross_entropy": "bins", "l2": "ab", "focal_l2": "ab", "class_entropy": "classes"}
