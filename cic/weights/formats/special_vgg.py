"""VGG-16 on unusual input of zhaoyuzhi/PyTorch-Special-Pre-trained-Models: GrayVGG16 and the like.

Of its four folders VGG-16 and of Gray_VGG_spectral_norm: *VGG16, *VGG16_BN and *VGG16_FC_BN, whose
spectral norm (spectralnorm.py) makes one step of power iteration before every use of a kernel, in
evaluation, too. What it computes first follows from its u; its v is written before it is read.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np

from cic import networks
from cic.networks import CLASSES, Network, spectral
from cic.networks.layers import (
    AveragePool,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    Layer,
    LeakyReLU,
    Linear,
    MaxPool,
    ReLU,
)
from cic.system.arrays import Array, Shape, State
from cic.weights.files import write_torch
from cic.weights.formats.layout import Layout, batch_counters, no_counts, without_prefix
from cic.weights.formats.sizes import len_of, width_that_fits
from cic.weights.formats.trunk import numbered

CONVOLUTIONS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # of each block, and channels
FULL = 4096
LINEAR = ("classifier.0", "classifier.3", "classifier.6")  # a ReLU and a dropout between them
SIDE = 7  # of what the first of them sees
WITHIN = ".module"  # a convolution in a SpectralNorm
# Channels of each space, what its dataset_*_ImageNet.py takes away, and by what it divides.
INPUTS: dict[str, tuple[int, Any, Any]] = {
    "Gray": (1, 0.5, 0.5),
    "ab": (2, 0.0, 110.0),
    "Lab": (3, (50.0, 0.0, 0.0), (50.0, 110.0, 110.0)),
    "RGB": (3, 0.5, 0.5),
}
_LAYER = re.compile(r"conv[1-6]\.\d+\.")
_CLASS = re.compile(f"({'|'.join(INPUTS)})VGG16")


def input_of(space: str) -> dict[str, Any]:
    """Return the fields of a Network for one of INPUTS."""
    channels, mean, scale = INPUTS[space]
    return {"channels": channels, "space": space, "mean": mean, "scale": scale}


class SpecialVGG(Layout):
    """conv1 to conv5 and pool1 to pool5, or conv1 to conv6, and classifier."""

    name = "zhaoyuzhi-vgg"
    about = "VGG-16 of zhaoyuzhi/PyTorch-Special-Pre-trained-Models"
    suffixes = (".pth", ".pt")
    networks = ("special_vgg16",)
    write = staticmethod(write_torch.write)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return any(map(_LAYER.match, arrays))

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        strided = any(WITHIN in name for name in arrays)
        normed = any(name.endswith(".running_mean") for name in arrays)
        within, kernel = (WITHIN, "weight_bar") if strided else ("", "weight")
        biases = [arrays.get(f"conv{block}.0{within}.bias") for block in range(1, 6)]
        hidden, classes = (len_of(arrays.get(f"{name}.bias")) for name in LINEAR[1:])
        usual = [channels for _, channels in CONVOLUTIONS]
        return networks.get(
            "special_vgg16",
            space=_space(arrays.get(f"conv1.0{within}.{kernel}"), hints),
            variant="fc" if strided else "bn" if normed else "plain",
            classes=classes or 1000,
            width=width_that_fits(zip([*map(len_of, biases), hidden], [*usual, FULL])),
            size=_size(arrays.get(f"{LINEAR[0]}.weight"), len_of(biases[-1])),
        )

    def theirs(self, network: Network) -> Network:
        if network.options["variant"] == "fc" and not network.options["spectral"]:
            raise ValueError("theirs always has spectral norms")
        shapes, fields = network.state_shapes, input_of(network.options["space"])
        outputs = [shapes[f"conv{block}_1.bias"][0] for block in range(1, 6)]
        if network.options["variant"] == "fc":
            layers = _strided(fields["channels"], outputs)
        else:
            layers = _pooled(fields["channels"], outputs, network.options["variant"] == "bn")
        sizes = [shapes["fc6.weight"][1], *(shapes[f"fc{n}.bias"][0] for n in (6, 7, 8))]
        layers.append(Flatten())
        for place, name in enumerate(LINEAR):
            layers += [Linear(name, sizes[place], sizes[place + 1]), ReLU(), Dropout("", 0.5)]
        layers, size = tuple(layers[:-2]), network.size  # type: ignore[assignment]
        return Network("VGG16", layers, size=size, predicts=CLASSES, **fields)  # type: ignore[arg-type]

    def key(self, name: str) -> str:
        layer, _, part = name.rpartition(".")
        return f"{name}_bar" if layer.endswith(WITHIN) and part == "weight" else name

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        """u and v are those after the step that comes before the first use."""
        found = super().tensors(theirs, arrays)
        for layer in _normalised(theirs):
            names = [f"{layer.name}.{part}" for part in ("weight", "weight_u", "weight_v")]
            if all(_fits(found.get(name), theirs.state_shapes[name]) for name in names):
                weight, u, _ = (found[name] for name in names)
                with np.errstate(all="ignore"):  # what is no number will be found
                    found |= zip(names[1:], spectral.iterate(weight, u))
        return found

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        return batch_counters(arrays)

    def extras(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return no_counts(theirs)

    def derived(self, network: Network) -> list[str]:
        names = [layer.name for layer in _normalised(network)]
        return [f"{name}.{part}" for name in names for part in ("weight_u", "weight_v")]

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        """u are those from which one step leads to ours, before the first use."""
        arrays = super().export(network, state)
        for layer in _normalised(self.theirs(network)):
            weight, v = (arrays[f"{layer.name}.weight_{part}"] for part in ("bar", "v"))
            arrays[f"{layer.name}.weight_u"] = spectral.before(weight, v)
        return arrays


def _normalised(network: Network) -> list[Layer]:
    return [layer for layer in network.layers if getattr(layer, "spectral", False)]


def _fits(array: Array | None, shape: Shape) -> bool:
    return array is not None and array.shape == shape and array.dtype.kind == "f"


def _space(kernel: Array | None, hints: Mapping[str, Any]) -> str:
    """Return the colour space whose channels the first kernel sees."""
    channels = kernel.shape[1] if kernel is not None and kernel.ndim == 4 else 1
    spaces = [space for space, (count, *_) in INPUTS.items() if count == channels]
    named = _CLASS.match(hints.get("class") or "")
    space = named[1] if named else hints.get("space")
    if not spaces:
        raise ValueError(f"its input has {channels} channels; those of theirs have 1 to 3")
    if len(spaces) > 1 and space not in spaces:
        raise ValueError("its input is Lab or RGB, which no array tells: give option space=Lab")
    return space if space in spaces else spaces[0]


def _size(weight: Array | None, channels: int) -> int:
    """Return the side of the photo, from the size of the first linear layer, which sees all
    `channels`.
    """
    inputs = weight.shape[1] if weight is not None and weight.ndim == 2 and channels else 0
    side = round(sqrt(inputs / channels)) if inputs else SIDE
    return 32 * max(side, 1)


def _pooled(inputs: int, outputs: Sequence[int], norm: bool) -> list[Layer]:
    layers: list[Layer] = []
    for block, channels in enumerate(outputs, 1):
        convolutions: list[Layer] = []
        for _ in range(CONVOLUTIONS[block - 1][0]):
            convolutions.append(Conv("", inputs, channels, 3, 1, 1))
            convolutions += [BatchNorm("", channels)] if norm else []
            convolutions.append(ReLU())
            inputs = channels
        last = 2 if norm else 1  # layers behind the last convolution, which are in the pool
        pool = [*convolutions[-last:], MaxPool(2, 2) if block < 5 else AveragePool(2, 2)]
        layers += numbered(convolutions[:-last], f"conv{block}")
        layers += numbered(pool, f"pool{block}")
    return layers


def _strided(inputs: int, outputs: Sequence[int]) -> list[Layer]:
    layers: list[Layer] = []
    plan = [count for count, _ in CONVOLUTIONS]
    for block, (count, channels) in enumerate(zip([*plan, 1], [*outputs, outputs[-1]]), 1):
        convolutions: list[Layer] = []
        for place in range(count):
            stride = 2 if block > 1 and place == 0 else 1
            convolutions.append(Conv("", inputs, channels, 3, stride, 1, spectral=True))
            if (block, place) not in ((1, 0), (6, 0)):
                convolutions.append(BatchNorm("", channels))
            convolutions.append(LeakyReLU("", 0.2))
            inputs = channels
        layers += numbered(convolutions, f"conv{block}")
    return [
        replace(layer, name=layer.name + WITHIN) if isinstance(layer, Conv) else layer
        for layer in layers
    ]


FORMAT = SpecialVGG()
