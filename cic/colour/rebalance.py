"""Class rebalancing: rare colours weigh more (paper, section 2.2, equations 3 and 4)."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cic.colour.bins import AB, COUNT
from cic.colour.distributions import soft_encode
from cic.system.arrays import Array, Doubles, Floats
from cic.system.errors import SettingError

GRAY_BELOW = 5.0  # an image whose |ab| never exceeds this is gray (authors' NonGrayMaskLayer)


def count(ab: ArrayLike) -> NDArray[np.int64]:
    """Return the number of pixels of (..., 2) ab nearest to each bin, (313,) int64."""
    return np.bincount(soft_encode(ab, neighbors=1)[0].ravel(), minlength=COUNT)


def smooth(counts: ArrayLike, sigma: float = 5.0) -> Doubles:
    """Return the prior (313,) float64 summing to 1: counts (313,) blurred by the soft encoding's
    Gaussian.

    Every bin's mass spreads over all bins by exp(-d^2 / 2 sigma^2), none is lost.
    Raises ValueError for another shape, a negative count or none at all.
    """
    counts = np.asarray(counts, np.float64)
    if counts.shape != (COUNT,) or not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
        raise ValueError(f"counts must be {COUNT} numbers, none negative, some positive")
    kernel = np.exp(np.square(AB[:, None] - AB).sum(-1, dtype=np.float64) / (-2 * sigma**2))
    prior = counts @ (kernel / kernel.sum(1, keepdims=True))
    return prior / prior.sum()


def weights(prior: ArrayLike, gamma: float = 0.5) -> Floats:
    """Return the weight of each bin, (313,) float32: ((1 - gamma) p + gamma / 313)^-1, scaled to
    sum(p w) = 1.

    `gamma` is the share of the uniform distribution (lambda in the paper): 1 leaves every weight
    at 1, 0 is the bare inverse.
    Raises ValueError for a prior that does not sum to 1, a gamma outside 0 to 1, or an empty bin
    at gamma 0.

    >>> from cic.colour import prior
    >>> found = weights(prior.default())
    >>> int(found.argmin()) == int(count([0.0, 0.0]).argmax())  # gray is the commonest
    True
    """
    prior = np.asarray(prior, np.float64)
    if prior.shape != (COUNT,) or not (prior >= 0).all() or abs(prior.sum() - 1) > 1e-4:
        raise ValueError(f"prior must be {COUNT} shares that sum to 1")
    if not 0 <= gamma <= 1:
        raise SettingError(f"gamma is {gamma}; it must lie in 0 to 1")
    mixed = (1 - gamma) * prior + gamma / COUNT
    if not mixed.all():
        raise SettingError("the prior has an empty bin: smooth it, or take gamma above 0")
    inverse = 1 / mixed
    return (inverse / (prior @ inverse)).astype(np.float32)


def limited(bin_weights: Floats, prior: ArrayLike, limit: float) -> Floats:
    """Return `weights` (313,) float32, none above `limit`, scaled again to sum(p w) = 1; 0 is no
    limit.

    What the clipping takes is made up for by all, so that the greatest comes out a little above
    the limit, and the learning rate means the same as without.
    Raises ValueError for a limit below 0.
    """
    if not limit >= 0:
        raise SettingError(f"limit is {limit}; it must be 0 or above")
    if not limit:
        return bin_weights
    clipped = np.minimum(bin_weights, limit, dtype=np.float64)
    return (clipped / (np.asarray(prior, np.float64) @ clipped)).astype(np.float32)


def is_gray(ab: Array) -> bool:
    """Return whether no pixel of (..., 2) ab exceeds 5 units either way: it has no colour to
    teach.
    """
    return bool(np.abs(ab).max(initial=0) <= GRAY_BELOW)
