"""Initial weights, drawn once from a neutral seeded source: both backends start from them."""

import zlib

import numpy as np

from cic.seeding import random_for


def initialize(network, seed=0):
    """Neutral state {name: float32 array} of an untrained network.

    Kernels: normal with variance 2 / fan-in (He et al. 2015, equation 10); the rest is what its
    layer says. Each kernel has its own random stream, keyed by its name, so that it does not depend
    on the other layers.
    """
    state = {}
    for layer in network.layers:
        for name, shape in (layer.parameters | layer.statistics).items():
            part = name.rpartition(".")[2]
            if part in layer.constants:
                state[name] = np.full(shape, layer.constants[part], np.float32)
            else:
                draw = random_for(seed, zlib.crc32(name.encode())).standard_normal(shape)
                state[name] = (draw * np.sqrt(2 / layer.fan_in)).astype(np.float32)
    return state
