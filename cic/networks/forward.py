"""A network computed in NumPy: the oracle of both backends' forward passes.

A convolution spreads one photo at a time out into the columns of a matrix, so that memory stays
bounded and each photo and layer takes one matrix product.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from cic.networks import layers, spectral
from cic.networks.network import Network
from cic.system import randomness
from cic.system.arrays import Array, Doubles

BICUBIC = -0.75  # Keys's a: PyTorch's and Paddle's


def _each(values: Array, photo: Array) -> Array:
    """Return the values (C,) in the shape that goes with the channels of a photo (C, ...)."""
    return values.reshape(-1, *[1] * (photo.ndim - 1))


def moments(x: Array) -> tuple[Doubles, Doubles]:
    """Return (mean, biased variance) of each channel of x (N, C, ...) over the rest, (C,)
    float64.
    """
    count, rest = x.size // x.shape[1], tuple(range(1, x.ndim - 1))
    mean = sum(photo.sum(rest, dtype=np.float64) for photo in x) / count
    centred = (photo - _each(mean, photo) for photo in x)
    return mean, sum(np.square(photo).sum(rest) for photo in centred) / count


def affine(x: Array, scale: Array, shift: Array) -> Array:
    """Return x (N, C, ...) with each channel times its scale plus its shift, (C,); precision of
    x.
    """
    scale, shift = (_each(np.asarray(a, x.dtype), x[0]) for a in (scale, shift))
    y = x * scale
    y += shift
    return y


def _columns(layer: layers.Conv, photo: Array) -> Array:
    """Return what each output of a convolution sums over, (I k k, H' W'), of a photo (I, H, W)."""
    reach = layer.dilation * (layer.kernel - 1) + 1
    photo = np.pad(photo, ((0, 0), layer.sides, layer.sides))
    windows = np.lib.stride_tricks.sliding_window_view(photo, (reach, reach), (1, 2))
    step, skip = layer.stride, layer.dilation
    windows = windows[:, ::step, ::step, ::skip, ::skip].transpose(0, 3, 4, 1, 2)
    return windows.reshape(-1, windows.shape[3] * windows.shape[4])


def _convolve(
    layer: layers.Conv,
    x: Array,
    training: bool,
    weight: Array,
    bias: Array | None = None,
    weight_u: Array | None = None,
    weight_v: Array | None = None,
) -> Array:
    if weight_u is not None and weight_v is not None:  # it is spectral
        if training:
            weight_u, weight_v = spectral.iterate(weight, weight_u)
        weight = spectral.normalised(weight, weight_u, weight_v)
    y = np.empty((len(x), *layer.output(x.shape[1:])), x.dtype)
    groups = layer.groups
    weight = weight.reshape(groups, layer.outputs // groups, -1)
    for photo, out in zip(x, y.reshape(len(x), groups, layer.outputs // groups, -1)):
        columns = _columns(layer, photo)
        np.matmul(weight, columns.reshape(groups, -1, columns.shape[1]), out=out)
    if bias is not None:
        y += bias[:, None, None]
    return y


def _convolve_transposed(
    layer: layers.ConvTranspose, x: Array, training: bool, weight: Array, bias: Array
) -> Array:
    _, height, width = layer.output(x.shape[1:])
    pad, step, side = layer.padding, layer.stride, layer.kernel
    rows, columns = x.shape[2:]
    y = np.zeros((len(x), layer.outputs, height + 2 * pad, width + 2 * pad), x.dtype)
    for photo, out in zip(x, y):
        stamps = weight.reshape(layer.inputs, -1).T @ photo.reshape(layer.inputs, -1)
        stamps = stamps.reshape(layer.outputs, side, side, rows, columns)
        for i, j in np.ndindex(side, side):
            target = out[:, i : i + step * rows : step, j : j + step * columns : step]
            target += stamps[:, i, j]
    y += bias[:, None, None]
    return y[:, :, pad : pad + height, pad : pad + width]


def _batch_norm(
    layer: layers.BatchNorm,
    x: Array,
    training: bool,
    weight: Array,
    bias: Array,
    running_mean: Array,
    running_var: Array,
) -> Array:
    mean, variance = moments(x) if training else (running_mean, running_var)
    scale = weight / np.sqrt(variance + layer.epsilon)
    return affine(x, scale, bias - mean * scale)


def _instance_norm(layer: layers.InstanceNorm, x: Array, training: bool) -> Array:
    centred = x - x.mean((2, 3), keepdims=True)
    return centred / np.sqrt(np.square(centred).mean((2, 3), keepdims=True) + layer.epsilon)


def _windows(layer: layers.MaxPool, x: Array, fill: float) -> Array:
    pad = layer.padding
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(x, (layer.kernel, layer.kernel), (2, 3))
    return windows[:, :, :: layer.stride, :: layer.stride]


def _bicubic(d: Array) -> Array:
    """Return the share of a pixel at distance `d`, below 2 (Keys 1981, equation 4, with a =
    BICUBIC).
    """
    a = BICUBIC
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    far = a * (d**3 - 5 * d**2 + 8 * d - 4)
    return np.where(d <= 1, near, far)


def _bilinear(d: Array) -> Array:
    """Return the share of a pixel at distance `d`."""
    return np.maximum(1 - d, 0)


_KERNELS = {"bicubic": _bicubic, "bilinear": _bilinear}


def _enlarging(size: int, scale: int, mode: str) -> Array:
    """Return the matrix (size * scale, size) that enlarges a line of pixels; the edges go on for
    ever.
    """
    matrix = np.zeros((size * scale, size))
    at = (np.arange(size * scale) + 0.5) / scale - 0.5
    first = np.floor(at).astype(int)
    for neighbour in range(-1, 3):
        column = np.clip(first + neighbour, 0, size - 1)
        share = _KERNELS[mode](np.abs(at - (first + neighbour)))
        np.add.at(matrix, (np.arange(len(at)), column), share)
    return matrix


def _upsample(layer: layers.Upsample, x: Array, training: bool) -> Array:
    rows, columns = (_enlarging(n, layer.scale, layer.mode).astype(x.dtype) for n in x.shape[2:])
    return rows @ x @ columns.T


# Any: each function takes its own kind of layer and that layer's arrays.
_APPLY: dict[type[layers.Layer], Callable[..., Any]] = {
    layers.Conv: _convolve,
    layers.ConvTranspose: _convolve_transposed,
    layers.BatchNorm: _batch_norm,
    layers.InstanceNorm: _instance_norm,
    layers.ReLU: lambda layer, x, training: np.maximum(x, 0),
    layers.ReLU6: lambda layer, x, training: np.clip(x, 0, 6),
    layers.LeakyReLU: lambda layer, x, training: np.where(x < 0, layer.slope * x, x),
    layers.Sigmoid: lambda layer, x, training: 0.5 + 0.5 * np.tanh(0.5 * x),
    layers.MaxPool: lambda layer, x, training: _windows(layer, x, -np.inf).max((4, 5)),
    layers.AveragePool: lambda layer, x, training: _windows(layer, x, 0).mean((4, 5)),
    layers.GlobalAverage: lambda layer, x, training: x.mean((2, 3)),
    layers.GlobalContext: lambda layer, x, training: np.broadcast_to(
        x.mean((2, 3), keepdims=True), x.shape
    ),
    layers.Upsample: _upsample,
    layers.Flatten: lambda layer, x, training: x.reshape(len(x), -1),
    layers.Linear: lambda layer, x, training, weight, bias: x @ weight.T + bias,
}
_COMBINE: dict[type[layers.Layer], Callable[[Array, Array], Array]] = {
    layers.Sum: np.add,
    layers.Product: np.multiply,
}


def apply(
    layer: layers.Layer,
    state: Mapping[str, Array],
    x: Array,
    training: bool = False,
    noise: Array | None = None,
) -> Array:
    """Return the output (N, C', H', W') of one layer for x (N, C, H, W) float, in the precision of
    x.

    From Flatten on, both are (N, F). `noise` (N,) is that of the photos: see
    `randomness.dropout_factors`.
    """
    if isinstance(layer, layers.Dropout):
        if not training or noise is None:
            return x
        return x * randomness.dropout_factors(noise, layer.name, x.shape[1:], layer.rate)
    if isinstance(layer, layers.Branches):
        outputs = (_through(branch, state, x, training, noise) for branch in layer.branches)
        return combine(layer, outputs)
    names = layer.parameters | layer.statistics
    arrays = {name.rpartition(".")[2]: np.asarray(state[name], x.dtype) for name in names}
    return _APPLY[type(layer)](layer, x, training, **arrays)


def combine(layer: layers.Branches, outputs: Iterable[Array]) -> Array:
    """Return what a layer of branches puts out, of the branches' outputs."""
    return reduce(_COMBINE[type(layer)], outputs)


def _through(
    sequence: Sequence[layers.Layer],
    state: Mapping[str, Array],
    x: Array,
    training: bool,
    noise: Array | None,
) -> Array:
    for layer in sequence:
        x = apply(layer, state, x, training, noise)
    return x


def forward(
    network: Network,
    state: Mapping[str, Array],
    inputs: Array,
    training: bool = False,
    noise: Array | None = None,
) -> Array:
    """Return the output (N, C', H', W') for inputs (N, C, H, W), float32 or float64 as the inputs
    are.

    Batch norm takes the running statistics of `state`, or those of the inputs in `training`, where
    photos of `noise` (N,) have some of their numbers dropped.
    """
    return _through(network.layers, state, inputs, training, noise)
