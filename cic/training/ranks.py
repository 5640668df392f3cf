"""Rank the true class among a classifier's logits."""

import numpy as np

from cic.system.arrays import Array

RANKS = (1, 5)  # top-1 and top-5


def hits(logits: Array, labels: Array) -> list[int]:
    """Return the number of photos whose class is among the largest 1 and 5 logits, a list.

    logits (N, classes), labels (N,) integers from 0. Of equal logits the first is the larger.
    """
    own = np.take_along_axis(logits, labels[:, None], 1)
    before = np.arange(logits.shape[1]) < labels[:, None]
    rank = ((logits > own) | ((logits == own) & before)).sum(1)
    return [int((rank < limit).sum()) for limit in RANKS]
