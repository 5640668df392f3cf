"""Initial weights, drawn once from a neutral seeded source: both backends start from them."""

import zlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from cic.networks import spectral
from cic.networks.forward import affine, apply, combine, moments
from cic.networks.layers import BatchNorm, Branches, Conv, ConvTranspose, Layer, Linear
from cic.networks.network import Network
from cic.system.arrays import Array, State
from cic.system.errors import InputError, SettingError
from cic.system.randomness import random_for

# The layers with a kernel, and its axis of output channels.
_OUTPUTS: dict[type[Layer], int] = {Conv: 0, ConvTranspose: 1, Linear: 0}
_LEAST = 1e-3  # of a layer's root mean square: a channel's deviation that still counts as one


def initialize(network: Network, seed: int = 0) -> State:
    """Return the neutral state {name: float32 array} of an untrained network.

    Kernels: normal with variance 2 / fan-in (He et al. 2015, equation 10); the rest is what its
    layer says. Each kernel has its own random stream, keyed by its name, so that it does not depend
    on the other layers; so has the vector from which a spectral norm is found.
    """
    state: State = {}
    for layer in network.flat:
        if isinstance(layer, Branches):
            continue  # its layers come by themselves
        for name, shape in (layer.parameters | layer.statistics).items():
            part = name.rpartition(".")[2]
            if part in layer.constants:
                state[name] = np.full(shape, layer.constants[part], np.float32)
            elif part in ("weight", "weight_u"):
                draw = random_for(seed, zlib.crc32(name.encode())).standard_normal(shape)
                state[name] = (draw * np.sqrt(2 / layer.fan_in)).astype(np.float32)
        if isinstance(layer, Conv) and layer.spectral:
            weight, u = (state[f"{layer.name}.{part}"] for part in ("weight", "weight_u"))
            u, v = spectral.iterate(weight, u, spectral.FIRST)
            state[f"{layer.name}.weight_u"], state[f"{layer.name}.weight_v"] = u, v
    return {name: state[name] for name in network.state_shapes}


def _standardise(layer: Layer, state: State, x: Array, deviation: float) -> Array:
    """Scale the kernel of `layer` and set its bias by its output x (N, C, ...); the new output.

    Every channel gets the mean that its bias starts with, 0 but for the last layer of some
    networks, and standard deviation `deviation`; without a bias its mean is only scaled. One that
    (nearly) does not vary is scaled as a usual channel of the layer would be: what it does on other
    photos is not known.
    """
    mean, variance = moments(x)
    spread, usual = np.sqrt(variance), np.sqrt((variance + mean**2).mean()) or 1.0
    scale = deviation / np.where(spread > _LEAST * usual, spread, usual)
    weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
    shape = np.where(np.arange(state[weight].ndim) == _OUTPUTS[type(layer)], len(scale), 1)
    state[weight] = (state[weight] * scale.reshape(shape)).astype(np.float32)
    if bias not in state:
        return affine(x, scale, np.zeros_like(scale))
    start = layer.constants["bias"]
    state[bias] = ((state[bias] - mean) * scale + start).astype(np.float32)
    return affine(x, scale, start - mean * scale)


def _keep_statistics(layer: BatchNorm, state: State, x: Array) -> None:
    """Make the running statistics of a batch norm those of its input x (N, C, H, W)."""
    mean, variance = moments(x)
    count = x.size // x.shape[1]
    state[f"{layer.name}.running_mean"] = mean.astype(np.float32)
    unbiased = variance * (count / max(count - 1, 1))
    state[f"{layer.name}.running_var"] = unbiased.astype(np.float32)


def scale_to_data(
    network: Network,
    state: Mapping[str, Array],
    inputs: Array,
    output_deviation: float = 0.1,
    keep: Iterable[str] = (),
) -> State:
    """Return `state` with every kernel's output at mean 0 and variance 1 on inputs (N, C, H, W)
    float32.

    The within-layer step of data-dependent initialisation (Krähenbühl, Doersch, Donahue and Darrell
    2016, algorithm 1; the variant "elwise" of their magic_init, from random kernels): through the
    layers in order, each channel's kernel is divided by the standard deviation of what it gives,
    and its bias is minus the mean, so that neither size nor mean of the photos' lightness is left
    for training to undo. Their default of the bias, 0.1, is 0 here. Batch norms' running statistics
    become those of the inputs: evaluation has the same output as training from the start.

    The channels of the last kernel, the logits, get `output_deviation` instead of 1, so that the
    first guess is nearly uniform (ab that are scaled get as much less: it is gray). Nearly all of
    the gain comes from this: the other layers have batch norms, and Adam (docs/measurements.md,
    "Training", has the losses).

    Layers whose names begin with one of `keep` and a dot stay as they are: a pretrained encoder's.

    The between-layer step (algorithm 2) is left out. It equalises how fast layers change relative
    to their size, but takes gradients, which the core does not have; before a batch norm a kernel's
    size is no part of the output, and Adam's steps do not depend on the gradient's size.
    """
    if not len(inputs):
        raise InputError("no photo to scale the initial weights to")
    if any(getattr(layer, "spectral", False) for layer in network.flat):
        raise SettingError(
            f"{network}: weights under spectral norms are not scaled to data: set init to plain"
        )
    state = dict(state)
    last = [layer for layer in network.layers if type(layer) in _OUTPUTS][-1]
    deviations = {last.name: output_deviation / network.out_scale}
    _scale(network.layers, state, inputs, deviations, tuple(f"{part}." for part in keep))
    return state


def _scale(
    sequence: Sequence[Layer],
    state: State,
    x: Array,
    deviations: Mapping[str, float],
    kept: tuple[str, ...],
) -> Array:
    """Scale the kernels of a sequence of layers to its input x; what it then puts out.

    `deviations` are the layers' that are not 1; names that begin as one of `kept` stay.
    """
    for layer in sequence:
        if isinstance(layer, Branches):
            outputs = [_scale(b, state, x, deviations, kept) for b in layer.branches]
            x = combine(layer, outputs)
            continue
        if isinstance(layer, BatchNorm):
            _keep_statistics(layer, state, x)
        x = apply(layer, state, x, training=True)
        if type(layer) in _OUTPUTS and not f"{layer.name}.".startswith(kept):
            x = _standardise(layer, state, x, deviations.get(layer.name, 1.0))
    return x
