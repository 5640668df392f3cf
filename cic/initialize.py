"""Initial weights, drawn once from a neutral seeded source: both backends start from them."""

import zlib

import numpy as np


def random_for(seed, *key):
    """NumPy generator that is a function of its arguments alone: counter-based Philox.

    `seed` (0 to 2^64 - 1) and up to three further integers each have their own 64-bit word.
    """
    first, second, third = (*key, 0, 0, 0)[:3]
    return np.random.Generator(np.random.Philox(key=[seed, first], counter=[0, 0, second, third]))


def initialize(network, seed=0):
    """Neutral state {name: float32 array} of an untrained network.

    Convolutions: normal with variance 2 / fan-in (He et al. 2015, equation 10), biases 0;
    norms: the identity, with statistics of mean 0 and variance 1. Each array has its own random
    stream, keyed by its name, so that it does not depend on the other layers.
    """
    state = {}
    for layer in network.layers:
        for name, shape in (layer.parameters | layer.statistics).items():
            if len(shape) == 4:
                draw = random_for(seed, zlib.crc32(name.encode())).standard_normal(shape)
                state[name] = (draw * np.sqrt(2 / layer.fan_in)).astype(np.float32)
            else:
                one = layer.statistics and name.endswith((".weight", ".running_var"))
                state[name] = np.full(shape, 1.0 if one else 0.0, np.float32)
    return state
