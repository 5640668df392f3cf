"""Fold batch norms into the convolutions before them, and put them back as norms that change
nothing.

A folded network computes what the one with norms does in evaluation: norm(conv(x)) is a
convolution, its kernel scaled by weight / sqrt(running_var + epsilon) an output channel.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from cic.networks import Network
from cic.networks.layers import BatchNorm, Branches, Layer
from cic.system.arrays import Array, State


def without(layers: Iterable[Layer]) -> tuple[Layer, ...]:
    """Return the layers without batch norms; the convolution before each has a bias."""
    kept: list[Layer] = []
    for layer in layers:
        if isinstance(layer, BatchNorm):
            kept[-1] = replace(kept[-1], bias=True)
        elif isinstance(layer, Branches):
            kept.append(replace(layer, branches=tuple(map(without, layer.branches))))
        else:
            kept.append(layer)
    return tuple(kept)


def pairs(network: Network) -> list[tuple[Layer, BatchNorm]]:
    """Return [(convolution, batch norm behind it)] of a network."""
    flat = network.flat
    return [(flat[i - 1], norm) for i, norm in enumerate(flat) if isinstance(norm, BatchNorm)]


def folded(network: Network, arrays: Mapping[str, Array]) -> State:
    """Return {name: array} of the network without norms, from those of `network`; float32, from
    float64.

    A convolution that lacks an array is left out.
    """
    arrays = dict(arrays)
    for conv, norm in pairs(network):
        names = [f"{conv.name}.weight", *(f"{norm.name}.{part}" for part in norm.constants)]
        if all(name in arrays for name in names):
            weight, *parts = (arrays.pop(name).astype(np.float64) for name in names)
            scale, bias, mean, variance = parts
            scale = scale / np.sqrt(variance + norm.epsilon)
            kernel = weight * scale[:, None, None, None]
            arrays[f"{conv.name}.weight"] = kernel.astype(np.float32)
            arrays[f"{conv.name}.bias"] = (bias - mean * scale).astype(np.float32)
    return arrays


def unfolded(network: Network, arrays: Mapping[str, Array]) -> State:
    """Return {name: array} of `network` from those of the one without norms: these only add the
    bias.

    `folded` gives the same numbers back, to the bit.
    """
    arrays = dict(arrays)
    for conv, norm in pairs(network):
        bias = arrays.pop(f"{conv.name}.bias")
        still = {
            "weight": np.ones_like(bias),
            "bias": bias,
            "running_mean": np.zeros_like(bias),
            "running_var": np.full_like(bias, 1 - norm.epsilon),
        }
        arrays |= {f"{norm.name}.{part}": array for part, array in still.items()}
    return arrays
