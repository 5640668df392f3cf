"""Bound the numbers inside a network for any photo, from its weights alone.

The output of a layer is at most what its absolute weights make of the bounds of its inputs. If that
stays within float32, no photo can lead to infinity or NaN, and nobody needs to look for them.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial, reduce
from typing import Any

import numpy as np

from cic.networks import layers, spectral
from cic.networks.network import Network
from cic.system.arrays import Array

SAFE = 1e30  # a hundred millionth of float32's largest: room for sums in any order
_BICUBIC = 4.0  # more than the sum of the absolute shares of a bicubic enlargement, both ways
_CORNERS = (255 * np.indices((2, 2, 2)).reshape(3, 1, 8).T).astype(np.uint8)  # of the RGB cube


def are_finite(network: Network, state: Mapping[str, Array]) -> bool:
    """Return whether all numbers are finite in float32 that the network makes of any photo."""
    peak = [0.0]
    with np.errstate(all="ignore"):
        inputs = np.abs(network.inputs(_CORNERS))
        _through(network.layers, state, peak, inputs.max((1, 2)).astype(np.float64))
    return peak[0] < SAFE  # NaN is not


def _through(
    sequence: Iterable[layers.Layer], state: Mapping[str, Array], peak: list[float], bound: Array
) -> Array:
    """Bound (C,) of each channel behind a sequence of layers; `peak[0]` becomes the largest."""
    for layer in sequence:
        bound = _of_layer(layer, state, peak, bound)
        peak[0] = max(peak[0], float(np.max(np.nan_to_num(bound, nan=np.inf))))
    return bound


def _of_layer(
    layer: layers.Layer, state: Mapping[str, Array], peak: list[float], bound: Array
) -> Array:
    if isinstance(layer, layers.Branches):
        found = (_through(branch, state, peak, bound) for branch in layer.branches)
        return reduce(_COMBINE[type(layer)], found)
    names = layer.parameters | layer.statistics
    arrays = {name.rpartition(".")[2]: state[name] for name in names}
    return _BOUND.get(type(layer), _unknown)(layer, bound, **arrays)


def _convolved(
    layer: layers.Conv,
    bound: Array,
    weight: Array,
    bias: Array | float = 0.0,
    weight_u: Array | None = None,
    weight_v: Array | None = None,
) -> Array:
    if weight_u is not None and weight_v is not None:  # it is spectral
        weight = spectral.normalised(weight, weight_u, weight_v)
    sums = (
        np.abs(weight)
        .sum((2, 3), np.float64)
        .reshape(layer.groups, layer.outputs // layer.groups, -1)
    )
    return (sums @ bound.reshape(layer.groups, -1, 1)).ravel() + np.abs(bias)


def _convolved_transposed(
    layer: layers.ConvTranspose, bound: Array, weight: Array, bias: Array
) -> Array:
    return np.abs(weight).sum((2, 3), np.float64).T @ bound + np.abs(bias)


def _normed(
    layer: layers.BatchNorm,
    bound: Array,
    weight: Array,
    bias: Array,
    running_mean: Array,
    running_var: Array,
) -> Array:
    scale = weight / np.sqrt(running_var.astype(np.float64) + layer.epsilon)
    return np.abs(scale) * bound + np.abs(bias - running_mean * scale)


def _linear(layer: layers.Linear, bound: Array, weight: Array, bias: Array) -> Array:
    largest = max(weight.max(), -weight.min())  # no copy: such a layer may have 400 MB
    return np.abs(bias) + float(largest) * layer.inputs * bound.max()


def _unknown(layer: layers.Layer, bound: Array, **arrays: Array) -> Array:
    return np.full_like(bound, np.inf)


def _same(layer: layers.Layer, bound: Array, factor: float = 1.0) -> Array:
    return bound * factor


# Any: each function takes its own kind of layer and that layer's arrays.
_BOUND: dict[type[layers.Layer], Callable[..., Any]] = {
    layers.Conv: _convolved,
    layers.ConvTranspose: _convolved_transposed,
    layers.BatchNorm: _normed,
    layers.Linear: _linear,
    layers.ReLU6: lambda layer, bound: np.minimum(bound, 6),
    layers.Sigmoid: lambda layer, bound: np.minimum(bound, 1),
    layers.Upsample: partial(_same, factor=_BICUBIC),
    layers.Flatten: lambda layer, bound: np.full(1, bound.max()),
    layers.ReLU: _same,
    layers.LeakyReLU: _same,
    layers.Dropout: _same,
    layers.MaxPool: _same,
    layers.AveragePool: _same,
    layers.GlobalAverage: _same,
    layers.GlobalContext: _same,
}
_COMBINE: dict[type[layers.Layer], Callable[[Array, Array], Array]] = {
    layers.Sum: np.add,
    layers.Product: np.multiply,
}
