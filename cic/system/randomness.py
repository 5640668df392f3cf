"""Randomness as a function of where it is used, never a state."""

import zlib

import numpy as np

from cic.system.arrays import Array, Integers

NOISE = 3  # the last word of this random stream; see dataset.ORDER and sample.STREAM


def random_for(seed: int, first: int = 0, second: int = 0, third: int = 0) -> np.random.Generator:
    """Return the NumPy generator that is a function of its arguments alone: counter-based Philox.

    Each argument, 0 to 2^64 - 1, is a 64-bit word of the key or of the counter.
    """
    key = np.array([seed, first], np.uint64)
    counter = np.array([0, 0, second, third], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def noise_of(seed: int, epoch: int, photo: int) -> int:
    """Return the number from which whatever is random in a network follows, as it sees a photo, an
    int.
    """
    return int(random_for(seed, epoch, photo, NOISE).integers(0, 2**63))


def dropout_factors(noise: Integers, name: str, shape: tuple[int, ...], rate: float) -> Array:
    """Return Dropout's factors (N, *shape) float32 for photos of `noise` (N,): 0 or 1 / (1 - rate).

    They depend on nothing but each photo's noise and the layer's name, so that every backend, and
    any number of processes, drops the same.
    """
    layer = zlib.crc32(name.encode())
    drawn = [random_for(one, layer).random(shape, np.float32) for one in noise.tolist()]
    return (np.reshape(drawn, (len(noise), *shape)) >= rate) / np.float32(1 - rate)
