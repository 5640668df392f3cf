"""How large the numbers inside a network can become, for any photo: a bound from its weights alone.

A number that a layer puts out is at most what the absolute weights make of the bounds of those that
it sees. Where that stays within what float32 holds, no photo can bring forth infinity or NaN, and
nobody need look for them.
"""

from functools import partial, reduce

import numpy as np

from cic.networks import layers, spectral

SAFE = 1e30  # a hundred millionth of float32's largest: room for sums in any order
_BICUBIC = 4.0  # more than the sum of the absolute shares of a bicubic enlargement, both ways
_CORNERS = (255 * np.indices((2, 2, 2)).reshape(3, 1, 8).T).astype(np.uint8)  # of the RGB cube


def are_finite(network, state):
    """Whether all numbers are finite in float32 that the network makes of any photo."""
    peak = [0.0]
    with np.errstate(all="ignore"):
        inputs = np.abs(network.inputs(_CORNERS))
        _through(network.layers, state, peak, inputs.max((1, 2)).astype(np.float64))
    return peak[0] < SAFE  # NaN is not


def _through(sequence, state, peak, bound):
    """Bound (C,) of each channel behind a sequence of layers; `peak[0]` becomes the largest."""
    for layer in sequence:
        bound = _of_layer(layer, state, peak, bound)
        peak[0] = max(peak[0], float(np.max(np.nan_to_num(bound, nan=np.inf))))
    return bound


def _of_layer(layer, state, peak, bound):
    if isinstance(layer, layers.Branches):
        found = (_through(branch, state, peak, bound) for branch in layer.branches)
        return reduce(_COMBINE[type(layer)], found)
    names = layer.parameters | layer.statistics
    arrays = {name.rpartition(".")[2]: state[name] for name in names}
    return _BOUND.get(type(layer), _unknown)(layer, bound, **arrays)


def _convolved(layer, bound, weight, bias=0.0, weight_u=None, weight_v=None):
    if layer.spectral:
        weight = spectral.normalised(weight, weight_u, weight_v)
    sums = (
        np.abs(weight)
        .sum((2, 3), np.float64)
        .reshape(layer.groups, layer.outputs // layer.groups, -1)
    )
    return (sums @ bound.reshape(layer.groups, -1, 1)).ravel() + np.abs(bias)


def _convolved_transposed(layer, bound, weight, bias):
    return np.abs(weight).sum((2, 3), np.float64).T @ bound + np.abs(bias)


def _normed(layer, bound, weight, bias, running_mean, running_var):
    scale = weight / np.sqrt(running_var.astype(np.float64) + layer.epsilon)
    return np.abs(scale) * bound + np.abs(bias - running_mean * scale)


def _linear(layer, bound, weight, bias):
    largest = max(weight.max(), -weight.min())  # no copy: such a layer may have 400 MB
    return np.abs(bias) + float(largest) * layer.inputs * bound.max()


def _unknown(layer, bound, **arrays):
    return np.full_like(bound, np.inf)


def _same(layer, bound, factor=1.0):
    return bound * factor


_BOUND = {
    layers.Conv: _convolved,
    layers.ConvTranspose: _convolved_transposed,
    layers.BatchNorm: _normed,
    layers.Linear: _linear,
    layers.ReLU6: lambda layer, bound: np.minimum(bound, 6),
    layers.Sigmoid: lambda layer, bound: np.minimum(bound, 1),
    layers.Upsample: partial(_same, factor=_BICUBIC),
    layers.Flatten: lambda layer, bound: np.full(1, bound.max()),
    **dict.fromkeys(
        (
            *(layers.ReLU, layers.LeakyReLU, layers.Dropout, layers.MaxPool, layers.AveragePool),
            *(layers.GlobalAverage, layers.GlobalContext),
        ),
        _same,
    ),
}
_COMBINE = {layers.Sum: np.add, layers.Product: np.multiply}
