"""The paper's network as the other projects write it down, independent of `cic.networks`.

The formats name its layers in their own ways. What stands here was read off the authors'
colorization_deploy_v2.prototxt and eccv16.py, and is compared with `networks.get("cic")` by tests.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from cic import networks
from cic.colour.bins import COUNT
from cic.networks import Network
from cic.networks.layers import BatchNorm, Conv, ConvTranspose, Layer, ReLU
from cic.system.arrays import Array
from cic.weights.formats.layout import Layout
from cic.weights.formats.sizes import len_of, width_that_fits

# Convolutions, stride of the last, dilation and channels of the blocks 1 to 7.
BLOCKS = (
    (2, 2, 1, 64), (2, 2, 1, 128), (3, 2, 1, 256), (3, 1, 1, 512),
    (3, 1, 2, 512), (3, 1, 2, 512), (3, 1, 1, 512),
)  # fmt: skip
LAST = 256  # channels of block 8


def blocks(channels: Sequence[int], extra_relu: bool = False) -> list[list[Any]]:
    """Return the eight blocks' layers under Caffe's names; `channels` are those of each block."""
    # Any: its callers know which layer of a block is which.
    found: list[list[Any]] = []
    inputs = 1
    for number, (count, stride, dilation, _) in enumerate(BLOCKS, 1):
        outputs = channels[number - 1]
        block: list[Layer] = []
        for place in range(1, count + 1):
            step = stride if place == count else 1
            name = f"conv{number}_{place}"
            block += [Conv(name, inputs, outputs, 3, step, dilation, dilation), ReLU()]
            inputs = outputs
        found.append([*block, BatchNorm(f"conv{number}_{count}norm", outputs)])
    if extra_relu:
        found[4].append(ReLU())
    last = channels[7]
    block = [ConvTranspose("conv8_1", inputs, last, 4, 2, 1), ReLU()]
    for name in ("conv8_2", "conv8_3"):
        block += [Conv(name, last, last, 3, 1, 1), ReLU()]
    return [*found, [*block, Conv("conv8_313", last, COUNT, 1, 1, 0)]]


def numbered(layers: Iterable[Layer], prefix: str) -> list[Layer]:
    """Return the layers as a Sequential of that name has them: prefix.0, prefix.1 ..."""
    return [
        replace(layer, name=f"{prefix}.{place}") if layer.parameters else layer
        for place, layer in enumerate(layers)
    ]


def channels_of(network: Network) -> list[int]:
    """Return the channels of the eight blocks of a network of ours."""
    shapes = network.state_shapes
    return [shapes[f"conv{block}_2.bias"][0] for block in range(1, 9)]


def width_of(biases: Iterable[Array | None]) -> float:
    """Return the width of a network of ours whose blocks' channels are the lengths of eight biases.

    Those that are None or empty say nothing.
    """
    usual = [*(channels for *_, channels in BLOCKS), LAST]
    return width_that_fits(zip((len_of(bias) for bias in biases), usual))


class Trunk(Layout):
    """A format of the network cic: its first convolution takes up another scale of the input."""

    networks = ("cic",)

    def adapted(self, network: Network) -> tuple[Network, dict[str, float]]:
        scale = self.theirs(network).scale
        if network.scale == scale:
            return network, {}
        options = network.options | {"input_scale": scale}
        factors = {"conv1_1.weight": scale / network.scale}  # type: ignore[operator]
        return networks.get("cic", **options), factors
