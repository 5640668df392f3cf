"""Initial weights, drawn once from a neutral seeded source: both backends start from them."""

import zlib

import numpy as np


def random_for(seed, first=0, second=0, third=0):
    """NumPy generator that is a function of its arguments alone: counter-based Philox.

    Each argument, 0 to 2^64 - 1, is a 64-bit word of the key or of the counter.
    """
    key = np.array([seed, first], np.uint64)
    counter = np.array([0, 0, second, third], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


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
