"""Randomness as a function of where it is used, never a state."""

import numpy as np


def random_for(seed, first=0, second=0, third=0):
    """NumPy generator that is a function of its arguments alone: counter-based Philox.

    Each argument, 0 to 2^64 - 1, is a 64-bit word of the key or of the counter.
    """
    key = np.array([seed, first], np.uint64)
    counter = np.array([0, 0, second, third], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))
