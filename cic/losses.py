"""Each loss once, in NumPy: what the backends are tested against."""

import numpy as np


def log_softmax(logits, axis=1):
    """Logarithm of the softmax over `axis`, any shape; finite for logits of any magnitude."""
    shifted = logits - logits.max(axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis, keepdims=True))


def cross_entropy(logits, index, weight):
    """Soft-label cross-entropy with sparse targets, a float: the mean over all N H W pixels.

    logits (N, Q, H, W); index (N, K, H, W) integer bins; weight (N, K, H, W), the soft encoding
    times the pixel's rebalancing weight (paper, equation 2). Only the K weights that are not zero
    are ever stored: a dense target would have Q = 313 of them.
    """
    picked = np.take_along_axis(log_softmax(logits), index.astype(np.int64), axis=1)
    return -(weight * picked).sum() / (logits.size / logits.shape[1])
