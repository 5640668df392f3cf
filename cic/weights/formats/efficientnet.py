"""EfficientNet-Lite 0 to 2 of the package efficientnet_lite_pytorch, whose weights are public.

What stands here was read off its utils.py and model.py; the names of the arrays are those of
lukemelas/EfficientNet-PyTorch. Its convolutions have no bias, each has a batch norm behind it;
ours have the norms folded in.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from cic import networks
from cic.networks import CLASSES, Network
from cic.networks.layers import BatchNorm, Conv, Dropout, GlobalAverage, Layer, Linear, ReLU6, Sum
from cic.system.arrays import Array, Shape, State
from cic.weights.files import write_torch
from cic.weights.formats import norms
from cic.weights.formats.layout import (
    Layout,
    MappedWeights,
    batch_counters,
    no_counts,
    without_prefix,
)
from cic.weights.formats.sizes import len_of

EPSILON = 1e-3  # batch_norm_epsilon
# Kernel, first stride and expansion of each stage (utils.py, blocks_args).
STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
# Blocks of each stage of the versions; 1 and 2 differ by the outputs of the last.
BLOCKS = {0: (1, 2, 2, 3, 3, 4, 1), 1: (1, 3, 3, 4, 4, 5, 1), 2: (1, 3, 3, 4, 4, 5, 1)}
LAST = {0: 320, 1: 320, 2: 352}
GATED = "_se_reduce."  # squeeze and excitation, which EfficientNet has and its Lite has not
_BLOCK = re.compile(r"_blocks\.(\d+)\.")


class Lite(Layout):
    """_conv_stem, _blocks.N, _conv_head and _fc."""

    name = "efficientnet-lite"
    about = "EfficientNet-Lite of efficientnet_lite_pytorch"
    suffixes = (".pth", ".pt")
    networks = ("efficientnet_lite",)
    write = staticmethod(write_torch.write)

    def recognises(self, arrays: Mapping[str, Array]) -> bool:
        return "_conv_stem.weight" in arrays

    def strip_prefix(self, arrays: Mapping[str, Array]) -> Mapping[str, Array]:
        return without_prefix(arrays, "module.")

    def network(self, arrays: Mapping[str, Array], hints: Mapping[str, Any]) -> Network:
        options = {"size": hints["size"]} if "size" in hints else {}
        classes = len_of(arrays.get("_fc.bias")) or 1000
        version = _version(arrays)
        return networks.get("efficientnet_lite", version=version, classes=classes, **options)

    def theirs(self, network: Network) -> Network:
        published = self.published(network)
        return replace(published, layers=norms.without(published.layers))

    def published(self, network: Network) -> Network:
        """Return their network with its batch norms."""
        shapes = network.state_shapes
        counts = BLOCKS[network.options["version"]]
        blocks: list[Layer] = []
        inputs = stem = shapes["stem.bias"][0]
        layers: list[Layer] = [*_normed("_conv_stem", "_bn0", 3, stem, 3, 2), ReLU6()]
        for (kernel, stride, expansion), count in zip(STAGES, counts):
            for place in range(count):
                outputs = shapes[f"blocks.{len(blocks)}.project.bias"][0]
                step, name = stride if place == 0 else 1, f"_blocks.{len(blocks)}"
                blocks.append(_block(name, inputs, outputs, kernel, step, expansion))
                inputs = outputs
        top, classes = shapes["top.bias"][0], shapes["classifier.bias"][0]
        layers += [*blocks, *_normed("_conv_head", "_bn1", inputs, top, 1), ReLU6()]
        layers += [GlobalAverage(), Dropout("", 0.2), Linear("_fc", top, classes)]
        return Network(
            "EfficientNet",
            tuple(layers),
            channels=3,
            size=network.size,
            space="RGB",
            mean=127 / 255,
            scale=128 / 255,
            predicts=CLASSES,
        )

    def tensors(self, theirs: Network, arrays: Mapping[str, Array]) -> State:
        return norms.folded(self.published_of(arrays), arrays)

    def published_of(self, arrays: Mapping[str, Array]) -> Network:
        """Return their network with its norms, of the sizes of `arrays`."""
        return self.published(self.network(arrays, {}))

    def source(self, found: MappedWeights) -> tuple[Network, Mapping[str, Array]]:
        """With the batch norms, as their own code computes it."""
        return self.published(found.network), found.arrays

    def ignored(self, arrays: Mapping[str, Array]) -> dict[str, str]:
        """Raises ValueError unless every convolution and its norm have all arrays, and sound."""
        dropped = batch_counters(arrays)
        for conv, norm in norms.pairs(self.published_of(arrays)):
            for name, shape in (conv.parameters | norm.parameters | norm.statistics).items():
                _check(name, arrays.get(name), shape)
            if f"{conv.name}.bias" in arrays:
                raise ValueError(f"not known: {conv.name}.bias")
            why = "a batch norm, folded into the convolution before it"
            dropped |= {f"{norm.name}.{part}": why for part in norm.constants}
        return dropped

    def export(self, network: Network, state: Mapping[str, Array]) -> State:
        published = self.published(network)
        return norms.unfolded(published, super().export(network, state)) | no_counts(published)


def _version(arrays: Mapping[str, Array]) -> int:
    """Return 0 to 2 by the blocks and the last one's outputs; raise ValueError for another
    network.
    """
    if any(GATED in name for name in arrays):
        raise ValueError("an EfficientNet with squeeze and excitation, which a Lite one has not")
    count = 1 + max((int(match[1]) for name in arrays if (match := _BLOCK.match(name))), default=-1)
    outputs = len_of(arrays.get(f"_blocks.{count - 1}._project_conv.weight"))
    versions = [version for version, blocks in BLOCKS.items() if sum(blocks) == count]
    if not versions:
        raise ValueError(f"no EfficientNet-Lite of 0 to 2 has {count} blocks")
    return next((one for one in versions if LAST[one] == outputs), versions[0])


def _check(name: str, array: Array | None, shape: Shape) -> None:
    """Raise ValueError unless an array can be folded: what is wrong might not show afterwards."""
    if array is None:
        raise ValueError(f"missing: {name}")
    if array.shape != shape:
        raise ValueError(f"{name} is {array.shape}, not {shape}")
    if array.dtype.kind != "f":
        raise ValueError(f"{name} holds {array.dtype} numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} holds numbers that are not finite")
    if name.endswith(".running_var") and array.min() < 0:
        raise ValueError(f"{name} holds numbers below 0")


def _normed(
    conv: str, norm: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[Conv, BatchNorm]:
    """Return a convolution that pads as TensorFlow's "same" does, and the batch norm behind it."""
    spare = kernel - stride
    sides = (spare // 2, spare - spare // 2)
    layer = Conv(conv, inputs, outputs, kernel, stride, sides, bias=False, groups=groups)
    return layer, BatchNorm(norm, outputs, epsilon=EPSILON)


def _block(name: str, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> Sum:
    wide = inputs * expansion
    layers: list[Layer] = []
    if expansion > 1:
        layers += [*_normed(f"{name}._expand_conv", f"{name}._bn0", inputs, wide, 1), ReLU6()]
    depthwise = f"{name}._depthwise_conv", f"{name}._bn1"
    layers += [*_normed(*depthwise, wide, wide, kernel, stride, groups=wide), ReLU6()]
    layers += _normed(f"{name}._project_conv", f"{name}._bn2", wide, outputs, 1)
    same = stride == 1 and inputs == outputs
    return Sum("", (tuple(layers), ()) if same else (tuple(layers),))


FORMAT = Lite()
